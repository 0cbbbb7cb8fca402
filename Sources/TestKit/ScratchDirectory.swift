internal import Foundation

/// A folder of one test's own, removed with everything in it when the last reference is gone.
package final class ScratchDirectory: Sendable {
    /// The absolute path, short enough for sockets in it.
    package let path: String

    /// Makes an empty folder below the system's temporary folder. Others may enter it but not write, since a server of
    /// another user has to get through.
    package init() throws {
        let base = FileManager.default.temporaryDirectory.path
        let name = "tk-\(getpid())-\(String(UInt32.random(in: .min ... .max), radix: 36))"
        self.path = base.hasSuffix("/") ? base + name : "\(base)/\(name)"
        try FileManager.default.createDirectory(atPath: self.path, withIntermediateDirectories: false)
        guard chmod(self.path, 0o755) == 0 else { throw CocoaError(.fileWriteNoPermission) }
    }

    deinit {
        do {
            try FileManager.default.removeItem(atPath: self.path)
        } catch {
            // Someone's process still writes here; the folder is in the temporary one and the system clears it.
        }
    }

    /// The path of `name` in the folder.
    package func file(_ name: String) -> String {
        "\(self.path)/\(name)"
    }

    /// Writes `text` to `name`, with the permission bits `mode`, and returns its path.
    @discardableResult
    package func write(_ text: String, to name: String, mode: UInt16 = 0o644) throws -> String {
        let path = self.file(name)
        try Data(text.utf8).write(to: URL(fileURLWithPath: path))
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
        return path
    }
}
