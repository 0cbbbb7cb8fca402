/// How a process ended.
package enum ExitStatus: Hashable, Sendable, CustomStringConvertible {
    /// By itself, with an exit code of 0 to 255.
    case exited(Int32)
    /// By a signal.
    case signalled(Int32)

    package var description: String {
        switch self {
        case .exited(let code): "exited with \(code)"
        case .signalled(let number): "ended by signal \(number)"
        }
    }
}
