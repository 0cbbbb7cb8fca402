import Glibc

/// A value that is only reachable while its lock is held.
///
/// A pthread mutex and not `Synchronization.Mutex`: the thread sanitizer does not see the latter's futex and reports
/// false races through it, and a sanitizer run that is never clean is a sanitizer run that nobody reads.
///
/// `@unchecked Sendable`: the mutex is what makes it safe.
package final class Locked<State>: @unchecked Sendable {
    private var state: State
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>

    /// Wraps `state`.
    package init(_ state: sending State) {
        self.state = state
        self.mutex = .allocate(capacity: 1)
        self.mutex.initialize(to: pthread_mutex_t())
        pthread_mutex_init(self.mutex, nil)
    }

    deinit {
        pthread_mutex_destroy(self.mutex)
        self.mutex.deinitialize(count: 1)
        self.mutex.deallocate()
    }

    /// Runs `body` with exclusive access. Decide inside, act outside: never call out, await or block in `body`.
    package func withLock<Result, Failure: Error>(
        _ body: (inout State) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        pthread_mutex_lock(self.mutex)
        defer { pthread_mutex_unlock(self.mutex) }
        return try body(&self.state)
    }
}
