import Glibc
import Runtime
import TestKit

/// A place for a replica: it keeps its two ways to PostgreSQL while replicas come and go in it.
final class Slot: Sendable {
    private struct State {
        var replica: Replica?
        /// What the replica had open when it was ready.
        var descriptors = 0
        var boots = 0
        var isTaken = false
    }

    let number: Int
    let pool: FaultProxy
    let lock: FaultProxy
    private let state = Locked(State())

    init(_ number: Int, to socketDirectory: String, on reactor: Reactor) async throws {
        self.number = number
        self.pool = try FaultProxy(to: socketDirectory, on: reactor)
        self.lock = try FaultProxy(to: socketDirectory, on: reactor)
        await self.pool.start()
        await self.lock.start()
    }

    /// How its sessions call themselves at the server.
    func session(_ kind: String) -> String { "slot-\(self.number)-\(kind)" }

    var replica: Replica? { self.state.withLock { $0.replica } }

    func put(_ replica: Replica?) {
        self.state.withLock { state in
            state.replica = replica
            state.descriptors = replica.map { ProcessTable.descriptors($0.pid) } ?? 0
        }
    }

    /// The most that its replica may have open at rest: what it began with, its pool, and its threads for starting
    /// workers, which come with the first ones.
    var descriptorLimit: Int { self.state.withLock { $0.descriptors + 24 } }

    /// The number of the next replica in it.
    func nextBoot() -> Int {
        self.state.withLock { state in
            state.boots += 1
            return state.boots
        }
    }

    /// Takes it for a fault of its own; false when another has it.
    func take() -> Bool {
        self.state.withLock { state in
            guard !state.isTaken else { return false }
            state.isTaken = true
            return true
        }
    }

    func release() {
        self.state.withLock { $0.isTaken = false }
    }

    func change(_ weather: Weather) async {
        await self.pool.change(weather)
        await self.lock.change(weather)
    }

    func counts() async -> [ProxyCounts] {
        [await self.pool.done, await self.lock.done]
    }
}
