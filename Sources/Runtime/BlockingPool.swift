import Glibc

/// A few threads for calls that block (name look-ups, archives, cancelling a query), so that neither a reactor nor the
/// cooperative pool ever waits for them. They start when first needed, and end when nobody holds the pool any more and
/// what it was asked for is done.
package final class BlockingPool: Sendable {
    private let crew: Crew

    /// At most `threads` calls run at once.
    package init(threads: Int) {
        self.crew = Crew(limit: threads)
    }

    deinit {
        self.crew.dismiss()
    }

    /// Runs `body` on one of the threads and returns what it returns or throws. Not interrupted by cancellation. Throws a
    /// `SystemError` when there is no thread and the system gives none.
    package func run<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
        let result = OneShot<Result<Value, any Error>>()
        self.crew.submit { refusal in
            result.resolve(
                Result {
                    if let refusal { throw refusal }
                    return try body()
                }
            )
        }
        return try await result.value().get()
    }
}

/// The threads of a pool and what they have to do. They hold it, and not the pool, so that the pool can end.
private final class Crew: Sendable {
    /// Told why when it cannot be done.
    typealias Work = @Sendable (SystemError?) -> Void

    private struct State {
        var queue: [Work] = []
        var idle = 0
        var threads = 0
        var isDismissed = false
    }

    private let limit: Int
    private let state = Locked(State())
    private let signal = Semaphore()

    init(limit: Int) {
        self.limit = limit
    }

    func submit(_ work: @escaping Work) {
        let mustStart = self.state.withLock { state in
            state.queue.append(work)
            guard state.idle < state.queue.count, state.threads < self.limit else { return false }
            state.threads += 1
            return true
        }
        if mustStart { self.startThread() }
        self.signal.post()
    }

    /// Lets the threads go once the queue is empty: each gets one signal more than there is work.
    func dismiss() {
        let threads = self.state.withLock { state in
            state.isDismissed = true
            return state.threads
        }
        for _ in 0..<threads { self.signal.post() }
    }

    private func startThread() {
        let context = Unmanaged.passRetained(self)
        var thread = pthread_t()
        let number = pthread_create(&thread, nil, blockingThreadMain, context.toOpaque())
        guard number == 0 else {
            context.release()
            // Whoever waits is served by the threads there are; without any, nobody would be.
            let stranded = self.state.withLock { state in
                state.threads -= 1
                guard state.threads == 0 else { return [Work]() }
                defer { state.queue = [] }
                return state.queue
            }
            for work in stranded { work(SystemError(call: "pthread_create", number: number)) }
            return
        }
        pthread_detach(thread)
    }

    fileprivate func work() {
        while true {
            self.state.withLock { $0.idle += 1 }
            self.signal.wait()
            let (work, isOver) = self.state.withLock { state in
                state.idle -= 1
                return state.queue.isEmpty ? (nil, state.isDismissed) : (state.queue.removeFirst(), false)
            }
            if isOver { return }
            work?(nil)
        }
    }
}

private func blockingThreadMain(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let context else { return nil }
    var all = sigset_t()
    sigfillset(&all)
    pthread_sigmask(SIG_BLOCK, &all, nil)
    Unmanaged<Crew>.fromOpaque(context).takeRetainedValue().work()
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
