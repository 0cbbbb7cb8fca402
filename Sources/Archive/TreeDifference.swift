/// What leads from one tree to another, in the order in which it has to be done.
struct TreeDifference {
    /// One change.
    enum Change {
        /// Something that is to be there as it is now; with a directory, nothing of what is in it.
        case whole(FileTree.Node)
        /// A file of which only these blocks, its mode or its times are different.
        case blocks(FileTree.Node, [Range<Int>])
    }

    /// Paths of which nothing stays.
    private(set) var removed: [[UInt8]] = []
    /// What comes after, a directory always before what is in it.
    private(set) var changes: [(path: [UInt8], change: Change)] = []

    var isEmpty: Bool { self.removed.isEmpty && self.changes.isEmpty }

    /// `before` nil: everything is new.
    init(from before: FileTree?, to after: FileTree) {
        self.directory([], before?.root, after.root)
    }

    private mutating func directory(_ path: [UInt8], _ before: FileTree.Node?, _ after: FileTree.Node) {
        guard before !== after else { return }
        var rest = (before?.children ?? [])[...]
        for child in after.children {
            while let first = rest.first, precedes(first.name, child.name) {
                self.removed.append(Self.join(path, first))
                rest = rest.dropFirst()
            }
            var previous: FileTree.Node?
            if let first = rest.first, first.name == child.name {
                previous = first
                rest = rest.dropFirst()
            }
            self.node(Self.join(path, child), previous, child)
        }
        self.removed += rest.map { Self.join(path, $0) }
    }

    private mutating func node(_ path: [UInt8], _ before: FileTree.Node?, _ after: FileTree.Node) {
        guard before !== after else { return }
        switch (before?.content, after.content) {
        case (.directory, .directory):
            if before?.mode != after.mode { self.changes.append((path, .whole(after))) }
            self.directory(path, before, after)
        case (.file(let old), .file(let new)):
            guard let before else { return }
            let isTouched = before.mode != after.mode || before.stamp.modified != after.stamp.modified
            let blocks = Self.differing(old, new)
            guard !blocks.isEmpty || isTouched || before.stamp.size != after.stamp.size else { return }
            let isSmaller = BlockList.bytes(blocks, size: after.stamp.size) < after.stamp.size
            self.changes.append((path, isSmaller ? .blocks(after, blocks) : .whole(after)))
        case (.link(let old), .link(let new)):
            if old != new { self.changes.append((path, .whole(after))) }
        case (nil, _):
            self.changes.append((path, .whole(after)))
            self.directory(path, nil, after)
        default:
            self.removed.append(path)
            self.node(path, nil, after)
        }
    }

    /// Ranges of blocks of `new` that `old` does not have at the same place.
    private static func differing(_ old: [UInt8], _ new: [UInt8]) -> [Range<Int>] {
        let size = FileTree.digestBytes
        var ranges: [Range<Int>] = []
        for block in 0..<(new.count / size) {
            let bytes = (block * size)..<((block + 1) * size)
            if bytes.upperBound <= old.count, old[bytes] == new[bytes] { continue }
            if let last = ranges.last, last.upperBound == block {
                ranges[ranges.count - 1] = last.lowerBound..<(block + 1)
            } else {
                ranges.append(block..<(block + 1))
            }
        }
        return ranges
    }

    private static func join(_ path: [UInt8], _ node: FileTree.Node) -> [UInt8] {
        path.isEmpty ? node.nameBytes : path + [UInt8(ascii: "/")] + node.nameBytes
    }
}

/// How the changed blocks of a file are written: its whole size, then for each run where it begins, how long it is, and its
/// bytes. Numbers are big-endian, of 8 bytes.
enum BlockList {
    /// Bytes that all of it takes.
    static func bytes(_ blocks: [Range<Int>], size: Int64) -> Int64 {
        blocks.reduce(8) { $0 + 16 + Int64(self.range($1, size: size).count) }
    }

    /// The bytes of a file of `size` that these blocks hold.
    static func range(_ blocks: Range<Int>, size: Int64) -> Range<Int64> {
        let unit = Int64(FileTree.blockBytes)
        return Int64(blocks.lowerBound) * unit..<min(Int64(blocks.upperBound) * unit, size)
    }

    static func number(_ value: Int64) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: value >> (56 - 8 * $0)) }
    }

    static func number(_ bytes: some Sequence<UInt8>) -> Int64 {
        bytes.reduce(0) { $0 << 8 | Int64($1) }
    }
}
