import Foundation
import Glibc
import Runtime
import Testing

@testable import Archive

/// A directory of a test's own, looked at as a tree.
final class Scratch {
    static let selection = TreeSelection(tops: ["home", "work"], always: ["session"])

    let path: String
    let descriptor: Int32

    init() throws {
        self.path = FileManager.default.temporaryDirectory.appending(path: "archive-\(UUID())").path
        try FileManager.default.createDirectory(atPath: self.path, withIntermediateDirectories: true)
        self.descriptor = open(self.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        try #require(self.descriptor >= 0)
    }

    deinit {
        close(self.descriptor)
        do {
            let parent = try SystemError.check(
                "open",
                open((self.path as NSString).deletingLastPathComponent, O_RDONLY)
            )
            defer { close(parent) }
            try Directories.remove((self.path as NSString).lastPathComponent, in: parent)
        } catch {
            Issue.record("\(self.path) could not be removed: \(error)")
        }
    }

    func file(_ name: String) -> String { "\(self.path)/\(name)" }

    func make(_ directory: String) throws {
        try FileManager.default.createDirectory(atPath: self.file(directory), withIntermediateDirectories: true)
    }

    func write(_ name: String, _ bytes: [UInt8]) throws {
        try self.make((name as NSString).deletingLastPathComponent)
        try Data(bytes).write(to: URL(filePath: self.file(name)))
    }

    func write(_ name: String, _ text: String) throws { try self.write(name, Array(text.utf8)) }

    func read(_ name: String) -> [UInt8]? { FileManager.default.contents(atPath: self.file(name)).map(Array.init) }

    func scan(
        since previous: FileTree? = nil,
        _ selection: TreeSelection = Scratch.selection,
        limits: TreeLimits = TreeLimits(bytes: 1 << 30, entries: 10_000),
        watch: FileWatch? = nil
    ) throws -> FileTree {
        try FileTree.scan(self.descriptor, selection: selection, limits: limits, previous: previous, watch: watch)
    }

    func archive(_ tree: FileTree, since before: FileTree? = nil, watch: FileWatch? = nil) throws -> [UInt8] {
        try TreeArchive.make(
            tree,
            since: before,
            root: self.descriptor,
            maximumBytes: 64 << 20,
            limits: TreeLimits(bytes: 1 << 30, entries: 10_000),
            watch: watch
        )
    }

    func restore(
        _ archives: [[UInt8]],
        limits: TreeLimits = TreeLimits(bytes: 1 << 30, entries: 10_000)
    ) throws {
        var restore = TreeRestore(root: self.descriptor, selection: Self.selection, limits: limits)
        for (index, archive) in archives.enumerated() { try restore.apply(archive, isFirst: index == 0) }
        try restore.finish()
    }

    /// Every path with what it is, its mode, its time and its bytes.
    func listing() throws -> [String: String] {
        var listing: [String: String] = [:]
        let names = try FileManager.default.subpathsOfDirectory(atPath: self.path)
        for name in names {
            var status = stat()
            try #require(lstat(self.file(name), &status) == 0)
            let mode = String(status.st_mode & 0o7777, radix: 8)
            switch status.st_mode & S_IFMT {
            case S_IFDIR: listing[name] = "directory \(mode)"
            case S_IFLNK:
                listing[name] = "link \(try FileManager.default.destinationOfSymbolicLink(atPath: self.file(name)))"
            default:
                let bytes = self.read(name) ?? []
                listing[name] = "file \(mode) \(status.st_mtim.tv_sec).\(status.st_mtim.tv_nsec) \(bytes.hashValue)"
            }
        }
        return listing
    }
}

/// Bytes that do not compress.
func randomBytes(_ count: Int) throws -> [UInt8] {
    let source = try #require(FileHandle(forReadingAtPath: "/dev/urandom"))
    return Array(try #require(try source.read(upToCount: count)))
}
