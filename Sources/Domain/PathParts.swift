/// A path in parts, as the system sees them.
package enum PathParts {
    private static let slash = UInt8(ascii: "/")

    /// What stands between the slashes, empty parts too. Cut by bytes: a slash and a mark that combines with it are one
    /// character to Swift, so that `..` before them would be no part of its own.
    package static func of(_ path: String) -> [String] {
        path.utf8.split(separator: self.slash, omittingEmptySubsequences: false).map {
            String(decoding: $0, as: UTF8.self)
        }
    }

    /// Whether the path begins at the root.
    static func isAbsolute(_ path: String) -> Bool { path.utf8.first == self.slash }
}
