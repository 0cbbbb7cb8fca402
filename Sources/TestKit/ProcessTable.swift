internal import Foundation
package import Glibc

/// The machine's processes.
package enum ProcessTable {
    /// Everything that descends from `root`, without it.
    package static func descendants(of root: pid_t) -> Set<pid_t> {
        var children: [pid_t: [pid_t]] = [:]
        for (pid, parent) in self.parents() { children[parent, default: []].append(pid) }
        var found: Set<pid_t> = []
        var open = [root]
        while let next = open.popLast() {
            for child in children[next] ?? [] where found.insert(child).inserted { open.append(child) }
        }
        return found
    }

    /// Whether `pid` still runs; a zombie does not.
    package static func runs(_ pid: pid_t) -> Bool {
        guard let state = self.fields(of: pid)?.first else { return false }
        return state != "Z"
    }

    /// Whether `pid` is stopped by a signal.
    package static func isStopped(_ pid: pid_t) -> Bool {
        self.fields(of: pid)?.first == "T"
    }

    /// How many descriptors `pid` has open.
    package static func descriptors(_ pid: pid_t) -> Int {
        do {
            return try FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/fd").count
        } catch {
            // It has ended.
            return 0
        }
    }

    /// The processes whose command line contains `text`.
    package static func naming(_ text: String) -> [pid_t] {
        self.parents().map(\.pid).filter { TextFile.read("/proc/\($0)/cmdline").contains(text) }
    }

    /// A figure of /proc/PID/status, such as `VmRSS` (kB) or `Threads`.
    package static func status(_ pid: pid_t, _ name: String) -> Int {
        let line = TextFile.read("/proc/\(pid)/status").split(separator: "\n").first { $0.hasPrefix("\(name):") }
        return line.flatMap { Int($0.filter(\.isNumber)) } ?? 0
    }

    /// Every living process that was started with `mark` in its environment, wherever it went since.
    package static func marked(_ mark: String) -> Set<pid_t> {
        Set(self.parents().map(\.pid).filter { TextFile.read("/proc/\($0)/environ").contains(mark) })
    }

    /// What descends from `root` and has ended without anybody having looked.
    package static func zombies(of root: pid_t) -> Set<pid_t> {
        self.descendants(of: root).filter { self.fields(of: $0)?.first == "Z" }
    }

    private static func parents() -> [(pid: pid_t, parent: pid_t)] {
        guard let folder = opendir("/proc") else { return [] }
        defer { closedir(folder) }
        var found: [(pid: pid_t, parent: pid_t)] = []
        while let entry = readdir(folder) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            guard let pid = pid_t(name), let fields = self.fields(of: pid), fields.count > 1 else { continue }
            if let parent = pid_t(fields[1]) { found.append((pid, parent)) }
        }
        return found
    }

    /// What follows the program's name in /proc/PID/stat: state, parent, …
    private static func fields(of pid: pid_t) -> [Substring]? {
        TextFile.read("/proc/\(pid)/stat").split(separator: ")").last?.split(separator: " ")
    }
}
