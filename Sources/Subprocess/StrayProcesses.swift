internal import CRuntime
import Glibc

/// Processes of a tree whose launcher was killed before it could end them. They are nobody's children any longer, so they
/// are found by a variable that all of them were started with or, where they have overwritten their environment or it
/// cannot be read, by where they are.
package enum StrayProcesses {
    /// Kills every process that has `variable`, as `NAME=value`, in the environment it was started with, or that has its
    /// working directory, program or root in `folder`. Returns once none is left, or how many were found last when
    /// `patience` is over. Blocks, and looks at every process of the machine, so it is for emergencies.
    package static func end(
        startedWith variable: String,
        in folder: String? = nil,
        patience: Duration = .seconds(5)
    ) -> Int {
        let sign = Sign(variable: variable, folder: folder.map(ProcessFiles.canonical))
        let deadline = ContinuousClock.now + patience
        // Once more after every find: what was about to fork has forked before it was killed.
        while true {
            let found = ProcessFiles.all().compactMap { Self.descriptor(of: $0, sign) }
            for descriptor in found { _ = crt_pidfd_send_signal(descriptor, SIGKILL) }
            for descriptor in found {
                Self.awaitEnd(descriptor, until: deadline)
                close(descriptor)
            }
            guard !found.isEmpty, ContinuousClock.now < deadline else { return found.count }
        }
    }

    /// By the descriptor a signal reaches this process or none, whoever gets its number.
    private static func descriptor(of pid: Int32, _ sign: Sign) -> Int32? {
        guard pid != getpid(), sign.isOf(pid) else { return nil }
        let descriptor = crt_pidfd_open(pid)
        guard descriptor >= 0 else { return nil }
        // The number may have been given to a stranger before the descriptor was had.
        guard sign.isOf(pid) else {
            close(descriptor)
            return nil
        }
        return descriptor
    }

    /// What tells the tree's processes from others.
    private struct Sign {
        let variable: String
        let folder: String?

        func isOf(_ pid: Int32) -> Bool {
            let variables = ProcessFiles.bytes("/proc/\(pid)/environ").split(separator: 0)
            if variables.contains(where: { $0.elementsEqual(self.variable.utf8) }) { return true }
            guard let folder else { return false }
            return ["cwd", "exe", "root"].contains { name in
                ProcessFiles.target("/proc/\(pid)/\(name)").map { $0 == folder || $0.hasPrefix(folder + "/") } ?? false
            }
        }
    }

    private static func awaitEnd(_ descriptor: Int32, until deadline: ContinuousClock.Instant) {
        var watched = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        while ContinuousClock.now < deadline, poll(&watched, 1, 20) == 0 {}
    }
}

extension ProcessFiles {
    /// The numbers of all processes.
    static func all() -> [Int32] {
        guard let folder = opendir("/proc") else { return [] }
        defer { closedir(folder) }
        var found: [Int32] = []
        while let entry = readdir(folder) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if let pid = Int32(name) { found.append(pid) }
        }
        return found
    }

    /// Where a link leads; nil when it cannot be read.
    static func target(_ path: String) -> String? {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let length = readlink(path, &buffer, buffer.count)
        guard length > 0 else { return nil }
        return String(decoding: buffer[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// A path as the kernel names it, without links; as it is when there is nothing there.
    static func canonical(_ path: String) -> String {
        guard let found = realpath(path, nil) else { return path }
        defer { free(found) }
        return String(cString: found)
    }

    /// A file however long it is; empty when it cannot be read.
    static func bytes(_ path: String) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return [] }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 16 * 1024)
        while true {
            let count = read(descriptor, &piece, piece.count)
            guard count > 0 else { return bytes }
            bytes += piece[..<count]
        }
    }
}
