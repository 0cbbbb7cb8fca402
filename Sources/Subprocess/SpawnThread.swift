internal import CRuntime
import Glibc

/// The one thread that spawns.
///
/// It never ends: the kernel sends a child its parent-death signal when the *thread* that spawned it ends.
///
/// It blocks all signals, as the reactors do: those of this process are for other threads. The launcher inherits the mask,
/// so none can hit it before it is ready, and starts the program with an empty one.
///
/// `@unchecked Sendable`: `queue` is only touched with `mutex` held.
final class SpawnThread: @unchecked Sendable {
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let isFilled: UnsafeMutablePointer<pthread_cond_t>
    private var queue: [@Sendable () -> Void] = []

    init() {
        self.mutex = .allocate(capacity: 1)
        self.isFilled = .allocate(capacity: 1)
        self.mutex.initialize(to: pthread_mutex_t())
        self.isFilled.initialize(to: pthread_cond_t())
        pthread_mutex_init(self.mutex, nil)
        pthread_cond_init(self.isFilled, nil)
        // The thread keeps this object for ever, so the mutex is never freed under it.
        let context = Unmanaged.passRetained(self)
        var thread = pthread_t()
        let code = pthread_create(&thread, nil, spawnThreadMain, context.toOpaque())
        precondition(code == 0, "the system gives no thread to spawn from")
        pthread_detach(thread)
    }

    /// Runs `work` on the thread, after all that was submitted before.
    func submit(_ work: @escaping @Sendable () -> Void) {
        pthread_mutex_lock(self.mutex)
        self.queue.append(work)
        pthread_cond_signal(self.isFilled)
        pthread_mutex_unlock(self.mutex)
    }

    fileprivate func loop() -> Never {
        while true {
            pthread_mutex_lock(self.mutex)
            while self.queue.isEmpty { pthread_cond_wait(self.isFilled, self.mutex) }
            let batch = self.queue
            self.queue = []
            pthread_mutex_unlock(self.mutex)
            for work in batch { work() }
        }
    }
}

private func spawnThreadMain(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let context else { return nil }
    var all = sigset_t()
    sigfillset(&all)
    pthread_sigmask(SIG_BLOCK, &all, nil)
    crt_name_thread("spawner")
    Unmanaged<SpawnThread>.fromOpaque(context).takeUnretainedValue().loop()
}
