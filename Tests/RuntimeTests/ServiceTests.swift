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

    /// Goes on after it was told to stop, and counts how often it has slept.
    private struct Stubborn: Service {
        let name = "stubborn"
        static let nap = Duration.milliseconds(10)
        let naps = Locked(0)
        let isReleased = StopSignal()
        let ended = OneShot<Void>()

        func run(until stop: StopSignal) async throws {
            while !self.isReleased.isRaised {
                // Cut short in a cancelled task, as any loop's wait is.
                try? await Task.sleep(for: Self.nap)
                self.naps.withLock { $0 += 1 }
            }
            self.ended.resolve(())
        }
    }

    @Test("a service that does not stop in time holds nobody up, and does not spin while it is left to itself")
    func stubborn() async throws {
        let seen = Locked<[String]>([])
        let stubborn = Stubborn()
        let (first, third) = (Watcher(name: "first", seen: seen), Watcher(name: "third", seen: seen))
        let group = ServiceGroup([first, stubborn, third], patience: .milliseconds(50), log: .silent)
        let (stop, hasReturned) = (StopSignal(), StopSignal())
        let running = Task {
            defer { hasReturned.raise() }
            try await group.run(until: stop)
        }
        stop.raise()
        #expect(await hasReturned.wait(atMost: .seconds(5)), "the group waits for a service that does not stop")
        #expect(seen.withLock { $0 } == ["third false", "first false"])
        let (before, began) = (stubborn.naps.withLock { $0 }, ContinuousClock.now)
        while stubborn.naps.withLock({ $0 }) < before + 10 { try await Task.sleep(for: Stubborn.nap) }
        let time = ContinuousClock.now - began
        #expect(time >= Stubborn.nap * 9, "10 naps took \(time)")
        stubborn.isReleased.raise()
        await stubborn.ended.value()
        try await running.value
    }
}
