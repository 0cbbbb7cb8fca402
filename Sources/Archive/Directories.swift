import Glibc
package import Runtime

/// Work on directories through descriptors, so that nobody's link leads out of them.
package enum Directories {
    /// The names in a directory but `.` and `..`, each with a NUL at its end.
    static func names(_ descriptor: Int32, path: [[UInt8]]) throws(ArchiveError) -> [[CChar]] {
        let text = { readable(path.joined(separator: [UInt8(ascii: "/")])) }
        // A descriptor of its own, since the stream takes it over and moves its offset.
        let own = openat(descriptor, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard own >= 0 else { throw .refused(path: text(), .last("open")) }
        guard let stream = fdopendir(own) else {
            close(own)
            throw .refused(path: text(), .last("opendir"))
        }
        defer { closedir(stream) }
        var names: [[CChar]] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { start in
                    Array(UnsafeBufferPointer(start: start, count: strlen(start) + 1))
                }
            }
            if name != [0x2e, 0] && name != [0x2e, 0x2e, 0] { names.append(name) }
        }
        return names
    }

    /// Makes the directory, mode 0700, unless it is there, and opens it; fails when something else has its name.
    package static func make(_ name: String, in parent: Int32) throws(SystemError) -> Int32 {
        if mkdirat(parent, name, 0o700) != 0 {
            let error = SystemError.last("mkdir \(name)")
            guard error.number == EEXIST else { throw error }
        }
        return try self.open(name, in: parent)
    }

    /// Opens the directory; `ELOOP` or `ENOTDIR` when something else has its name.
    package static func open(_ name: String, in parent: Int32) throws(SystemError) -> Int32 {
        let flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC
        return try SystemError.check("open \(name)", openat(parent, name, flags))
    }

    /// Removes whatever has this name, with all that is below it; nothing when there is nothing.
    package static func remove(_ name: String, in parent: Int32) throws(SystemError) {
        try self.remove(name.utf8CString.map { $0 }, in: parent)
    }

    static func remove(_ name: [CChar], in parent: Int32) throws(SystemError) {
        if unlinkat(parent, name, 0) == 0 { return }
        let error = SystemError.last("unlink")
        if error.number == ENOENT { return }
        guard error.number == EISDIR || error.number == EPERM else { throw error }
        let descriptor = try self.openAnyway(name, in: parent)
        defer { close(descriptor) }
        // A tree can be deeper than there are descriptors: what is very deep is moved up and removed from there.
        while try self.empty(descriptor, depth: 0, top: descriptor) {}
        try SystemError.check("rmdir", unlinkat(parent, name, AT_REMOVEDIR))
    }

    /// Returns whether something may be left, because it was moved to the top.
    private static func empty(_ descriptor: Int32, depth: Int, top: Int32) throws(SystemError) -> Bool {
        let names: [[CChar]]
        do throws(ArchiveError) {
            names = try self.names(descriptor, path: [])
        } catch {
            if case .refused(_, let cause) = error { throw cause }
            throw SystemError(call: "readdir", number: EIO)
        }
        var isLeft = false
        for (index, name) in names.enumerated() {
            if unlinkat(descriptor, name, 0) == 0 { continue }
            let error = SystemError.last("unlink")
            if error.number == ENOENT { continue }
            guard error.number == EISDIR || error.number == EPERM else { throw error }
            if depth == 50 {
                let above = "deep-\(index)-\(UInt64.random(in: 0 ... .max))"
                try SystemError.check("rename", renameat(descriptor, name, top, above))
                isLeft = true
                continue
            }
            let below = try self.openAnyway(name, in: descriptor)
            defer { close(below) }
            if try self.empty(below, depth: depth + 1, top: top) { isLeft = true }
            try SystemError.check("rmdir", unlinkat(descriptor, name, AT_REMOVEDIR))
        }
        return isLeft
    }

    /// Opens a directory that is to be emptied, whatever its mode says.
    private static func openAnyway(_ name: [CChar], in parent: Int32) throws(SystemError) -> Int32 {
        let flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC
        var descriptor = openat(parent, name, flags)
        if descriptor < 0, SystemError.last("open").number == EACCES {
            // It is a directory and no link, or the system had said that first.
            try SystemError.check("chmod", fchmodat(parent, name, 0o700, 0))
            descriptor = openat(parent, name, flags)
        }
        try SystemError.check("open", descriptor)
        var status = stat()
        if fstat(descriptor, &status) == 0, status.st_mode & 0o700 != 0o700 { _ = fchmod(descriptor, 0o700) }
        return descriptor
    }
}
