import Foundation
import Glibc
import Testing

@testable import Archive

/// Files that need not be asked about. Serialized, because the kernel gives few of what each of these takes.
@Suite("Watched files", .serialized) struct WatchTests {
    /// What happens to `home/file`, or beside it.
    enum Change: String, CaseIterable {
        case write, append, truncate, chmod, times, mapping, linked, elsewhere, replaced, renamed, removed, swapped
        case nested, emptied, kept
    }

    /// A tree whose files are all left alone, and its first archive.
    private func settled(_ scratch: Scratch, _ watch: FileWatch) throws -> (FileTree, [UInt8]) {
        try scratch.write("home/file", String(repeating: "content ", count: 3_000))
        for number in 0..<20 { try scratch.write("home/some/\(number)", "\(number)") }
        var tree = try scratch.scan(watch: watch)
        let deadline = ContinuousClock.now + .seconds(5)
        // Shortly after they were made, times tell nothing.
        while !self.files(tree).allSatisfy({ watch.isUntouched($0.stamp) }), ContinuousClock.now < deadline {
            tree = try scratch.scan(since: tree, watch: watch)
        }
        try #require(self.files(tree).count == 21)
        try #require(self.files(tree).allSatisfy { watch.isUntouched($0.stamp) })
        return (tree, try scratch.archive(tree, watch: watch))
    }

    private func files(_ tree: FileTree) -> [FileTree.Node] {
        var (found, open) = ([FileTree.Node](), [tree.root])
        while let node = open.popLast() {
            if node.isFile { found.append(node) }
            open += node.children
        }
        return found
    }

    private func file(_ tree: FileTree, _ name: String) -> FileTree.Node? {
        self.files(tree).first { $0.nameBytes == Array(name.utf8) }
    }

    private func with(_ path: String, _ flags: Int32, _ body: (Int32) throws -> Void) throws {
        let descriptor = open(path, flags, 0o600)
        try #require(descriptor >= 0)
        defer { close(descriptor) }
        try body(descriptor)
    }

    private func writes(_ descriptor: Int32, _ text: String, at offset: Int = 0) {
        _ = Array(text.utf8).withUnsafeBytes { pwrite(descriptor, $0.baseAddress, $0.count, offset) }
    }

    private func maps(_ descriptor: Int32, _ byte: UInt8) throws {
        let memory = mmap(nil, 4_096, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
        try #require(memory != MAP_FAILED)
        memory?.storeBytes(of: byte, toByteOffset: 100, as: UInt8.self)
        munmap(memory, 4_096)
    }

    private func apply(_ change: Change, _ scratch: Scratch, _ other: Scratch) throws {
        let path = scratch.file("home/file")
        switch change {
        case .write: try self.with(path, O_WRONLY) { self.writes($0, "C", at: 9_000) }
        case .append: try self.with(path, O_WRONLY | O_APPEND) { self.writes($0, "more") }
        case .truncate: #expect(Glibc.truncate(path, 17) == 0)
        case .chmod: #expect(Glibc.chmod(path, 0o640) == 0)
        case .times:
            var times = [timespec(tv_sec: 1, tv_nsec: 2), timespec(tv_sec: 3, tv_nsec: 4)]
            #expect(utimensat(AT_FDCWD, path, &times, 0) == 0)
        case .mapping: try self.with(path, O_RDWR) { try self.maps($0, 1) }
        case .linked:
            #expect(link(path, scratch.file("home/some/link")) == 0)
            try self.with(scratch.file("home/some/link"), O_WRONLY) { self.writes($0, "L") }
        case .elsewhere:
            #expect(link(path, other.file("link")) == 0)
            try self.with(other.file("link"), O_RDWR) { try self.maps($0, 2) }
        case .replaced:
            try other.write("new", "other bytes")
            #expect(rename(other.file("new"), path) == 0)
        case .renamed: #expect(rename(path, scratch.file("home/some/moved")) == 0)
        case .removed: #expect(unlink(path) == 0)
        case .swapped:
            #expect(rename(path, other.file("away")) == 0)
            #expect(symlink("some/1", path) == 0)
        case .nested: try scratch.write("home/a/b/c/d/e", "deep")
        case .emptied: try FileManager.default.removeItem(atPath: scratch.file("home/some"))
        case .kept:
            // It was open before the look that finds nothing changed, and is written to after it.
            break
        }
    }

    @Test("no change is missed, whoever makes it and by whatever path", arguments: Change.allCases)
    func changes(_ change: Change) throws {
        let (scratch, other) = (try Scratch(), try Scratch())
        let watch = try #require(FileWatch())
        let (tree, base) = try self.settled(scratch, watch)
        let quiet = try scratch.scan(since: tree, watch: watch)
        #expect(TreeArchive.isSame(tree, quiet), "nothing has happened yet")
        #expect(self.files(quiet).allSatisfy { watch.isUntouched($0.stamp) }, "that the base was read changes nothing")
        try self.apply(change, scratch, other)
        let holder = open(scratch.file("home/file"), O_RDWR | O_NOFOLLOW)
        defer { close(holder) }
        var latest = try scratch.scan(since: quiet, watch: watch)
        if change == .kept {
            #expect(TreeArchive.isSame(tree, latest))
            self.writes(holder, "held", at: 30)
            latest = try scratch.scan(since: latest, watch: watch)
        }
        #expect(!TreeArchive.isSame(tree, latest))
        let copy = try Scratch()
        try copy.restore([base, try scratch.archive(latest, since: tree, watch: watch)])
        #expect(try copy.listing() == scratch.listing())
    }

    @Test("a file that somebody has open for writing, mapped or not, is asked about every time")
    func held() throws {
        let scratch = try Scratch()
        let watch = try #require(FileWatch())
        try scratch.write("home/held", String(repeating: "x", count: 5_000))
        try scratch.write("home/free", "x")
        let holder = open(scratch.file("home/held"), O_RDWR)
        let memory = mmap(nil, 4_096, PROT_READ | PROT_WRITE, MAP_SHARED, holder, 0)
        try #require(memory != MAP_FAILED)
        close(holder)
        var tree = try scratch.scan(watch: watch)
        let deadline = ContinuousClock.now + .seconds(5)
        func isLeftAlone(_ name: String) -> Bool {
            self.file(tree, name).map { watch.isUntouched($0.stamp) } ?? false
        }
        while !isLeftAlone("free"), ContinuousClock.now < deadline {
            tree = try scratch.scan(since: tree, watch: watch)
        }
        #expect(isLeftAlone("free") && !isLeftAlone("held"))
        // The second write finds the page as the first left it, and changes no time by itself.
        for value in [7, 8, 9] as [UInt8] {
            memory?.storeBytes(of: value, as: UInt8.self)
            let next = try scratch.scan(since: tree, watch: watch)
            #expect(!TreeArchive.isSame(tree, next), "\(value)")
            tree = next
            while self.file(tree, "held")?.isFresh == true, ContinuousClock.now < deadline {
                tree = try scratch.scan(since: tree, watch: watch)
            }
        }
        munmap(memory, 4_096)
    }

    @Test("when more happens than the kernel can tell, every file is asked about again")
    func overflow() throws {
        let scratch = try Scratch()
        let watch = try #require(FileWatch())
        let (tree, _) = try self.settled(scratch, watch)
        let text = FileManager.default.contents(atPath: "/proc/sys/fs/inotify/max_queued_events") ?? Data()
        let most = try #require(Int(String(decoding: text, as: UTF8.self).filter(\.isNumber)))
        for number in 0...most {
            let descriptor = open(scratch.file("home/some/\(number % 2)"), O_RDONLY)
            close(descriptor)
        }
        watch.catchUp()
        #expect(self.files(tree).allSatisfy { !watch.isUntouched($0.stamp) })
        #expect(TreeArchive.isSame(tree, try scratch.scan(since: tree, watch: watch)))
    }

    @Test("there are only so many, so that others get theirs, and one that is let go makes room")
    func bound() {
        let text = FileManager.default.contents(atPath: "/proc/sys/fs/inotify/max_user_instances") ?? Data()
        let most = Int(String(decoding: text, as: UTF8.self).filter(\.isNumber)) ?? 0
        var watches = (0..<most).compactMap { _ in FileWatch() }
        #expect((1...(most / 4)).contains(watches.count))
        watches.removeLast()
        #expect(FileWatch() != nil)
    }
}
