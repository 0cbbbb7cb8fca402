import Runtime

/// Lets so many through at once and the others wait their turn, first come, first served: starting a program is bound
/// by the processor, and a hundred at once all come too late.
final class StartGate: Sendable {
    private struct State {
        var free: Int
        var waiting: [OneShot<Void>] = []
    }

    private let state: Locked<State>

    init(places: Int) {
        self.state = Locked(State(free: places))
    }

    /// Returns once there is a place; it is the caller's until `leave`.
    func enter() async {
        let mine = self.state.withLock { state -> OneShot<Void>? in
            guard state.free == 0 else {
                state.free -= 1
                return nil
            }
            let mine = OneShot<Void>()
            state.waiting.append(mine)
            return mine
        }
        await mine?.value()
    }

    /// Gives the place to the one who has waited longest.
    func leave() {
        let next = self.state.withLock { state -> OneShot<Void>? in
            guard !state.waiting.isEmpty else {
                state.free += 1
                return nil
            }
            return state.waiting.removeFirst()
        }
        next?.resolve(())
    }

    /// How many wait.
    var queue: Int { self.state.withLock { $0.waiting.count } }
}

/// Wakes one waiting task. Raised while nobody waits, it is remembered once.
final class Wakeup: Sendable {
    private struct State {
        var isRaised = false
        var waiter: OneShot<Void>?
    }

    private let state = Locked(State())

    init() {}

    /// Wakes the waiter, or the next one at once.
    func raise() {
        let waiter = self.state.withLock { state -> OneShot<Void>? in
            guard let waiter = state.waiter else {
                state.isRaised = true
                return nil
            }
            state.waiter = nil
            return waiter
        }
        waiter?.resolve(())
    }

    /// Waits for the next raise. One task at a time; deaf to cancellation, so raise it when that matters.
    func wait() async {
        let waiter = self.state.withLock { state -> OneShot<Void>? in
            guard !state.isRaised else {
                state.isRaised = false
                return nil
            }
            let waiter = OneShot<Void>()
            state.waiter = waiter
            return waiter
        }
        await waiter?.value()
    }
}
