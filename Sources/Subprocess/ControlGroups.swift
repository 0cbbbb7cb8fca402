import Glibc

/// Control groups that count processes (cgroups(7), the controller `pids`): a bound by tree and not by user, for root's
/// processes as well, where this process may make groups.
package enum ControlGroups {
    /// Whether such groups can be made.
    package enum Finding: Hashable, Sendable {
        /// In this directory.
        case directory(String)
        /// They cannot, for this reason.
        case none(String)
    }

    /// What was found when it was asked for first; the place of a process in the hierarchy seldom changes.
    package static let finding = Self.find()

    /// Removes the group that a launcher made in `directory` and could not remove itself, having been killed.
    package static func remove(launcher pid: Int32, from directory: String) {
        rmdir("\(directory)/turnpike-\(pid)")
    }

    private static func find() -> Finding {
        let groups = String(decoding: ProcessFiles.bytes("/proc/self/cgroup"), as: UTF8.self)
        let mounts = String(decoding: ProcessFiles.bytes("/proc/self/mountinfo"), as: UTF8.self)
        guard let place = Self.place(groups: groups, mounts: mounts) else {
            return .none("no control groups that count processes are mounted")
        }
        if place.isUnified, let problem = Self.delegate(place.path) { return .none(problem) }
        let probe = "\(place.path)/turnpike-probe-\(getpid())"
        guard mkdir(probe, 0o755) == 0 || errno == EEXIST else {
            return .none("\(place.path): \(String(cString: strerror(errno)))")
        }
        defer { rmdir(probe) }
        guard access("\(probe)/pids.max", W_OK) == 0 else { return .none("groups in \(place.path) count no processes") }
        return .directory(place.path)
    }

    /// Has the groups in `path`, of the one hierarchy of version 2, count processes. Returns why they do not.
    private static func delegate(_ path: String) -> String? {
        let active = ProcessFiles.text("\(path)/cgroup.subtree_control").split(whereSeparator: \.isWhitespace)
        if active.contains("pids") { return nil }
        let file = open("\(path)/cgroup.subtree_control", O_WRONLY | O_CLOEXEC)
        defer { close(file) }
        guard file >= 0, write(file, "+pids", 5) == 5 else { return "\(path): \(String(cString: strerror(errno)))" }
        return nil
    }

    /// The directory of this process's group, as /proc/self/cgroup and /proc/self/mountinfo have it.
    static func place(groups: String, mounts: String) -> (path: String, isUnified: Bool)? {
        let own = groups.split(separator: "\n").map {
            $0.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
        }
        let counting = own.first { $0.count == 3 && $0[1].split(separator: ",").contains("pids") }
        guard let group = counting ?? own.first(where: { $0.count == 3 && $0[0] == "0" }) else { return nil }
        let isUnified = counting == nil
        for line in mounts.split(separator: "\n") {
            let fields = line.split(separator: " ")
            guard let dash = fields.firstIndex(of: "-"), dash >= 6, fields.count > dash + 3 else { continue }
            let isIt =
                isUnified
                ? fields[dash + 1] == "cgroup2"
                : fields[dash + 1] == "cgroup" && fields[dash + 3].split(separator: ",").contains("pids")
            guard isIt else { continue }
            let (root, point) = (fields[3] == "/" ? "" : fields[3], fields[4])
            // A group above what is mounted is out of reach.
            guard group[2].hasPrefix(root) else { continue }
            let below = group[2].dropFirst(root.count)
            return (below == "/" ? String(point) : "\(point)\(below)", isUnified)
        }
        return nil
    }
}
