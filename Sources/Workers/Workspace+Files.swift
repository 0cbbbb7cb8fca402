import Domain
import Glibc
import Runtime

// The files of an agent's configuration, put into a workspace before its program starts. The workspace may be a
// worker's of before, so nothing in it is trusted: every step goes through a descriptor and follows no symbolic link.

extension Workspace {
    private static let directoryFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC

    /// Writes the files that are missing, and again those that the gateway owns. The workspace has been created, and
    /// what its conversation left has been restored.
    func seed(_ files: [String: AgentFile], below root: String) throws(SystemError) {
        guard !files.isEmpty else { return }
        let base = try SystemError.check("open \(root)", open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC))
        defer { close(base) }
        let name = String(self.path.dropFirst(root.utf8.count + 1))
        let own = try SystemError.check("open \(name)", openat(base, name, Self.directoryFlags))
        defer { close(own) }
        for (path, file) in files.sorted(by: { $0.key < $1.key }) {
            let parts = PathParts.of(path)
            let directory = try Self.directory(parts.dropLast(), in: own, of: path)
            defer { close(directory) }
            try Self.write(file, named: parts[parts.count - 1], in: directory, of: path)
        }
    }

    /// Opens the directory that `parts` name below `start`, making those that are missing.
    private static func directory(
        _ parts: ArraySlice<String>,
        in start: Int32,
        of path: String
    ) throws(SystemError) -> Int32 {
        var current = try SystemError.check("dup", fcntl(start, F_DUPFD_CLOEXEC, 0))
        for part in parts {
            let parent = current
            defer { close(parent) }
            if mkdirat(parent, part, 0o700) != 0 {
                let error = SystemError.last("mkdir \(part) of \(path)")
                guard error.number == EEXIST else { throw error }
            }
            current = try SystemError.check("open \(part) of \(path)", openat(parent, part, Self.directoryFlags))
        }
        return current
    }

    private static func write(
        _ file: AgentFile,
        named name: String,
        in directory: Int32,
        of path: String
    ) throws(SystemError) {
        var status = stat()
        if file.owner == .worker, fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0 { return }
        // Under another name first: a start that is cut short leaves no half of a file that nobody would write again.
        let draft = ".turnpike-draft"
        unlinkat(directory, draft, 0)
        let flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC
        let descriptor = try SystemError.check("create \(path)", openat(directory, draft, flags, 0o600))
        do throws(SystemError) {
            defer { close(descriptor) }
            try Self.write(file.text, to: descriptor, of: path)
        } catch {
            unlinkat(directory, draft, 0)
            throw error
        }
        // A rename replaces a symbolic link, and does not follow it.
        try SystemError.check("rename to \(path)", renameat(directory, draft, directory, name))
    }

    private static func write(_ text: String, to descriptor: Int32, of path: String) throws(SystemError) {
        var rest = ArraySlice(text.utf8)
        while !rest.isEmpty {
            let count = rest.withContiguousStorageIfAvailable { Glibc.write(descriptor, $0.baseAddress, $0.count) } ?? 0
            if count < 0 {
                let error = SystemError.last("write \(path)")
                guard error.number == EINTR else { throw error }
                continue
            }
            rest = rest.dropFirst(count)
        }
    }
}
