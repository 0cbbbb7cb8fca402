import Glibc
import Runtime

/// Trees as archives: a whole one that any tar can unpack, or what has changed since another.
///
/// What has changed is an archive of the same form. Its first entry `@removed` lists paths, each with a NUL behind it, of
/// which nothing stays; then come files, directories and links as they are now, and below `@blocks/` the changed blocks of
/// files that are mostly as they were (`BlockList`). No path of a tree begins so: the selection names what is at the top.
package enum TreeArchive {
    static let removed = Array("@removed".utf8)
    static let blocks = Array("@blocks/".utf8)

    /// An archive of what is in `tree`, or of what makes `tree` of `before`. The bytes are read below `root`; one that is
    /// not as `tree` says throws `changing`.
    package static func make(
        _ tree: FileTree,
        since before: FileTree?,
        root: Int32,
        maximumBytes: Int,
        limits: TreeLimits,
        watch: FileWatch? = nil
    ) throws(ArchiveError) -> [UInt8] {
        let difference = TreeDifference(from: before, to: tree)
        let writer = try ArchiveWriter(maximumBytes: maximumBytes)
        var maker = TreeArchiver(writer: writer, root: root, limits: limits, watch: watch)
        if !difference.removed.isEmpty { try maker.list(removed: difference.removed) }
        for (path, change) in difference.changes { try maker.add(path, change) }
        return try maker.writer.finish()
    }

    /// Whether two trees hold the same.
    package static func isSame(_ before: FileTree, _ after: FileTree) -> Bool {
        TreeDifference(from: before, to: after).isEmpty
    }
}

private struct TreeArchiver: ~Copyable {
    let writer: ArchiveWriter
    let root: Int32
    let limits: TreeLimits
    let watch: FileWatch?
    private var digest = BlockDigest()
    private var parents: ParentPath

    init(writer: ArchiveWriter, root: Int32, limits: TreeLimits, watch: FileWatch?) {
        self.writer = writer
        self.root = root
        self.limits = limits
        self.watch = watch
        self.parents = ParentPath(root: root)
    }

    mutating func list(removed: [[UInt8]]) throws(ArchiveError) {
        let list = Array(removed.map { $0 + [0] }.joined())
        try self.writer.begin(
            ArchiveEntry(path: TreeArchive.removed, kind: .file(size: Int64(list.count)), mode: 0o600, modified: 0)
        )
        try self.write(list)
    }

    mutating func add(_ path: [UInt8], _ change: TreeDifference.Change) throws(ArchiveError) {
        guard !self.limits.isStopped() else { throw .stopped }
        switch change {
        case .whole(let node):
            let size = node.stamp.size
            let kind: ArchiveEntry.Kind =
                switch node.content {
                case .directory: .directory
                case .link(let target): .link(target: target)
                case .file: .file(size: size)
                }
            try self.begin(path, kind, node)
            guard case .file(let digests) = node.content else { return }
            let all = 0..<(digests.count / FileTree.digestBytes)
            try self.withFile(path, node) { descriptor, maker throws(ArchiveError) in
                try maker.copy(all, of: descriptor, path, digests, size: size)
            }
        case .blocks(let node, let blocks):
            guard case .file(let digests) = node.content else { return }
            let size = node.stamp.size
            try self.begin(TreeArchive.blocks + path, .file(size: BlockList.bytes(blocks, size: size)), node)
            try self.write(BlockList.number(size))
            try self.withFile(path, node) { descriptor, maker throws(ArchiveError) in
                for run in blocks {
                    let range = BlockList.range(run, size: size)
                    try maker.write(BlockList.number(range.lowerBound) + BlockList.number(Int64(range.count)))
                    try maker.copy(run, of: descriptor, path, digests, size: size)
                }
            }
        }
    }

    private func begin(_ path: [UInt8], _ kind: ArchiveEntry.Kind, _ node: FileTree.Node) throws(ArchiveError) {
        // The time of a directory changes with what is in it, and is nobody's to keep.
        let modified = node.isDirectory ? 0 : node.stamp.modified
        try self.writer.begin(ArchiveEntry(path: path, kind: kind, mode: node.mode, modified: modified))
    }

    private func write(_ bytes: [UInt8]) throws(ArchiveError) {
        try self.writer.write(bytes)
    }

    private mutating func withFile(
        _ path: [UInt8],
        _ node: FileTree.Node,
        _ body: (Int32, inout Self) throws(ArchiveError) -> Void
    ) throws(ArchiveError) {
        let descriptor: Int32
        do {
            descriptor = try self.parents.open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
        } catch {
            if error.number == ENOENT { throw .changing(readable(path)) }
            throw .refused(path: readable(path), error)
        }
        defer { close(descriptor) }
        try body(descriptor, &self)
        // That it was opened here has been reported like any other opening.
        if !node.isFresh { self.watch?.settle(descriptor, node.stamp) }
    }

    private mutating func copy(
        _ blocks: Range<Int>,
        of descriptor: Int32,
        _ path: [UInt8],
        _ digests: [UInt8],
        size: Int64
    ) throws(ArchiveError) {
        for block in blocks {
            if block % 1_024 == 1_023, self.limits.isStopped() { throw .stopped }
            let range = BlockList.range(block..<(block + 1), size: size)
            let isWhole: Bool
            do {
                isWhole = try self.digest.read(descriptor, at: range.lowerBound, count: range.count)
            } catch {
                throw .refused(path: readable(path), error)
            }
            let expected = digests[(block * FileTree.digestBytes)..<((block + 1) * FileTree.digestBytes)]
            guard isWhole, expected.elementsEqual(self.digest.value) else { throw .changing(readable(path)) }
            try self.writer.write(self.digest.block, count: range.count)
        }
    }
}

/// Opens what is below a directory one name at a time, so that no link on the way is followed, and keeps the last
/// directory open: paths come in order, most of them from the same.
struct ParentPath: ~Copyable {
    private let root: Int32
    private var path: ArraySlice<UInt8> = []
    private var descriptor: Int32?

    init(root: Int32) {
        self.root = root
    }

    deinit {
        if let descriptor = self.descriptor { close(descriptor) }
    }

    /// The directory in which `path` ends, open until the next call, and its last name.
    mutating func enter(_ path: [UInt8]) throws(SystemError) -> (directory: Int32, name: [CChar]) {
        let slash = UInt8(ascii: "/")
        let end = path.lastIndex(of: slash) ?? 0
        let name = path[(end == 0 ? 0 : end + 1)...].map { CChar(bitPattern: $0) } + [0]
        let parent = path[..<end]
        if parent.isEmpty { return (self.root, name) }
        if let descriptor = self.descriptor, self.path == parent { return (descriptor, name) }
        self.leave()
        var current = self.root
        for part in parent.split(separator: slash) {
            let next = openat(
                current,
                part.map { CChar(bitPattern: $0) } + [0],
                O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC
            )
            let error = next < 0 ? SystemError.last("open") : nil
            if current != self.root { close(current) }
            if let error { throw error }
            current = next
        }
        self.descriptor = current
        self.path = parent
        return (current, name)
    }

    /// Forgets the open directory: it may no longer be what its path names.
    mutating func leave() {
        if let descriptor = self.descriptor { close(descriptor) }
        self.descriptor = nil
    }

    /// Opens what `path` names.
    mutating func open(_ path: [UInt8], _ flags: Int32) throws(SystemError) -> Int32 {
        let (directory, name) = try self.enter(path)
        return try SystemError.check("open", openat(directory, name, flags | O_CLOEXEC, 0o600))
    }
}
