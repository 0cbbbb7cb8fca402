internal import CRuntime
import Glibc

/// Unix signals as callbacks on a reactor.
package enum Signals {
    /// Prepares a process before it has any other thread: ignores SIGPIPE (a peer that left is an error of the write,
    /// not the end of the process), has large freed memory go back to the system and raises the limit of open descriptors
    /// to what is allowed. Returns that limit.
    package static func prepareProcess() -> Int {
        signal(SIGPIPE, SIG_IGN)
        // Left alone, glibc learns to keep large blocks once one was freed: a burst of large replies would stay in the
        // process's memory for good.
        crt_return_large_blocks()
        return crt_raise_descriptor_limit()
    }

    /// Calls `body` with each of `signals` that arrives from now on, instead of what it does by default. A process has
    /// one such watch at a time: a later one takes over.
    ///
    /// By handlers that write to a pipe and not by `signalfd`, which needs the signals blocked in every thread: an
    /// asynchronous `main` unblocks all while it waits.
    package static func watch(
        _ signals: [Int32],
        on reactor: Reactor,
        _ body: @escaping @Sendable (Int32) -> Void
    ) throws(SystemError) -> Watch {
        let descriptor = try SystemError.check("sigaction", crt_signal_descriptor(signals, Int32(signals.count)))
        return reactor.watch(descriptor, for: .readable) { _ in
            while case let number = crt_next_signal(descriptor), number > 0 {
                body(number)
            }
        }
    }
}
