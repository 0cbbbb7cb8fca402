import Glibc
import Runtime

/// Reads lines that somebody types, and can be told to stop waiting for one.
struct Typist: Sendable {
    /// How long a cancelled wait may go on, in milliseconds.
    private static let patience: Int32 = 100
    private let pool = BlockingPool(threads: 1)

    /// The next line without its newline; nil at the end of the input. One caller at a time.
    func line() async throws -> String? {
        try await self.pool.run { readLine() }
    }

    /// The same, but nil also once the task is cancelled. What had been typed by then stays for the next reader. For
    /// terminals only: they give whole lines, so that nothing waits unseen in this process's own buffer.
    func lineUnlessCancelled() async throws -> String? {
        let isOver = Locked(false)
        return try await withTaskCancellationHandler {
            try await self.pool.run {
                while !isOver.withLock({ $0 }) {
                    var input = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
                    if poll(&input, 1, Self.patience) > 0 { return readLine() }
                }
                return nil
            }
        } onCancel: {
            isOver.withLock { $0 = true }
        }
    }
}
