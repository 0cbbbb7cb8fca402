/// A one-way flag that long-lived work waits for: raised once, never lowered.
package final class StopSignal: Sendable {
    private struct State {
        var raised = false
        var nextID = 0
        var waiters: [Int: @Sendable () -> Void] = [:]
    }

    private let state = Locked(State())

    package init() {}

    /// Whether the flag is up.
    package var isRaised: Bool {
        self.state.withLock { $0.raised }
    }

    /// Raises the flag and wakes everyone. Raising twice is harmless.
    package func raise() {
        let waiters = self.state.withLock { state in
            state.raised = true
            defer { state.waiters = [:] }
            return state.waiters
        }
        for waiter in waiters.values { waiter() }
    }

    /// Calls `body` once when the flag goes up: now, if it is up. Returns a closure that takes the request back.
    @discardableResult
    package func whenRaised(_ body: @escaping @Sendable () -> Void) -> @Sendable () -> Void {
        let id = self.state.withLock { state -> Int? in
            guard !state.raised else { return nil }
            state.nextID += 1
            state.waiters[state.nextID] = body
            return state.nextID
        }
        guard let id else {
            body()
            return {}
        }
        return { _ = self.state.withLock { $0.waiters.removeValue(forKey: id) } }
    }

    /// Returns when the flag goes up or the calling task is cancelled.
    package func wait() async {
        let once = OneShot<Void>()
        let forget = self.whenRaised { once.resolve(()) }
        await withTaskCancellationHandler {
            await once.value()
        } onCancel: {
            once.resolve(())
        }
        forget()
    }

    /// Returns when this flag or `other` goes up, whether the task is cancelled or not.
    package func wait(or other: StopSignal) async {
        let once = OneShot<Void>()
        let forget = [self, other].map { $0.whenRaised { once.resolve(()) } }
        await once.value()
        for forget in forget { forget() }
    }

    /// Waits for `delay` or the flag, whichever comes first; returns whether the flag is up.
    package func wait(atMost delay: Duration) async -> Bool {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.wait() }
            group.addTask { try? await Task.sleep(for: delay) }
            await group.next()
            group.cancelAll()
        }
        return self.isRaised
    }
}

/// A value that arrives once: the bridge from a callback to a waiting task. The first `resolve` wins, later ones do
/// nothing; any number of tasks may wait.
package final class OneShot<Value: Sendable>: Sendable {
    private enum State {
        case waiting([CheckedContinuation<Value, Never>])
        case resolved(Value)
    }

    private let state = Locked(State.waiting([]))

    package init() {}

    /// Delivers `value` to everyone who waits now or later. Returns false when a value had arrived before.
    @discardableResult
    package func resolve(_ value: Value) -> Bool {
        let waiters = self.state.withLock { state -> [CheckedContinuation<Value, Never>]? in
            guard case .waiting(let waiters) = state else { return nil }
            state = .resolved(value)
            return waiters
        }
        guard let waiters else { return false }
        for waiter in waiters { waiter.resume(returning: value) }
        return true
    }

    /// Waits for the value. Not cancellable: resolve it on cancellation where that matters.
    package func value() async -> Value {
        await withCheckedContinuation { continuation in
            let resolved = self.state.withLock { state -> Value? in
                switch state {
                case .resolved(let value):
                    return value
                case .waiting(let waiters):
                    state = .waiting(waiters + [continuation])
                    return nil
                }
            }
            if let resolved { continuation.resume(returning: resolved) }
        }
    }
}
