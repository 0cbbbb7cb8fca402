import Glibc

/// A few threads for calls that block (name look-ups, archives, cancelling a query), so that neither a reactor nor the
/// cooperative pool ever waits for them.
package final class BlockingPool: Sendable {
    private struct State {
        var queue: [@Sendable () -> Void] = []
        var idle = 0
        var threads = 0
    }

    private let limit: Int
    private let state = Locked(State())
    private let signal: Semaphore

    /// At most `threads` calls run at once; threads start when first needed and then stay.
    package init(threads: Int) {
        self.limit = threads
        self.signal = Semaphore()
    }

    /// Runs `body` on one of the threads and returns what it returns or throws. Not interrupted by cancellation.
    package func run<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
        let result = OneShot<Result<Value, any Error>>()
        self.submit { result.resolve(Result { try body() }) }
        return try await result.value().get()
    }

    private func submit(_ work: @escaping @Sendable () -> Void) {
        let mustStart = self.state.withLock { state in
            state.queue.append(work)
            guard state.idle < state.queue.count, state.threads < self.limit else { return false }
            state.threads += 1
            return true
        }
        if mustStart { self.startThread() }
        self.signal.post()
    }

    private func startThread() {
        let context = Unmanaged.passRetained(self)
        var thread = pthread_t()
        guard pthread_create(&thread, nil, blockingThreadMain, context.toOpaque()) == 0 else {
            context.release()
            let alone = self.state.withLock { state in
                state.threads -= 1
                return state.threads == 0
            }
            precondition(!alone, "the system gives no thread")
            return
        }
        pthread_detach(thread)
    }

    fileprivate func work() {
        while true {
            self.state.withLock { $0.idle += 1 }
            self.signal.wait()
            let work = self.state.withLock { state in
                state.idle -= 1
                return state.queue.isEmpty ? nil : state.queue.removeFirst()
            }
            work?()
        }
    }
}

private func blockingThreadMain(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let context else { return nil }
    var all = sigset_t()
    sigfillset(&all)
    pthread_sigmask(SIG_BLOCK, &all, nil)
    Unmanaged<BlockingPool>.fromOpaque(context).takeRetainedValue().work()
    return nil
}

/// A counting semaphore. `@unchecked Sendable`: the C semaphore is made for that.
private final class Semaphore: @unchecked Sendable {
    private let raw: UnsafeMutablePointer<sem_t>

    init() {
        self.raw = .allocate(capacity: 1)
        sem_init(self.raw, 0, 0)
    }

    deinit {
        sem_destroy(self.raw)
        self.raw.deallocate()
    }

    func post() {
        sem_post(self.raw)
    }

    func wait() {
        while sem_wait(self.raw) != 0 {}
    }
}
