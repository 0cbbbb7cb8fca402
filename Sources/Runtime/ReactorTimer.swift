/// A call that a reactor makes once, later.
///
/// `@unchecked Sendable`: `isCancelled` is locked, the rest is immutable or belongs to the reactor's thread.
package final class ReactorTimer: @unchecked Sendable {
    let deadline: ContinuousClock.Instant
    private let body: Locked<Body>

    /// A bare closure as the lock's state would gain a reabstraction thunk at every access.
    private struct Body {
        var call: (@Sendable () -> Void)?
    }

    init(deadline: ContinuousClock.Instant, body: @escaping @Sendable () -> Void) {
        self.deadline = deadline
        self.body = Locked(Body(call: body))
    }

    /// Prevents the call if it has not begun. Callable from any thread; frees what the call would have used.
    package func cancel() {
        self.body.withLock { $0.call = nil }
    }

    func fire() {
        let body = self.body.withLock { stored in
            defer { stored.call = nil }
            return stored
        }
        body.call?()
    }

    fileprivate var isCancelled: Bool {
        self.body.withLock { $0.call == nil }
    }
}

/// Timers by deadline: a binary heap, because a gateway arms and cancels far more timers than ever fire.
struct TimerHeap {
    private var heap: [ReactorTimer] = []
    private var sweepAt = 1024

    mutating func insert(_ timer: ReactorTimer) {
        if self.heap.count >= self.sweepAt {
            self.sweep()
        }
        self.heap.append(timer)
        self.siftUp(self.heap.count - 1)
    }

    /// Milliseconds until the next deadline, rounded up so that the reactor never spins; -1 with no timer.
    mutating func millisecondsToNext(from now: ContinuousClock.Instant) -> Int32 {
        while let first = self.heap.first, first.isCancelled {
            _ = self.removeFirst()
        }
        guard let first = self.heap.first else { return -1 }
        let (seconds, attoseconds) = (first.deadline - now).components
        guard seconds >= 0, attoseconds >= 0 else { return 0 }
        let milliseconds = min(seconds, 3600) * 1000 + (attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000
        return Int32(milliseconds)
    }

    /// The next timer that is due, or cancelled, which makes firing it do nothing; nil when there is none. It is handed
    /// out, not fired here: what it calls may insert another.
    mutating func next(due now: ContinuousClock.Instant) -> ReactorTimer? {
        guard let first = self.heap.first, first.deadline <= now || first.isCancelled else { return nil }
        return self.removeFirst()
    }

    /// Drops cancelled timers, so that long deadlines that never come do not hold memory.
    private mutating func sweep() {
        self.heap.removeAll(where: \.isCancelled)
        self.sweepAt = max(1024, self.heap.count * 2)
        for index in stride(from: self.heap.count / 2 - 1, through: 0, by: -1) {
            self.siftDown(index)
        }
    }

    private mutating func removeFirst() -> ReactorTimer {
        let first = self.heap[0]
        let last = self.heap.removeLast()
        if !self.heap.isEmpty {
            self.heap[0] = last
            self.siftDown(0)
        }
        return first
    }

    private mutating func siftUp(_ start: Int) {
        var child = start
        while child > 0 {
            let parent = (child - 1) / 2
            guard self.heap[child].deadline < self.heap[parent].deadline else { return }
            self.heap.swapAt(child, parent)
            child = parent
        }
    }

    private mutating func siftDown(_ start: Int) {
        var parent = start
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < self.heap.count {
                if self.heap[child].deadline < self.heap[least].deadline { least = child }
            }
            guard least != parent else { return }
            self.heap.swapAt(parent, least)
            parent = least
        }
    }
}
