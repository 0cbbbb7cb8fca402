import Testing

@testable import Archive

@Suite("Archives") struct FormatTests {
    private func entries(_ archive: [UInt8]) throws -> [(ArchiveEntry, [UInt8])] {
        let reader = try ArchiveReader(archive)
        var found: [(ArchiveEntry, [UInt8])] = []
        var buffer = [UInt8](repeating: 0, count: 1_000)
        while let entry = try reader.next() {
            var bytes: [UInt8] = []
            while case let count = try reader.read(into: &buffer), count > 0 { bytes += buffer[..<count] }
            found.append((entry, bytes))
        }
        return found
    }

    @Test("files, directories and links come back as they were written, whatever bytes their names are")
    func roundTrip() throws {
        let time: Int64 = 1_700_000_000_123_456_789
        let long = Array("home/\(String(repeating: "ä", count: 90))/x".utf8)
        let written: [(ArchiveEntry, [UInt8])] = [
            (ArchiveEntry(path: Array("home".utf8), kind: .directory, mode: 0o700, modified: 0), []),
            (ArchiveEntry(path: long, kind: .file(size: 5), mode: 0o640, modified: time), Array("hello".utf8)),
            (ArchiveEntry(path: [0x68, 0xff, 0xfe], kind: .file(size: 0), mode: 0o600, modified: time), []),
            (
                ArchiveEntry(
                    path: Array("l".utf8),
                    kind: .link(target: [0x2e, 0x2e, 0xff]),
                    mode: 0o777,
                    modified: time
                ),
                []
            ),
        ]
        let writer = try ArchiveWriter(maximumBytes: 1 << 20)
        for (entry, bytes) in written {
            try writer.begin(entry)
            if !bytes.isEmpty { try writer.write(bytes) }
        }
        let read = try self.entries(try writer.finish())
        for (one, other) in zip(written, read) {
            var expected = one.0
            if expected.kind == .directory { expected.path.append(UInt8(ascii: "/")) }
            #expect(other.0 == expected)
            #expect(other.1 == one.1)
        }
        #expect(read.count == written.count)
    }

    @Test("an archive that would be larger than allowed is refused, and so is a file of another size than it said")
    func bounds() throws {
        let noise = try randomBytes(100_000)
        let file = ArchiveEntry(path: [0x61], kind: .file(size: Int64(noise.count)), mode: 0o600, modified: 0)
        let small = try ArchiveWriter(maximumBytes: 50_000)
        #expect(throws: ArchiveError.tooMuch("bytes of compressed archive", limit: 50_000)) {
            try small.begin(file)
            try small.write(noise)
            _ = try small.finish()
        }
        let writer = try ArchiveWriter(maximumBytes: 1 << 20)
        try writer.begin(file)
        #expect(throws: ArchiveError.self) { try writer.write(noise + [0]) }
        try writer.write(noise, count: 10)
        #expect(throws: ArchiveError.self) { try writer.finish() }
    }

    @Test("what is no archive, or is cut off, is refused", arguments: [0, 1, 600, 5_000])
    func damaged(_ length: Int) throws {
        let writer = try ArchiveWriter(maximumBytes: 1 << 20)
        let noise = try randomBytes(10_000)
        try writer.begin(ArchiveEntry(path: [0x61], kind: .file(size: 10_000), mode: 0o600, modified: 0))
        try writer.write(noise)
        let archive = try writer.finish()
        #expect(throws: ArchiveError.self) { try self.entries(Array(archive.prefix(length))) }
        #expect(throws: ArchiveError.self) { try self.entries(Array(noise.prefix(length + 100))) }
    }
}

@Suite("Patterns of paths") struct PatternTests {
    private static func takes(_ path: String, include: [String] = [], exclude: [String] = []) -> Bool {
        let selection = TreeSelection(tops: ["home", "work"], always: ["session"], include: include, exclude: exclude)
        let isDirectory = path.hasSuffix("/")
        return selection.takes(path.utf8.split(separator: UInt8(ascii: "/")).map(Array.init), isDirectory: isDirectory)
    }

    @Test(
        "a pattern leaves out what it says and what is below",
        arguments: [
            ("*.log", "home/a.log", false), ("*.log", "home/x/y/b.log", false), ("*.log", "home/b.logs", true),
            ("home/.cache", "home/.cache/", false), ("home/.cache", "home/.cache/x/y", false),
            ("home/.cache", "work/home/.cache", true), ("node_modules/", "work/a/node_modules/", false),
            ("node_modules/", "work/node_modules", true), ("work/**/tmp", "work/tmp/", false),
            ("work/**/tmp", "work/a/b/tmp/c", false), ("work/**/tmp", "home/tmp/", true),
            ("home/**", "home/a", false), ("home/**", "home/", true), ("home/?[0-9]", "home/a7", false),
            ("home/?[0-9]", "home/a77", true), ("home/[!a]x", "home/bx", false), ("home/[!a]x", "home/ax", true),
            ("home/a*b*c", "home/aXbYYc", false), ("home/a*b*c", "home/aXbYY", true),
        ]
    )
    func exclude(_ pattern: String, _ path: String, _ expected: Bool) {
        #expect(Self.takes(path, exclude: [pattern]) == expected)
    }

    @Test("with something to include, only that is taken, and the directories on the way to it")
    func include() {
        let include = ["home/.agent/**", "*.db"]
        #expect(Self.takes("home/.agent/", include: include))
        #expect(Self.takes("home/.agent/a/b", include: include))
        #expect(Self.takes("work/deep/x.db", include: include))
        #expect(!Self.takes("home/other", include: include))
        #expect(Self.takes("home/other/", include: include), "there may be a .db in it")
        #expect(!Self.takes("home/other/", include: ["home/.agent/**"]))
        #expect(!Self.takes("home/.agent/x.db", include: include, exclude: ["home/.agent"]))
        #expect(Self.takes("session", include: include, exclude: ["session"]))
        #expect(!Self.takes("tmp/x", include: ["tmp/x"]))
    }

    @Test("a pattern of many stars ends at once")
    func hostile() {
        let pattern = "home/" + String(repeating: "a*", count: 200) + "b"
        let begin = ContinuousClock.now
        #expect(Self.takes("home/" + String(repeating: "a", count: 250), exclude: [pattern]))
        #expect(ContinuousClock.now - begin < .seconds(1))
    }
}
