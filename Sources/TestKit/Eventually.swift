/// A condition that did not come true in time.
package struct NotInTime: Error, CustomStringConvertible {
    /// What was waited for, for how long, and where.
    package let description: String
}

/// Asks `condition` every five milliseconds until it holds; throws `NotInTime` when it does not within `limit`. For what
/// only time brings about; a test never sleeps for a fixed time.
package func eventually(
    _ what: String = "the condition",
    within limit: Duration = .seconds(10),
    file: StaticString = #fileID,
    line: UInt = #line,
    _ condition: () async throws -> Bool
) async throws {
    let deadline = ContinuousClock.now + limit
    while try await !condition() {
        guard ContinuousClock.now < deadline else {
            throw NotInTime(description: "\(what) did not hold within \(limit) at \(file):\(line)")
        }
        try await Task.sleep(for: .milliseconds(5))
    }
}
