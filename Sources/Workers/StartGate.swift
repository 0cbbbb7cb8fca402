package import Runtime

/// Who waits for a worker.
package struct StartWait: Sendable {
    let interval: Duration
    let isOver: StopSignal
    let isWanted: @Sendable () async -> Bool
    let begun: @Sendable (Worker) -> Void

    /// `isWanted` is asked every `interval` while the start waits its turn, and when the turn has come; a start that still
    /// waits when `isOver` is raised is not wanted. `begun` gets the worker before it is started, to freeze or kill it.
    package init(
        askedEvery interval: Duration,
        until isOver: StopSignal = StopSignal(),
        isWanted: @escaping @Sendable () async -> Bool,
        begun: @escaping @Sendable (Worker) -> Void = { _ in }
    ) {
        self.interval = interval
        self.isOver = isOver
        self.isWanted = isWanted
        self.begun = begun
    }
}

/// Lets so many through at once and the others wait their turn, first come, first served: starting a program is bound
/// by the processor, and a hundred at once all come too late.
final class StartGate: Sendable {
    private struct State {
        var free: Int
        var waiting: [OneShot<Bool>] = []
    }

    private let state: Locked<State>

    init(places: Int) {
        self.state = Locked(State(free: places))
    }

    /// Returns once there is a place; it is the caller's until `leave`. False, without a place, when `wait` does not want
    /// one any more.
    @discardableResult
    func enter(_ wait: StartWait? = nil) async -> Bool {
        let mine = self.state.withLock { state -> OneShot<Bool>? in
            guard state.free == 0 else {
                state.free -= 1
                return nil
            }
            let mine = OneShot<Bool>()
            state.waiting.append(mine)
            return mine
        }
        guard let mine else { return true }
        guard let wait else { return await mine.value() }
        let forget = wait.isOver.whenRaised { self.withdraw(mine) }
        let hasAnswer = StopSignal()
        // No child of the caller's task, whose cancellation would make it ask without a pause; awaited below.
        let asking = Task {
            while await !hasAnswer.wait(atMost: wait.interval) {
                guard await wait.isWanted() else { return self.withdraw(mine) }
            }
        }
        let hasPlace = await mine.value()
        hasAnswer.raise()
        forget()
        await asking.value
        guard hasPlace else { return false }
        guard !wait.isOver.isRaised, await wait.isWanted() else {
            self.leave()
            return false
        }
        return true
    }

    /// Whoever has been given a place by now gives it back by itself.
    private func withdraw(_ mine: OneShot<Bool>) {
        let wasWaiting = self.state.withLock { state in
            guard let index = state.waiting.firstIndex(where: { $0 === mine }) else { return false }
            state.waiting.remove(at: index)
            return true
        }
        if wasWaiting { mine.resolve(false) }
    }

    /// Gives the place to the one who has waited longest.
    func leave() {
        let next = self.state.withLock { state -> OneShot<Bool>? in
            guard !state.waiting.isEmpty else {
                state.free += 1
                return nil
            }
            return state.waiting.removeFirst()
        }
        next?.resolve(true)
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
