/// What an archive says about one file, directory or symbolic link.
package struct ArchiveEntry: Hashable, Sendable {
    /// What it is.
    package enum Kind: Hashable, Sendable {
        /// A file of so many bytes, which follow.
        case file(size: Int64)
        case directory
        /// A symbolic link and where it leads.
        case link(target: [UInt8])
        /// Anything else, by its name in tar's language; never written.
        case other(String)
    }

    /// Its path: bytes as the file system has them, which need not be UTF-8.
    package var path: [UInt8]
    /// What it is.
    package var kind: Kind
    /// The permission bits.
    package var mode: UInt32
    /// When it was modified, in nanoseconds since 1970.
    package var modified: Int64

    package init(path: [UInt8], kind: Kind, mode: UInt32, modified: Int64) {
        self.path = path
        self.kind = kind
        self.mode = mode
        self.modified = modified
    }

    /// Bytes that follow it.
    package var size: Int64 {
        guard case .file(let size) = self.kind else { return 0 }
        return size
    }
}

/// A path as people read it: what is no UTF-8 is replaced.
func readable(_ path: some Sequence<UInt8>) -> String {
    String(decoding: Array(path.prefix(1_000)), as: UTF8.self)
}
