import Runtime

/// Whom a client talks to: the replicas in turn, as a balancer without sticky sessions would choose.
///
/// One that checks health knows by its checks alone who is ready. One that does not sends requests to every replica that
/// lives, whatever has befallen it: that is the harder life, and what most faults are tried under.
final class Balancer: Sendable {
    struct Target: Sendable, Hashable {
        let slot: Int
        let port: Int
    }

    private struct State {
        var ports: [Int?]
        var isReady: [Bool]
        var next = 0
    }

    let checksHealth: Bool
    private let state: Locked<State>

    init(slots: Int, checksHealth: Bool = false) {
        self.checksHealth = checksHealth
        self.state = Locked(
            State(ports: Array(repeating: nil, count: slots), isReady: Array(repeating: true, count: slots))
        )
    }

    /// A replica came up at `port`.
    func place(_ slot: Int, at port: Int) {
        self.state.withLock { state in
            state.ports[slot] = port
            state.isReady[slot] = !self.checksHealth
        }
    }

    /// The replica in `slot` is gone. A balancer that checks health is not told.
    func remove(_ slot: Int) {
        guard !self.checksHealth else { return }
        self.state.withLock { $0.ports[slot] = nil }
    }

    /// What a health check found. Replicas that are not ready get no requests while another is.
    private func mark(_ target: Target, ready: Bool) {
        self.state.withLock { state in
            if state.ports[target.slot] == target.port { state.isReady[target.slot] = ready }
        }
    }

    /// The next replica in turn; nil while there is none.
    func next() -> Target? {
        self.state.withLock { state in
            let there = state.ports.indices.filter { state.ports[$0] != nil }
            let ready = there.filter { state.isReady[$0] }
            let choice = ready.isEmpty ? there : ready
            guard !choice.isEmpty else { return nil }
            state.next += 1
            let slot = choice[state.next % choice.count]
            return state.ports[slot].map { Target(slot: slot, port: $0) }
        }
    }

    /// The replica in `slot`, if there is one.
    func target(_ slot: Int) -> Target? {
        self.state.withLock { state in state.ports[slot].map { Target(slot: slot, port: $0) } }
    }

    // MARK: - Health checks

    /// Asks all replicas once a second, as the shipped configurations do, until this task is cancelled, if it checks health.
    func checkHealth(on threads: BlockingPool) async throws {
        guard self.checksHealth else { return }
        let slots = self.state.withLock { $0.ports.indices }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for slot in slots { group.addTask { try await self.checkHealth(of: slot, on: threads) } }
            try await group.waitForAll()
        }
    }

    /// Two failures in a row make a replica unready, one success ready.
    private func checkHealth(of slot: Int, on threads: BlockingPool) async throws {
        var failures = 0
        while true {
            if let target = self.target(slot) {
                let isReady = try await threads.run { Caller(port: target.port, token: "", patience: 1).saysReady }
                failures = isReady ? 0 : failures + 1
                if isReady || failures > 1 { self.mark(target, ready: isReady) }
            }
            try await Task.sleep(for: .seconds(1))
        }
    }
}
