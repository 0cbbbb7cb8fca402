import Testing

@testable import Runtime

@Suite("Services in order")
struct ServiceTests {
    /// Says how it found its task when it was told to stop.
    private struct Watcher: Service {
        let name: String
        let seen: Locked<[String]>

        func run(until stop: StopSignal) async throws {
            await stop.wait()
            let isCancelled = Task.isCancelled
            self.seen.withLock { $0.append("\(self.name) \(isCancelled)") }
        }
    }

    @Test("a group whose task is cancelled stops in reverse order, and no service finds its own task cancelled")
    func cancelled() async throws {
        let seen = Locked<[String]>([])
        let services = ["first", "second", "third"].map { Watcher(name: $0, seen: seen) }
        let group = ServiceGroup(services, patience: .seconds(5), log: .silent)
        let running = Task { try await group.run(until: StopSignal()) }
        running.cancel()
        try await running.value
        #expect(seen.withLock { $0 } == ["third false", "second false", "first false"])
    }
}
