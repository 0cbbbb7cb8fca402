import Runtime

/// A coalescing bell: rung any number of times before anybody listens, it wakes one wait once.
final class WakeUp: Sendable {
    private struct State {
        var isRung = false
        var waiter: OneShot<Void>?
    }

    private let reactor: Reactor
    private let state = Locked(State())

    /// `reactor` keeps the time.
    init(reactor: Reactor) {
        self.reactor = reactor
    }

    /// Wakes the waiting task, or the next one to wait.
    func signal() {
        let waiter = self.state.withLock { state in
            state.isRung = true
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resolve(())
    }

    /// Returns when the bell rings, `patience` passes, `stop` is raised or the task is cancelled. One task at a time.
    func wait(atMost patience: Duration, or stop: StopSignal? = nil) async {
        let shot = OneShot<Void>()
        let mustWait = self.state.withLock { state in
            defer { state.isRung = false }
            if !state.isRung { state.waiter = shot }
            return !state.isRung
        }
        guard mustWait else { return }
        let forget = stop?.whenRaised { shot.resolve(()) }
        let timer = self.reactor.after(patience) { shot.resolve(()) }
        await withTaskCancellationHandler {
            await shot.value()
        } onCancel: {
            shot.resolve(())
        }
        timer.cancel()
        forget?()
        self.state.withLock { state in
            state.isRung = false
            state.waiter = nil
        }
    }
}
