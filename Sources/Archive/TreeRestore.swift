import Glibc
import Runtime

/// Makes a tree out of archives: the first of everything, the others of what changed, as `TreeArchive` makes them.
///
/// The archives are taken for hostile. A path has to be relative, without `.` and `..`, below a name that the selection
/// knows, and no part of it may be a link; nothing comes twice in one archive; only files, directories and links are made;
/// owners, set-id bits and other attributes are not taken over; sizes and counts are held to the limits before anything
/// is written. The directory has to be the caller's own and empty.
package struct TreeRestore: ~Copyable {
    private let root: Int32
    private let selection: TreeSelection
    private let limits: TreeLimits
    private var parents: ParentPath
    private var entries = 0
    private var bytes = 0
    /// Modes that would keep us out, by path, given at the end.
    private var modes: [[UInt8]: UInt32] = [:]
    private var buffer = [UInt8](repeating: 0, count: 64 << 10)

    /// `root` is the empty directory.
    package init(root: Int32, selection: TreeSelection, limits: TreeLimits) {
        self.root = root
        self.selection = selection
        self.limits = limits
        self.parents = ParentPath(root: root)
    }

    /// Applies the next archive. `isFirst`: it stands on nothing, so it may remove and change nothing.
    package mutating func apply(_ archive: [UInt8], isFirst: Bool) throws {
        (self.entries, self.bytes) = (0, 0)
        var seen: Set<[UInt8]> = []
        let reader = try ArchiveReader(archive)
        while let entry = try reader.next() {
            guard !self.limits.isStopped() else { throw ArchiveError.stopped }
            self.entries += 1
            // One more than a tree may have, for the list of removals.
            guard self.entries <= self.limits.entries + 1 else {
                throw ArchiveError.tooMuch("files and directories", limit: self.limits.entries)
            }
            var path = entry.path
            if path.last == UInt8(ascii: "/"), entry.kind == .directory { path.removeLast() }
            guard seen.insert(path).inserted else { throw ArchiveError.malformed("\(readable(path)) comes twice") }
            if path == TreeArchive.removed {
                guard !isFirst else { throw ArchiveError.malformed("it removes, but stands on nothing") }
                try self.remove(reader, entry)
            } else if path.starts(with: TreeArchive.blocks) {
                guard !isFirst else { throw ArchiveError.malformed("it changes, but stands on nothing") }
                try self.change(Array(path.dropFirst(TreeArchive.blocks.count)), reader, entry)
            } else {
                try self.place(path, reader, entry)
            }
        }
    }

    /// Gives directories and files the modes that were put off. Nothing can be applied after it.
    package consuming func finish() throws {
        // What is deep first: its directory may be closed to us afterwards.
        for (path, mode) in self.modes.sorted(by: { $0.key.count > $1.key.count }) {
            try self.naming(path) { restore throws(SystemError) in
                let descriptor = try restore.parents.open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
                defer { close(descriptor) }
                try SystemError.check("chmod", fchmod(descriptor, mode))
            }
        }
    }

    // MARK: One entry

    private mutating func remove(_ reader: ArchiveReader, _ entry: ArchiveEntry) throws {
        guard case .file(let size) = entry.kind, size <= 64 << 20 else {
            throw ArchiveError.malformed("its list of removals is no list")
        }
        var list: [UInt8] = []
        while case let count = try self.fill(reader), count > 0 { list += self.buffer[..<count] }
        for path in list.split(separator: 0, omittingEmptySubsequences: true).map(Array.init) {
            try self.check(path)
            try self.naming(path) { restore throws(SystemError) in
                let (directory, name) = try restore.parents.enter(path)
                try Directories.remove(name, in: directory)
                restore.parents.leave()
            }
            let below = path + [UInt8(ascii: "/")]
            self.modes = self.modes.filter { $0.key != path && !$0.key.starts(with: below) }
        }
    }

    private mutating func place(_ path: [UInt8], _ reader: ArchiveReader, _ entry: ArchiveEntry) throws {
        try self.check(path)
        let mode = entry.mode & 0o777
        switch entry.kind {
        case .directory:
            try self.naming(path) { restore throws(SystemError) in
                let (directory, name) = try restore.parents.enter(path)
                if mkdirat(directory, name, 0o700) == 0 { return }
                let error = SystemError.last("mkdir")
                guard error.number == EEXIST else { throw error }
                let flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC
                close(try SystemError.check("open", openat(directory, name, flags)))
            }
            self.modes[path] = mode == 0o700 ? nil : mode
        case .link(let target):
            guard !target.contains(0), target.count < 4_096 else { throw ArchiveError.malformed("a link's target") }
            try self.naming(path) { restore throws(SystemError) in
                let (directory, name) = try restore.parents.enter(path)
                try Self.clear(name, in: directory)
                let text = target.map { CChar(bitPattern: $0) } + [0]
                try SystemError.check("symlink", symlinkat(text, directory, name))
                var times = Self.times(entry.modified)
                _ = utimensat(directory, name, &times, AT_SYMLINK_NOFOLLOW)
            }
            self.modes[path] = nil
        case .file(let size):
            try self.count(size)
            let descriptor = try self.naming(path) { restore throws(SystemError) in
                let (directory, name) = try restore.parents.enter(path)
                try Self.clear(name, in: directory)
                let flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC
                return try SystemError.check("create", openat(directory, name, flags, 0o600))
            }
            defer { close(descriptor) }
            try self.write(path, reader, to: descriptor, at: 0, count: size, isNew: true)
            try self.complete(path, descriptor, entry, size: size)
        case .other(let what):
            throw ArchiveError.malformed("\(readable(path)) is a \(what)")
        }
    }

    /// Applies changed blocks to a file that an earlier archive made.
    private mutating func change(_ path: [UInt8], _ reader: ArchiveReader, _ entry: ArchiveEntry) throws {
        try self.check(path)
        guard case .file = entry.kind else { throw ArchiveError.malformed("\(readable(path)) has no list of blocks") }
        let descriptor = try self.naming(path) { restore throws(SystemError) in
            try restore.parents.open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK)
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_nlink == 1 else {
            throw ArchiveError.malformed("\(readable(path)) is to be changed and is no file")
        }
        guard let size = try self.number(reader), size >= 0 else {
            throw ArchiveError.malformed("\(readable(path)) has no size")
        }
        try self.count(max(0, size - Int64(status.st_size)))
        try self.naming(path) { _ throws(SystemError) in
            try SystemError.check("truncate", ftruncate(descriptor, Int(size)))
        }
        var end: Int64 = 0
        while let start = try self.number(reader) {
            guard let count = try self.number(reader), start >= end, count > 0, count <= size, start <= size - count
            else { throw ArchiveError.malformed("\(readable(path)) has a block outside of it") }
            try self.write(path, reader, to: descriptor, at: start, count: count, isNew: false)
            end = start + count
        }
        try self.complete(path, descriptor, entry, size: size)
    }

    // MARK: Bytes

    /// The next bytes of the entry in `buffer`.
    private mutating func fill(_ reader: ArchiveReader, atMost limit: Int = .max) throws(ArchiveError) -> Int {
        try reader.read(into: &self.buffer, atMost: limit)
    }

    /// The next number of a list of blocks; nil at its end.
    private mutating func number(_ reader: ArchiveReader) throws(ArchiveError) -> Int64? {
        var bytes: [UInt8] = []
        while bytes.count < 8 {
            let count = try self.fill(reader, atMost: 8 - bytes.count)
            if count == 0 {
                guard bytes.isEmpty else { throw .malformed("a list of blocks is cut off") }
                return nil
            }
            bytes += self.buffer[..<count]
        }
        return BlockList.number(bytes)
    }

    /// Copies bytes of the entry into a file. Zeros are not written into a new one, so that holes stay holes.
    private mutating func write(
        _ path: [UInt8],
        _ reader: ArchiveReader,
        to descriptor: Int32,
        at start: Int64,
        count: Int64,
        isNew: Bool
    ) throws {
        var done: Int64 = 0
        while done < count {
            if done % (16 << 20) == 0, self.limits.isStopped() { throw ArchiveError.stopped }
            let got = try self.fill(reader, atMost: Int(min(count - done, Int64(self.buffer.count))))
            guard got > 0 else { throw ArchiveError.malformed("\(readable(path)) has fewer bytes than it said") }
            let isHole = isNew && self.buffer.withUnsafeBytes { $0[..<got].allSatisfy { $0 == 0 } }
            if !isHole {
                try self.naming(path) { restore throws(SystemError) in
                    try Self.write(restore.buffer, got, to: descriptor, at: start + done)
                }
            }
            done += Int64(got)
        }
    }

    private static func write(_ bytes: [UInt8], _ count: Int, to descriptor: Int32, at start: Int64) throws(SystemError)
    {
        var written = 0
        while written < count {
            let result = bytes.withUnsafeBytes { buffer in
                pwrite(descriptor, buffer.baseAddress.map { $0 + written }, count - written, Int(start) + written)
            }
            guard result > 0 else { throw .last("write") }
            written += result
        }
    }

    /// Size, mode and time of a file whose bytes are there.
    private mutating func complete(_ path: [UInt8], _ descriptor: Int32, _ entry: ArchiveEntry, size: Int64) throws {
        let mode = entry.mode & 0o777
        try self.naming(path) { _ throws(SystemError) in
            try SystemError.check("truncate", ftruncate(descriptor, Int(size)))
            try SystemError.check("chmod", fchmod(descriptor, mode | 0o600))
            var times = Self.times(entry.modified)
            try SystemError.check("utimens", futimens(descriptor, &times))
        }
        self.modes[path] = mode & 0o600 == 0o600 ? nil : mode
    }

    private static func times(_ modified: Int64) -> [timespec] {
        let (seconds, rest) = modified.quotientAndRemainder(dividingBy: 1_000_000_000)
        let time = timespec(tv_sec: Int(seconds), tv_nsec: max(0, Int(rest)))
        return [time, time]
    }

    // MARK: Checks

    private func check(_ path: [UInt8]) throws(ArchiveError) {
        let names = path.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        let isProper = names.allSatisfy { name in
            !name.isEmpty && name.count < 256 && !name.contains(0) && !name.elementsEqual(".".utf8)
                && !name.elementsEqual("..".utf8)
        }
        let top = names.first.map { String(decoding: $0, as: UTF8.self) } ?? ""
        guard isProper, names.count <= TreeLimits.depth + 1,
            self.selection.tops.contains(top) || self.selection.always.contains(top)
        else { throw .malformed("the path \(readable(path))") }
    }

    private mutating func count(_ size: Int64) throws(ArchiveError) {
        guard Int(size) <= self.limits.bytes - self.bytes else {
            throw .tooMuch("bytes in files", limit: self.limits.bytes)
        }
        self.bytes += Int(size)
    }

    /// Removes the file or link that is to be replaced. A directory has to be removed in so many words.
    private static func clear(_ name: [CChar], in directory: Int32) throws(SystemError) {
        if unlinkat(directory, name, 0) == 0 { return }
        let error = SystemError.last("unlink")
        if error.number != ENOENT { throw error }
    }

    @discardableResult
    private mutating func naming<Value>(
        _ path: [UInt8],
        _ body: (inout Self) throws(SystemError) -> Value
    ) throws(ArchiveError) -> Value {
        do {
            return try body(&self)
        } catch {
            throw .refused(path: readable(path), error)
        }
    }
}
