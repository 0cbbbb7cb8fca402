import Foundation

/// The files of this checkout that are under version control.
struct Repository {
    /// One file and its text; `text` is nil when it is not UTF-8.
    struct File {
        let path: String
        let text: String?
    }

    let files: [File]

    /// Reads the checkout that this file was compiled from.
    init() throws {
        let root = URL(fileURLWithPath: #filePath)
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        self.files = try Self.trackedPaths(in: root).map { path in
            let data = try Data(contentsOf: root.appendingPathComponent(path))
            return File(path: path, text: String(data: data, encoding: .utf8))
        }
    }

    /// The Swift files below `folder`.
    func swift(in folder: String) -> [SwiftSource] {
        self.files.compactMap { file in
            guard file.path.hasSuffix(".swift"), file.path.hasPrefix("\(folder)/"), let text = file.text else {
                return nil
            }
            return SwiftSource(path: file.path, text: text)
        }
    }

    /// What git would commit: tracked files and new ones that it does not ignore. Deleted ones are gone already.
    private static func trackedPaths(in root: URL) throws -> [String] {
        let git = Process()
        let output = Pipe()
        git.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        git.arguments = ["git", "-C", root.path, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        git.standardOutput = output
        try git.run()
        let listing = try output.fileHandleForReading.readToEnd() ?? Data()
        git.waitUntilExit()
        guard git.terminationStatus == 0 else { throw CocoaError(.fileReadUnknown) }
        let paths = String(decoding: listing, as: UTF8.self).split(separator: "\0").map(String.init)
        return Set(paths).sorted().filter {
            FileManager.default.fileExists(atPath: root.appendingPathComponent($0).path)
        }
    }
}
