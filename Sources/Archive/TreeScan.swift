import Crypto
import Glibc
import Runtime

extension FileTree {
    /// Looks at the tree below `root`. What has the stamps that `previous` knows is not read; of the rest, the blocks of
    /// files are digested. No link is followed, and nothing outside the selection is touched. With `watch`, most of what
    /// did not change is not even asked.
    package static func scan(
        _ root: Int32,
        selection: TreeSelection,
        limits: TreeLimits,
        previous: FileTree? = nil,
        watch: FileWatch? = nil
    ) throws(ArchiveError) -> FileTree {
        watch?.catchUp()
        var status = stat()
        guard fstat(root, &status) == 0 else { throw .refused(path: ".", .last("fstat")) }
        var scan = TreeScan(selection: selection, limits: limits, watch: watch, device: status.st_dev)
        let node = try scan.directory(root, name: [0], status, previous: previous?.root)
        return FileTree(root: node, entries: scan.entries, bytes: scan.bytes, skipped: scan.skipped)
    }
}

/// One look at a tree.
private struct TreeScan: ~Copyable {
    let selection: TreeSelection
    let limits: TreeLimits
    let watch: FileWatch?
    let device: dev_t
    let now = FileStamp.now()
    var entries = 0
    var bytes = 0
    var skipped = 0
    /// The names that lead to the directory that is looked at.
    private var path: [[UInt8]] = []
    private var digest = BlockDigest()

    init(selection: TreeSelection, limits: TreeLimits, watch: FileWatch?, device: dev_t) {
        self.selection = selection
        self.limits = limits
        self.watch = watch
        self.device = device
    }

    mutating func directory(
        _ descriptor: Int32,
        name: [CChar],
        _ status: stat,
        previous: FileTree.Node?
    ) throws(ArchiveError) -> FileTree.Node {
        let stamp = FileStamp(status)
        let mode = UInt32(status.st_mode) & 0o777
        var children: [FileTree.Node] = []
        var isSame = false
        if let previous, previous.isDirectory {
            isSame = previous.stamp == stamp && previous.mode == mode && !previous.isFresh
            children = previous.children
        }
        // Whatever adds, removes or renames something changes a directory's stamp.
        children = isSame ? try self.again(children, in: descriptor, &isSame) : try self.list(descriptor, children)
        if isSame, let previous { return previous }
        return FileTree.Node(
            name: name,
            stamp: stamp,
            mode: mode,
            isFresh: stamp.isFresh(at: self.now),
            content: .directory(children)
        )
    }

    /// Looks at what is known to be there. Copies the list only when something is not as it was.
    private mutating func again(
        _ children: [FileTree.Node],
        in parent: Int32,
        _ isSame: inout Bool
    ) throws(ArchiveError) -> [FileTree.Node] {
        var changed: [FileTree.Node]?
        for index in children.indices {
            let child = children[index]
            if try self.isUntouched(child, in: parent) {
                changed?.append(child)
                continue
            }
            let node = try self.look(child.name, in: parent, previous: child)
            if node === child {
                changed?.append(child)
                continue
            }
            if changed == nil { changed = Array(children[..<index]) }
            if let node { changed?.append(node) }
        }
        isSame = changed == nil
        return changed ?? children
    }

    /// All that nearly every file gets: at most one call to see that it is what it was, to the nanosecond. That its name
    /// leads to it still, its directory's stamp says.
    private mutating func isUntouched(_ child: FileTree.Node, in parent: Int32) throws(ArchiveError) -> Bool {
        guard child.isFile, !child.isFresh else { return false }
        if let watch = self.watch, watch.isUntouched(child.stamp) {
            try self.count(bytes: child.stamp.size)
            return true
        }
        var status = stat()
        let isThere = child.name.withUnsafeBufferPointer { name in
            name.baseAddress.map { fstatat(parent, $0, &status, AT_SYMLINK_NOFOLLOW) == 0 } ?? false
        }
        guard isThere, UInt32(status.st_mode) & UInt32(S_IFMT | 0o777) == UInt32(S_IFREG) | child.mode,
            FileStamp(status) == child.stamp
        else { return false }
        try self.count(status)
        return true
    }

    /// Looks at what is there now.
    private mutating func list(_ descriptor: Int32, _ known: [FileTree.Node]) throws(ArchiveError) -> [FileTree.Node] {
        var names = try Directories.names(descriptor, path: self.path)
        names.sort(by: precedes)
        var children: [FileTree.Node] = []
        children.reserveCapacity(names.count)
        var rest = known[...]
        for name in names {
            while let first = rest.first, precedes(first.name, name) { rest = rest.dropFirst() }
            let previous = rest.first.flatMap { $0.name == name ? $0 : nil }
            if let node = try self.look(name, in: descriptor, previous: previous) { children.append(node) }
        }
        return children
    }

    /// Nil for what is not there, not selected, or of a kind that cannot be kept.
    private mutating func look(
        _ name: [CChar],
        in parent: Int32,
        previous: FileTree.Node?
    ) throws(ArchiveError) -> FileTree.Node? {
        var status = stat()
        guard fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW) == 0 else {
            let error = SystemError.last("stat")
            if error.number == ENOENT { return nil }
            throw .refused(path: self.text(name), error)
        }
        let kind = status.st_mode & S_IFMT
        if let previous, kind == S_IFREG, case .file = previous.content, !previous.isFresh,
            previous.stamp == FileStamp(status), previous.mode == UInt32(status.st_mode) & 0o777
        {
            try self.count(status)
            return previous
        }
        self.path.append(name.dropLast().map { UInt8(bitPattern: $0) })
        defer { self.path.removeLast() }
        guard
            previous != nil && previous?.isDirectory == (kind == S_IFDIR)
                || self.selection.takes(self.path, isDirectory: kind == S_IFDIR)
        else { return nil }
        guard [S_IFREG, S_IFDIR, S_IFLNK].contains(kind), kind != S_IFDIR || status.st_dev == self.device else {
            self.skipped += 1
            return nil
        }
        try self.count(status)
        switch kind {
        case S_IFDIR: return try self.below(name, in: parent, previous: previous)
        case S_IFLNK: return try self.link(name, in: parent, status, previous: previous)
        default: return try self.file(name, in: parent, previous: previous)
        }
    }

    private mutating func count(_ status: stat) throws(ArchiveError) {
        // By its apparent size: a file that is mostly a hole would not be small where it is restored.
        try self.count(bytes: status.st_mode & S_IFMT == S_IFREG ? Int64(status.st_size) : 0)
    }

    private mutating func count(bytes: Int64) throws(ArchiveError) {
        self.entries += 1
        guard self.entries <= self.limits.entries else {
            throw .tooMuch("files and directories", limit: self.limits.entries)
        }
        guard Int(bytes) <= self.limits.bytes - self.bytes else {
            throw .tooMuch("bytes in files", limit: self.limits.bytes)
        }
        self.bytes += Int(bytes)
    }

    private mutating func below(
        _ name: [CChar],
        in parent: Int32,
        previous: FileTree.Node?
    ) throws(ArchiveError) -> FileTree.Node? {
        guard self.path.count <= TreeLimits.depth else {
            throw .tooMuch("directories within each other", limit: TreeLimits.depth)
        }
        guard !self.limits.isStopped() else { throw .stopped }
        let descriptor = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        guard descriptor >= 0 else { return try self.vanished(.last("open")) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw .refused(path: self.text(nil), .last("fstat")) }
        return try self.directory(descriptor, name: name, status, previous: previous)
    }

    private func link(
        _ name: [CChar],
        in parent: Int32,
        _ status: stat,
        previous: FileTree.Node?
    ) throws(ArchiveError) -> FileTree.Node? {
        let stamp = FileStamp(status)
        if let previous, previous.stamp == stamp, !previous.isFresh, case .link = previous.content { return previous }
        var target = [UInt8](repeating: 0, count: 4_096)
        let count = readlinkat(parent, name, &target, target.count)
        guard count > 0 else { return try self.vanished(.last("readlink")) }
        return FileTree.Node(
            name: name,
            stamp: stamp,
            mode: 0o777,
            isFresh: stamp.isFresh(at: self.now),
            content: .link(target: Array(target[..<count]))
        )
    }

    private mutating func file(
        _ name: [CChar],
        in parent: Int32,
        previous: FileTree.Node?
    ) throws(ArchiveError) -> FileTree.Node? {
        let descriptor = openat(parent, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else { return try self.vanished(.last("open")) }
        defer { close(descriptor) }
        FileWatch.exposeWrites(descriptor)
        for _ in 0..<3 {
            var (before, after) = (stat(), stat())
            guard fstat(descriptor, &before) == 0 else { throw .refused(path: self.text(nil), .last("fstat")) }
            guard before.st_mode & S_IFMT == S_IFREG else { break }
            let stamp = FileStamp(before)
            let digests = try self.digests(descriptor, size: stamp.size)
            guard fstat(descriptor, &after) == 0 else { throw .refused(path: self.text(nil), .last("fstat")) }
            guard let digests, FileStamp(after) == stamp else { continue }
            let isFresh = stamp.isFresh(at: self.now)
            if !isFresh { self.watch?.settle(descriptor, stamp) }
            return FileTree.Node(
                name: name,
                stamp: stamp,
                mode: UInt32(before.st_mode) & 0o777,
                isFresh: isFresh,
                content: .file(digests: digests)
            )
        }
        throw .changing(self.text(nil))
    }

    /// The digests of a file's blocks; nil when it has fewer bytes than it said.
    private mutating func digests(_ descriptor: Int32, size: Int64) throws(ArchiveError) -> [UInt8]? {
        let blocks = Int((size + Int64(FileTree.blockBytes) - 1) / Int64(FileTree.blockBytes))
        var digests = [UInt8]()
        digests.reserveCapacity(blocks * FileTree.digestBytes)
        for block in 0..<blocks {
            if block % 1_024 == 1_023, self.limits.isStopped() { throw .stopped }
            let offset = Int64(block) * Int64(FileTree.blockBytes)
            let count = Int(min(Int64(FileTree.blockBytes), size - offset))
            do {
                guard try self.digest.read(descriptor, at: offset, count: count) else { return nil }
            } catch {
                throw .refused(path: self.text(nil), error)
            }
            digests += self.digest.value
        }
        return digests
    }

    /// What is gone again is no trouble; what cannot be read is.
    private func vanished(_ error: SystemError) throws(ArchiveError) -> FileTree.Node? {
        if error.number == ENOENT { return nil }
        throw .refused(path: self.text(nil), error)
    }

    private func text(_ name: [CChar]?) -> String {
        let names = self.path + (name.map { [$0.dropLast().map { UInt8(bitPattern: $0) }] } ?? [])
        return readable(names.joined(separator: [UInt8(ascii: "/")]))
    }
}

/// One block of a file and its digest.
struct BlockDigest: ~Copyable {
    private var digest = StreamingDigest()
    private(set) var block = [UInt8](repeating: 0, count: FileTree.blockBytes)
    /// The digest of the block that was read last.
    private(set) var value = [UInt8](repeating: 0, count: FileTree.digestBytes)

    /// Reads `count` bytes at `offset`; false when there are fewer.
    mutating func read(_ descriptor: Int32, at offset: Int64, count: Int) throws(SystemError) -> Bool {
        var filled = 0
        while filled < count {
            let result = self.block.withUnsafeMutableBytes { block in
                pread(descriptor, block.baseAddress.map { $0 + filled }, count - filled, Int(offset) + filled)
            }
            guard result >= 0 else { throw .last("read") }
            guard result > 0 else { return false }
            filled += result
        }
        self.block.withUnsafeBytes { self.digest.update(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
        self.value.withUnsafeMutableBytes { self.digest.finish(into: $0) }
        return true
    }
}
