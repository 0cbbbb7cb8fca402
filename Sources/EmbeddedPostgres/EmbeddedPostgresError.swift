/// Why a private server could not be found, set up or started.
package struct EmbeddedPostgresError: Error, CustomStringConvertible, Sendable {
    /// What went wrong, for decisions and tests.
    package enum Code: String, Sendable {
        /// No PostgreSQL binaries, or no `setpriv`, on this machine.
        case missingProgram
        /// The data folder cannot be used: not creatable, not reachable for the server's user, or of the other mode.
        case unusableDirectory
        /// The folder for the socket belongs to someone else or its path is too long.
        case unusableSocketDirectory
        /// Nobody to run the server as: root may not, and there is no unprivileged account.
        case noAccount
        /// Another process has been setting up the same folder for too long.
        case busy
        /// `initdb` or `postgres` failed or was not ready in time; the message ends with the tail of its log.
        case failed
    }

    /// What went wrong.
    package let code: Code
    /// One sentence for a person, with what to do where there is something to do.
    package let message: String
    /// The system's own error, if there was one.
    package let cause: (any Error)?

    init(_ code: Code, _ message: String, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
    }

    /// The message and, after a colon, the cause.
    package var description: String {
        self.cause.map { "\(self.message): \($0)" } ?? self.message
    }
}
