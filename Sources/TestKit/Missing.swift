import Glibc

/// Something that the tests need and that is not there.
package struct Missing: Error, CustomStringConvertible {
    /// What, and how to get it.
    package let description: String

    package init(description: String) {
        self.description = description
    }

    /// `path`, if it can be executed; `remedy` says how to get it.
    package static func program(_ path: String, remedy: String) throws -> String {
        guard access(path, X_OK) == 0 else { throw Missing(description: "\(path) is missing: \(remedy)") }
        return path
    }
}
