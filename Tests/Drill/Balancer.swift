import Runtime

/// Whom a client talks to: the replicas in turn, as a balancer without sticky sessions would choose.
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

    private let state: Locked<State>

    init(slots: Int) {
        self.state = Locked(
            State(ports: Array(repeating: nil, count: slots), isReady: Array(repeating: true, count: slots))
        )
    }

    /// A replica came up at `port`, or is gone.
    func place(_ slot: Int, at port: Int?) {
        self.state.withLock { state in
            state.ports[slot] = port
            state.isReady[slot] = true
        }
    }

    /// What a health check found. Replicas that are not ready get no requests while another is.
    func mark(_ slot: Int, ready: Bool) {
        self.state.withLock { $0.isReady[slot] = ready }
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
}
