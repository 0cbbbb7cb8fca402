import Domain
import Glibc
import Runtime
package import Subprocess

/// What the isolation profiles are made of, and whether this host can give them.
package enum Profile {
    /// The limits that the profile of `configuration` sets.
    static func limits(_ configuration: AgentConfiguration) -> ResourceLimits {
        guard configuration.isolation != .none else { return ResourceLimits() }
        return ResourceLimits(
            openFiles: configuration.limits.openFiles,
            processes: configuration.limits.processes,
            addressSpaceBytes: configuration.limits.memoryBytes,
            fileSizeBytes: configuration.limits.fileBytes,
            coreBytes: 0
        )
    }

    /// Where a path leads, links followed; itself where there is nothing.
    static func resolved(_ path: String) -> String {
        guard let found = realpath(path, nil) else { return path }
        defer { free(found) }
        return String(cString: found)
    }

    static func sandbox(_ configuration: AgentConfiguration, _ workspace: Workspace) -> Sandbox? {
        guard configuration.isolation == .sandbox else { return nil }
        return Sandbox(
            writable: workspace.path,
            temporary: workspace.temporary,
            readOnly: configuration.readOnlyPaths,
            sharesNetwork: configuration.network == .host
        )
    }

    /// Where a worker's bound on processes is kept; nil for by user, or without a bound.
    static func controlGroups(_ configuration: AgentConfiguration) -> String? {
        guard configuration.isolation != .none, configuration.limits.processes != nil,
            case .directory(let path) = ControlGroups.finding
        else { return nil }
        return path
    }

    /// Why this process cannot keep the limits of `configuration`; nil when it can. A limit that is not kept is refused,
    /// not left out: Linux counts root's processes in control groups only.
    static func refusal(
        _ configuration: AgentConfiguration,
        user: uid_t = geteuid(),
        groups: ControlGroups.Finding = ControlGroups.finding
    ) -> String? {
        guard configuration.isolation != .none, configuration.limits.processes != nil, user == 0,
            case .none(let problem) = groups
        else { return nil }
        return "limits.processes cannot be kept for root (\(problem)): run the gateway as another user"
    }

    /// Why this host cannot give the profile `sandbox`; nil when it can. Found out by trying it, in the directory `root`.
    package static func sandboxProblem(_ spawner: Spawner, root: String) async -> String? {
        let command = Command(
            executable: "/usr/bin/true",
            environment: ["PATH": WorkerEnvironment.systemPath],
            directory: root,
            sandbox: Sandbox(writable: root, temporary: root, sharesNetwork: false),
            output: .bytes
        )
        do {
            return try await spawner.withProcess(command) { child -> String? in
                let status = await child.exit()
                guard status != .exited(0) else { return nil }
                return LastWords.join("bubblewrap \(status)", LastWords.text(await child.errorTail))
            }
        } catch {
            return "\(error)"
        }
    }
}

/// Remembers whether this host can give the profile `sandbox`: for good when it can, for a while when it cannot.
actor SandboxCheck {
    private static let lasts = Duration.seconds(30)

    private var isGood = false
    private var refused: (problem: String, at: ContinuousClock.Instant)?

    /// Nil when it can.
    func problem(_ spawner: Spawner, root: String) async -> String? {
        if self.isGood { return nil }
        if let refused = self.refused, ContinuousClock.now - refused.at < Self.lasts { return refused.problem }
        guard let problem = await Profile.sandboxProblem(spawner, root: root) else {
            self.isGood = true
            return nil
        }
        self.refused = (problem, .now)
        return problem
    }
}
