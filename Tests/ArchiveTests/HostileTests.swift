import Glibc
import Testing

@testable import Archive

/// A tar archive by hand, with whatever one likes in it.
struct HandmadeArchive {
    private(set) var bytes: [UInt8] = []

    mutating func add(
        _ path: String,
        type: Character = "0",
        target: String = "",
        mode: UInt32 = 0o644,
        size: Int? = nil,
        _ content: [UInt8] = []
    ) {
        var header = [UInt8](repeating: 0, count: 512)
        func put(_ text: String, _ offset: Int) {
            header.replaceSubrange(offset..<(offset + text.utf8.count), with: text.utf8)
        }
        func octal(_ value: Int, _ digits: Int) -> String {
            let text = String(value, radix: 8)
            return String(repeating: "0", count: max(0, digits - text.count)) + text
        }
        put(path, 0)
        put(octal(Int(mode), 7), 100)
        put(octal(4_711, 7), 108)
        put(octal(4_711, 7), 116)
        put(octal(size ?? content.count, 11), 124)
        put(octal(1_700_000_000, 11), 136)
        put("        ", 148)
        put(String(type), 156)
        put(target, 157)
        put("ustar\u{0}00", 257)
        put(octal(header.reduce(0) { $0 + Int($1) }, 6) + "\u{0} ", 148)
        self.bytes += header + content + [UInt8](repeating: 0, count: (512 - content.count % 512) % 512)
    }

    var archive: [UInt8] { self.bytes + [UInt8](repeating: 0, count: 1_024) }
}

@Suite("Hostile archives") struct HostileTests {
    private func refusal(
        _ second: Bool = false,
        limits: TreeLimits = TreeLimits(bytes: 1 << 20, entries: 100),
        _ build: (inout HandmadeArchive) -> Void
    ) throws -> String? {
        var first = HandmadeArchive()
        first.add("home/", type: "5", mode: 0o755)
        if second { first.add("home/file", Array("content".utf8)) }
        var last = second ? HandmadeArchive() : first
        build(&last)
        let scratch = try Scratch()
        do {
            try scratch.restore(second ? [first.archive, last.archive] : [last.archive], limits: limits)
            return nil
        } catch let error as ArchiveError {
            return error.description
        }
    }

    @Test("the archives that these tests make by hand are archives")
    func accepted() throws {
        #expect(try self.refusal { $0.add("home/a", Array("x".utf8)) } == nil)
        #expect(try self.refusal(true) { $0.add("@removed", Array("home/file\u{0}".utf8)) } == nil)
        let blocks = BlockList.number(9) + BlockList.number(7) + BlockList.number(2) + Array("xy".utf8)
        #expect(try self.refusal(true) { $0.add("@blocks/home/file", blocks) } == nil)
    }

    @Test(
        "a path that leads out of the tree, or is not below a known name, is refused",
        arguments: [
            "../x", "/etc/x", "home/../../x", "home/./x", "home//x", "tmp/x", "x", "home/..", "@blocks/../x",
            "home/" + String(repeating: "a/", count: 45) + "../x",
        ]
    )
    func paths(_ path: String) throws {
        #expect(try self.refusal { $0.add(path, Array("x".utf8)) } != nil)
        #expect(try self.refusal(true) { $0.add("@blocks/" + path, BlockList.number(0)) } != nil)
        #expect(try self.refusal(true) { $0.add("@removed", Array("\(path)\u{0}".utf8)) } != nil)
    }

    @Test("nothing is written, changed or removed through a link")
    func links() throws {
        let outside = try Scratch()
        try outside.write("home/victim", "untouched")
        let attempts: [(inout HandmadeArchive) -> Void] = [
            { $0.add("home/way/victim", Array("x".utf8)) },
            { $0.add("home/way/", type: "5", mode: 0o777) },
            { $0.add("home/way/sub/", type: "5") },
            { $0.add("@blocks/home/way/victim", BlockList.number(0)) },
            { $0.add("@removed", Array("home/way/victim\u{0}".utf8)) },
        ]
        for attempt in attempts {
            var first = HandmadeArchive()
            first.add("home/", type: "5", mode: 0o755)
            first.add("home/way", type: "2", target: outside.file("home"))
            var second = HandmadeArchive()
            attempt(&second)
            let scratch = try Scratch()
            #expect(throws: ArchiveError.self) { try scratch.restore([first.archive, second.archive]) }
            #expect(outside.read("home/victim") == Array("untouched".utf8))
        }
        // To replace the link itself is no way through it.
        var first = HandmadeArchive()
        first.add("home/", type: "5", mode: 0o755)
        first.add("home/way", type: "2", target: outside.file("home/victim"))
        var second = HandmadeArchive()
        second.add("home/way", Array("x".utf8))
        let scratch = try Scratch()
        try scratch.restore([first.archive, second.archive])
        #expect(scratch.read("home/way") == Array("x".utf8))
        #expect(outside.read("home/victim") == Array("untouched".utf8))
    }

    @Test("devices, fifos and hard links are refused", arguments: ["1", "3", "4", "6"] as [Character])
    func kinds(_ type: Character) throws {
        #expect(try self.refusal { $0.add("home/x", type: type, target: "home/file") } != nil)
    }

    @Test("a name that comes twice is refused, and a directory is no file")
    func twice() throws {
        #expect(
            try self.refusal {
                $0.add("home/a", Array("x".utf8))
                $0.add("home/a", Array("y".utf8))
            } == "the archive is not acceptable: home/a comes twice"
        )
        #expect(try self.refusal { $0.add("home", Array("x".utf8)) } != nil)
        #expect(try self.refusal { $0.add("home/x/y", Array("x".utf8)) } != nil, "home/x is not there")
        #expect(try self.refusal(true) { $0.add("home/file/", type: "5") } != nil)
    }

    @Test("set-id bits and owners are not taken over")
    func attributes() throws {
        var archive = HandmadeArchive()
        archive.add("home/", type: "5", mode: 0o7755)
        archive.add("home/x", mode: 0o6755, Array("x".utf8))
        let scratch = try Scratch()
        try scratch.restore([archive.archive])
        var status = stat()
        try #require(stat(scratch.file("home/x"), &status) == 0)
        #expect(status.st_mode & 0o7777 == 0o755 && status.st_uid == getuid() && status.st_gid == getgid())
        try #require(stat(scratch.file("home"), &status) == 0)
        #expect(status.st_mode & 0o7777 == 0o755)
    }

    @Test("what would unpack to more than is allowed is refused before it is written")
    func bombs() throws {
        #expect(try self.refusal { $0.add("home/x", size: 1 << 30) } == "more than 1048576 bytes in files")
        #expect(
            try self.refusal(limits: TreeLimits(bytes: 1 << 20, entries: 5)) { archive in
                for number in 0..<10 { archive.add("home/\(number)") }
            } == "more than 5 files and directories"
        )
        // Changed blocks that make a file grow.
        #expect(
            try self.refusal(true) { $0.add("@blocks/home/file", BlockList.number(1 << 40)) }
                == "more than 1048576 bytes in files"
        )
    }

    @Test(
        "a list of blocks that does not fit its file is refused",
        arguments: [[5, 4, 2], [10, -1, 1], [10, 0, 11], [10, 5, -5], [10, Int64.max, 2], [10, 4, 2, -1], [-1]]
            as [[Int64]]
    )
    func blocks(_ numbers: [Int64]) throws {
        let list = Array(numbers.map { BlockList.number($0) }.joined()) + [1, 2]
        #expect(try self.refusal(true) { $0.add("@blocks/home/file", list) } != nil)
        #expect(try self.refusal(true) { $0.add("@blocks/home/none", BlockList.number(0)) } != nil)
        #expect(try self.refusal { $0.add("@blocks/home/file", BlockList.number(0)) } != nil)
        #expect(try self.refusal { $0.add("@removed", Array("home\u{0}".utf8)) } != nil)
    }
}
