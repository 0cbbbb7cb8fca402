/// A child process that could not be started, fed or read.
package struct SubprocessError: Error, CustomStringConvertible, Sendable {
    /// What went wrong, for code that decides.
    package enum Code: String, Sendable {
        /// The launcher was not found; the installation or the build is incomplete.
        case launcherMissing
        /// The command holds a value that no process can be given.
        case invalidCommand
        /// The program does not exist or may not be executed.
        case executableMissing
        /// This process has too few free descriptors for another child.
        case tooManyDescriptors
        /// The launcher itself could not be spawned.
        case spawnFailed
        /// The launcher ran but could not become the program: bad interpreter, directory, user or limit.
        case cannotExecute
        /// The child's standard input is closed, by us or by the child.
        case inputClosed
        /// The child wrote a line longer than its bound.
        case lineTooLong
    }

    /// What went wrong, for code that decides.
    package let code: Code
    /// What went wrong, for people.
    package let message: String
    /// The error below, if any.
    package let cause: (any Error)?

    package init(_ code: Code, _ message: String, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
    }

    package var description: String {
        guard let cause = self.cause else { return self.message }
        return "\(self.message): \(cause)"
    }
}
