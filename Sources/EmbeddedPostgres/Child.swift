internal import CRuntime
internal import Foundation
import Runtime

/// A child process that the calling thread started and will wait for.
///
/// `posix_spawn` and not Foundation's `Process`: the server needs a session of its own (a Ctrl-C meant for us must not
/// stop it before we have finished with it) and none of our descriptors, and `Process` offers neither.
final class Child: Sendable {
    private let process: pid_t
    private let descriptor: Int32
    private let status = Locked<Int32?>(nil)

    /// Starts `command` with nothing to read and with `output` for both what it writes. Throws `failed`.
    init(_ command: [String], environment: [String], output: Int32) throws(EmbeddedPostgresError) {
        var process: pid_t = 0
        let number = Self.withCStrings(command) { arguments in
            Self.withCStrings(environment) { environment in
                crt_spawn_session(&process, arguments, environment, output)
            }
        }
        guard number == 0 else {
            let cause = SystemError(call: "posix_spawn", number: number)
            throw EmbeddedPostgresError(.failed, "cannot start \(command[0])", cause: cause)
        }
        self.process = process
        self.descriptor = crt_pidfd_open(process)
    }

    deinit {
        if self.descriptor >= 0 { close(self.descriptor) }
    }

    /// Sends a signal to this very process: the descriptor never means another one that got the same number later.
    func send(_ signal: Int32) {
        guard self.status.withLock({ $0 == nil }) else { return }
        _ = crt_pidfd_send_signal(self.descriptor, signal)
    }

    /// Whether the process has ended. Only for the thread that waits for it.
    var hasEnded: Bool {
        if self.status.withLock({ $0 != nil }) { return true }
        var status: Int32 = 0
        guard waitpid(self.process, &status, WNOHANG) == self.process else { return false }
        self.status.withLock { $0 = status }
        return true
    }

    /// Blocks until the process has ended; returns its wait status, 0 for success.
    @discardableResult
    func awaitEnd() -> Int32 {
        if let known = self.status.withLock({ $0 }) { return known }
        var status: Int32 = 0
        while waitpid(self.process, &status, 0) == -1 && crt_errno() == EINTR {}
        self.status.withLock { $0 = status }
        return status
    }

    private static func withCStrings<Value>(
        _ strings: [String],
        _ body: ([UnsafeMutablePointer<CChar>?]) -> Value
    ) -> Value {
        let copies = strings.map { strdup($0) }
        defer { copies.forEach { free($0) } }
        return body(copies + [nil])
    }
}
