import Glibc

/// What a child and all its descendants use, as /proc has it.
package struct ResourceUsage: Hashable, Sendable {
    /// Memory in use, in bytes; pages shared between processes count for each.
    package var residentBytes = 0
    /// Processor time of the processes that run, and of those they have waited for.
    package var cpuSeconds = 0.0

    package init() {}
}

extension ChildProcess {
    /// What the whole tree uses now; the launcher itself is not counted. Zero once it has ended. Reads a few small files
    /// of /proc for each process, so it is for metrics, not for each request.
    package nonisolated func resourceUsage() -> ResourceUsage {
        var usage = ResourceUsage()
        guard self.exitStatus == nil else { return usage }
        var pids = ProcessFiles.children(of: self.pid)
        // Bounded: a tree that grows while it is walked does not keep us here.
        var budget = 4096
        while let pid = pids.popLast(), budget > 0 {
            budget -= 1
            ProcessFiles.add(pid, to: &usage)
            pids += ProcessFiles.children(of: pid)
        }
        return usage
    }
}

/// Reads of /proc (proc(5)). A process that has ended meanwhile has no files and counts for nothing.
enum ProcessFiles {
    static func children(of pid: Int32) -> [Int32] {
        guard let tasks = opendir("/proc/\(pid)/task") else { return [] }
        defer { closedir(tasks) }
        var names: [String] = []
        while let entry = readdir(tasks) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name.first?.isNumber == true { names.append(name) }
        }
        return names.flatMap { name in
            Self.text("/proc/\(pid)/task/\(name)/children").split(separator: " ").compactMap { Int32($0) }
        }
    }

    static func add(_ pid: Int32, to usage: inout ResourceUsage) {
        let pages = Self.text("/proc/\(pid)/statm").split(separator: " ").dropFirst().first.flatMap { Int($0) }
        usage.residentBytes += (pages ?? 0) * Int(getpagesize())
        // The name in parentheses may contain anything; the fields after it begin with number 3, the state.
        let fields = Self.text("/proc/\(pid)/stat").split(separator: ")").last?.split(separator: " ") ?? []
        guard fields.count > 14 else { return }
        let ticks = fields[11...14].compactMap { Double($0) }.reduce(0, +)
        usage.cpuSeconds += ticks / Double(sysconf(Int32(_SC_CLK_TCK)))
    }

    /// The process that has to collect it; nil when it has ended.
    static func parent(of pid: Int32) -> Int32? {
        let fields = Self.text("/proc/\(pid)/stat").split(separator: ")").last?.split(separator: " ") ?? []
        return fields.count > 1 ? Int32(fields[1]) : nil
    }

    /// Whether it uses the processor, or would if it were let.
    static func isRunning(_ pid: Int32) -> Bool {
        Self.text("/proc/\(pid)/stat").split(separator: ")").last?.split(separator: " ").first.map { "RS".contains($0) }
            ?? false
    }

    static func text(_ path: String) -> String {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return "" }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 16 * 1024)
        let count = read(descriptor, &bytes, bytes.count)
        return count > 0 ? String(decoding: bytes[..<count], as: UTF8.self) : ""
    }
}
