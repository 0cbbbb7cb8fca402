import Runtime
import Testing

/// Lets one test at a time run of all that have it: proxies, floods and deadlines of half a second need the processors that
/// the others of their kind would use.
struct TakingTurns: SuiteTrait, TestTrait, TestScoping {
    /// The end of the last one in the line.
    private static let last = Locked<OneShot<Void>?>(nil)

    var isRecursive: Bool { true }

    @concurrent
    func provideScope(
        for test: Test,
        testCase: Test.Case?,
        performing function: @concurrent @Sendable () async throws -> Void
    ) async throws {
        let turn = OneShot<Void>()
        let before = Self.last.withLock { last in
            defer { last = turn }
            return last
        }
        await before?.value()
        defer { turn.resolve(()) }
        try await function()
    }
}

extension Trait where Self == TakingTurns {
    /// One at a time of all that have this.
    static var takingTurns: Self { TakingTurns() }
}
