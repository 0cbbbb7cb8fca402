import Foundation
import Glibc
import Testing

@testable import Archive

@Suite("Trees") struct TreeTests {
    @Test("a tree comes back from a base and any number of differences")
    func chain() throws {
        var random = SystemRandomNumberGenerator()
        let seed = UInt64.random(in: 0 ... .max, using: &random)
        var numbers = SplitMix(seed)
        let source = try Scratch()
        try source.make("home/.agent")
        try source.make("work")
        try source.write("session", "s-1")
        try source.write("ignored", "not below a known top")
        var tree = try source.scan()
        var archives = [try source.archive(tree)]
        for step in 1...30 {
            try self.change(source, step, &numbers)
            let next = try source.scan(since: tree)
            archives.append(try source.archive(next, since: tree))
            #expect(!TreeArchive.isSame(tree, next), "step \(step), seed \(seed)")
            tree = next
            guard step % 5 == 0 else { continue }
            let copy = try Scratch()
            try copy.restore(archives)
            var expected = try source.listing()
            expected["ignored"] = nil
            #expect(try copy.listing() == expected, "step \(step), seed \(seed)")
            // The same from one base.
            let whole = try Scratch()
            try whole.restore([try source.archive(tree)])
            #expect(try whole.listing() == expected, "step \(step), seed \(seed)")
        }
    }

    /// Some of all that can happen to a tree.
    private func change(_ scratch: Scratch, _ step: Int, _ numbers: inout SplitMix) throws {
        try scratch.write("work/new-\(step)/a/b", "\(step)")
        try scratch.write("home/.agent/now", (0..<(step * 977)).map { _ in UInt8(truncatingIfNeeded: numbers.next()) })
        let log = fopen(scratch.file("home/.agent/log"), "a")
        fputs(String(repeating: "line of step \(step)\n", count: 500), log)
        fclose(log)
        let pages = open(scratch.file("work/pages"), O_RDWR | O_CREAT, 0o640)
        for _ in 0..<3 {
            let byte = UInt8(truncatingIfNeeded: numbers.next())
            _ = [byte, byte].withUnsafeBytes { pwrite(pages, $0.baseAddress, 2, Int(numbers.next() % 300_000)) }
        }
        if step % 4 == 0 { ftruncate(pages, 100_000) }
        close(pages)
        let link = scratch.file("home/link")
        unlink(link)
        symlink("step-\(step)", link)
        if step > 3 { try FileManager.default.removeItem(atPath: scratch.file("work/new-\(step - 3)")) }
        // A file where a directory was, and the other way round.
        if step % 6 == 1 { try scratch.write("home/both/x", "x") }
        if step % 6 == 4 {
            try FileManager.default.removeItem(atPath: scratch.file("home/both"))
            try scratch.write("home/both", "a file")
        }
        if step % 6 == 0 { try FileManager.default.removeItem(atPath: scratch.file("home/both")) }
        chmod(scratch.file("work/new-\(step)/a/b"), step % 2 == 0 ? 0o400 : 0o755)
        if step > 1 { chmod(scratch.file("work/new-\(max(1, step - 1))/a"), 0o500 + mode_t(step % 8)) }
    }

    @Test("what did not change costs nothing, what was appended or patched costs its blocks and not its size")
    func cost() throws {
        let scratch = try Scratch()
        let noise = try randomBytes(4 << 20)
        try scratch.write("home/log", noise)
        try scratch.write("work/base.db", noise)
        for number in 0..<200 { try scratch.write("work/files/\(number)", "\(number)") }
        let tree = try scratch.scan()
        #expect(try scratch.archive(tree).count > 8 << 20)
        let quiet = try scratch.scan(since: tree)
        #expect(TreeArchive.isSame(tree, quiet))
        #expect(try scratch.archive(quiet, since: tree).count < 200)
        let log = open(scratch.file("home/log"), O_WRONLY | O_APPEND)
        _ = noise.withUnsafeBytes { write(log, $0.baseAddress, 100) }
        close(log)
        let database = open(scratch.file("work/base.db"), O_WRONLY)
        for page in [3, 500, 501] {
            _ = noise.withUnsafeBytes { pwrite(database, $0.baseAddress, 4_096, page * 4_096 + 7) }
        }
        close(database)
        let next = try scratch.scan(since: tree)
        let bytes = try scratch.archive(next, since: tree).count
        #expect(bytes < 6 * FileTree.blockBytes, "\(bytes) bytes")
        #expect(bytes > 3 * 4_096, "\(bytes) bytes")
    }

    @Test("a change that leaves size and times as they were is found when it was too soon to be told by them")
    func racy() throws {
        let scratch = try Scratch()
        try scratch.write("home/a", "one")
        let tree = try scratch.scan()
        var status = stat()
        try #require(stat(scratch.file("home/a"), &status) == 0)
        let descriptor = open(scratch.file("home/a"), O_WRONLY)
        _ = Array("two".utf8).withUnsafeBytes { pwrite(descriptor, $0.baseAddress, 3, 0) }
        var times = [status.st_atim, status.st_mtim]
        futimens(descriptor, &times)
        close(descriptor)
        #expect(!TreeArchive.isSame(tree, try scratch.scan(since: tree)))
    }

    @Test("links are kept and not followed, hard links become files, and what cannot be kept is passed over")
    func kinds() throws {
        let scratch = try Scratch()
        try scratch.write("home/one", "same")
        try #require(link(scratch.file("home/one"), scratch.file("home/two")) == 0)
        symlink("/etc", scratch.file("home/etc"))
        symlink("loop", scratch.file("home/loop"))
        mkfifo(scratch.file("home/fifo"), 0o600)
        chmod(scratch.file("home/one"), 0o4755)
        let tree = try scratch.scan()
        #expect(tree.entries == 5 && tree.skipped == 1)
        let copy = try Scratch()
        try copy.restore([try scratch.archive(tree)])
        let listing = try copy.listing()
        #expect(Set(listing.keys) == ["home", "home/one", "home/two", "home/etc", "home/loop"])
        #expect(listing["home/etc"] == "link /etc")
        #expect(listing["home/one"]?.hasPrefix("file 755 ") == true, "no set-id bit")
        var status = stat()
        try #require(stat(copy.file("home/one"), &status) == 0)
        #expect(status.st_nlink == 1)
    }

    @Test("a file counts with its apparent size, before it is read")
    func sparse() throws {
        let scratch = try Scratch()
        try scratch.write("home/a", "x")
        truncate(scratch.file("home/a"), 1 << 42)
        let begin = ContinuousClock.now
        #expect(throws: ArchiveError.tooMuch("bytes in files", limit: 1 << 30)) { try scratch.scan() }
        #expect(ContinuousClock.now - begin < .seconds(1))
        truncate(scratch.file("home/a"), 64 << 20)
        let archive = try scratch.archive(try scratch.scan())
        #expect(archive.count < 64 << 10)
        let copy = try Scratch()
        try copy.restore([archive])
        var status = stat()
        try #require(stat(copy.file("home/a"), &status) == 0)
        #expect(status.st_size == 64 << 20 && status.st_blocks * 512 < 1 << 20, "\(status.st_blocks) blocks")
    }

    @Test("more entries than allowed, and directories too far within each other, are refused")
    func bounds() throws {
        let scratch = try Scratch()
        for number in 0..<20 { try scratch.write("home/\(number)", "") }
        #expect(throws: ArchiveError.tooMuch("files and directories", limit: 20)) {
            try scratch.scan(limits: TreeLimits(bytes: 1_000, entries: 20))
        }
        try scratch.make("home/" + Array(repeating: "d", count: 120).joined(separator: "/"))
        #expect(throws: ArchiveError.tooMuch("directories within each other", limit: 100)) { try scratch.scan() }
        #expect(throws: ArchiveError.stopped) {
            try scratch.scan(limits: TreeLimits(bytes: 1_000, entries: 1_000, isStopped: { true }))
        }
    }

    @Test("a tree of any depth, of closed directories and of links elsewhere is removed, and nothing else")
    func removal() throws {
        let (scratch, other) = (try Scratch(), try Scratch())
        try other.write("home/kept", "kept")
        try scratch.make("home/t")
        symlink(other.path, scratch.file("home/t/link"))
        let top = open(scratch.file("home/t"), O_RDONLY | O_DIRECTORY)
        var current = top
        for _ in 0..<3_000 {
            try #require(mkdirat(current, "d", 0o700) == 0)
            let next = openat(current, "d", O_RDONLY | O_DIRECTORY)
            if current != top { close(current) }
            current = next
        }
        close(current)
        fchmod(top, 0o000)
        close(top)
        let home = try Directories.open("home", in: scratch.descriptor)
        defer { close(home) }
        try Directories.remove("t", in: home)
        #expect(try scratch.listing().keys.sorted() == ["home"])
        #expect(other.read("home/kept") == Array("kept".utf8))
    }
}

/// Numbers that a seed gives again (SplitMix64).
struct SplitMix {
    private var state: UInt64

    init(_ seed: UInt64) {
        self.state = seed
    }

    mutating func next() -> UInt64 {
        self.state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = self.state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}
