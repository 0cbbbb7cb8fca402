package import Runtime

/// Why an archive could not be written, read, made of a tree or made into one.
package enum ArchiveError: Error, Hashable, Sendable, CustomStringConvertible {
    /// There is more of something than the caller allows.
    case tooMuch(String, limit: Int)
    /// The archive is damaged, or holds what no archive of this module does.
    case malformed(String)
    /// A file did not stay the same for as long as it takes to read it.
    case changing(String)
    /// The system refused something about the file or directory of this path.
    case refused(path: String, SystemError)
    /// The caller wants no more of it.
    case stopped

    /// Whether another try may do.
    package var isPassing: Bool {
        if case .changing = self { true } else { false }
    }

    package var description: String {
        switch self {
        case .tooMuch(let what, let limit): "more than \(limit) \(what)"
        case .malformed(let what): "the archive is not acceptable: \(what)"
        case .changing(let path): "\(path) kept changing while it was read"
        case .refused(let path, let error): "\(path): \(error)"
        case .stopped: "it was stopped"
        }
    }
}
