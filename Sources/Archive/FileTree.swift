import Glibc

/// What is known of a directory tree without its bytes: enough to say what has changed since.
///
/// A value that shares what did not change with the one it was made from.
package struct FileTree: Sendable {
    let root: Node
    /// Files, directories and links.
    package let entries: Int
    /// Bytes of all files, holes included.
    package let bytes: Int
    /// Devices, sockets, fifos and mounted directories, which are passed over.
    package let skipped: Int

    /// Bytes of a file that are compared, and kept, as one.
    static let blockBytes = 8 << 10
    /// Bytes of a block's digest: half of a SHA-256.
    static let digestBytes = 16

    /// A file, a directory or a link as it was.
    final class Node: Sendable {
        enum Content {
            /// In the order of their names.
            case directory([Node])
            /// The digests of its blocks, one after another.
            case file(digests: [UInt8])
            case link(target: [UInt8])
        }

        /// With a NUL at the end, as the system takes it.
        let name: [CChar]
        let stamp: FileStamp
        let mode: UInt32
        /// It was changed so shortly before the look at it that a later change may have left the same stamp.
        let isFresh: Bool
        let content: Content
        /// Beside the content, which costs a copy to be asked.
        let isFile: Bool

        init(name: [CChar], stamp: FileStamp, mode: UInt32, isFresh: Bool, content: Content) {
            self.name = name
            self.stamp = stamp
            self.mode = mode
            self.isFresh = isFresh
            self.content = content
            self.isFile = if case .file = content { true } else { false }
        }

        var nameBytes: [UInt8] { self.name.dropLast().map { UInt8(bitPattern: $0) } }

        var isDirectory: Bool {
            if case .directory = self.content { true } else { false }
        }

        /// In the order of their names; empty for everything but a directory.
        var children: [Node] {
            if case .directory(let children) = self.content { children } else { [] }
        }
    }
}

/// What the system says of a file that changes when the file does.
struct FileStamp: Hashable, Sendable {
    let size: Int64
    /// Nanoseconds since 1970.
    let modified: Int64
    let changed: Int64
    let inode: UInt64

    init(_ status: stat) {
        self.size = Int64(status.st_size)
        self.modified = Self.nanoseconds(status.st_mtim)
        self.changed = Self.nanoseconds(status.st_ctim)
        self.inode = UInt64(status.st_ino)
    }

    private static func nanoseconds(_ time: timespec) -> Int64 {
        Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec)
    }

    /// Times are as coarse as the kernel's tick, at most 10 ms. A change less than two ticks ago may be followed by another
    /// that leaves no trace.
    func isFresh(at now: Int64) -> Bool {
        max(self.modified, self.changed) > now - 20_000_000
    }

    static func now() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Self.nanoseconds(time)
    }
}

/// How much of a tree is acceptable, and until when.
package struct TreeLimits: Sendable {
    /// Bytes of all files, holes included.
    package var bytes: Int
    /// Files, directories and links.
    package var entries: Int
    /// Asked now and then; true to give up.
    package var isStopped: @Sendable () -> Bool

    package init(bytes: Int, entries: Int, isStopped: @escaping @Sendable () -> Bool = { false }) {
        self.bytes = bytes
        self.entries = entries
        self.isStopped = isStopped
    }

    /// Directories within each other.
    static let depth = 100
}

/// The order of names in a directory.
func precedes(_ left: [CChar], _ right: [CChar]) -> Bool {
    left.withUnsafeBufferPointer { left in
        right.withUnsafeBufferPointer { right in
            guard let left = left.baseAddress, let right = right.baseAddress else { return false }
            return strcmp(left, right) < 0
        }
    }
}
