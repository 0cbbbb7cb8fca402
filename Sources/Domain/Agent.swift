/// How a worker is driven.
package enum DriverKind: String, Sendable, Hashable, Codable, CaseIterable {
    /// The Agent Client Protocol, version 1, over standard input and output.
    case acp
    /// One process a turn: standard input is the prompt, standard output the reply.
    case command
    /// Outside the gateway: a worker that acts as an account claims its turns over HTTP.
    case remote
}

/// How far a worker is kept from its host. A profile that the host cannot give refuses to start.
package enum Isolation: String, Sendable, Hashable, Codable, CaseIterable {
    /// Nothing but a cleared environment and its own process tree. For development.
    case none
    /// Resource limits and no new privileges.
    case limits
    /// The same in namespaces of its own: it sees the system read-only, its workspace, and nothing else of the host.
    case sandbox
}

/// Which network a worker in a sandbox has.
package enum WorkerNetwork: String, Sendable, Hashable, Codable, CaseIterable {
    /// The host's.
    case host
    /// A loopback interface of its own.
    case none
}

/// What is answered when a worker asks for permission.
package enum PermissionPolicy: String, Sendable, Hashable, Codable, CaseIterable {
    /// The first option of kind `allow_once`.
    case allow
    /// The first option of kind `reject_once`.
    case deny
    /// What somebody of the organization decides. Where nobody can, as `deny`.
    case ask
}

/// What the usage is that a worker reports with its reply.
package enum UsageMode: String, Sendable, Hashable, Codable, CaseIterable {
    /// Totals of the session as long as they only grow; the turn's own figures once they shrink.
    case auto
    /// Totals of the session; the turn's own figures are the difference.
    case cumulative
    /// The turn's own figures.
    case perTurn = "per_turn"
}

/// A named worker configuration: the body of `PUT /v1/agents/{agent}`.
package struct AgentConfiguration: Sendable, Hashable {
    /// How the worker is driven.
    package var driver: DriverKind = .acp
    /// The program and its arguments.
    package var command: [String] = []
    /// Added to the small environment that every worker gets.
    package var environment: [String: String] = [:]
    /// Put into the workspace before the program starts, by their paths: `home/…` or `work/…`.
    package var files: [String: AgentFile] = [:]
    /// How the worker keeps a conversation's state.
    package var storeMode: StoreMode = .snapshot
    /// How that state gets into snapshots.
    package var snapshots = SnapshotPolicy()
    /// How far the worker is kept from its host.
    package var isolation: Isolation = .none
    /// With `sandbox` isolation: its network.
    package var network: WorkerNetwork = .host
    /// With `sandbox` isolation: what it may read besides the system, such as the folder that its program is in.
    package var readOnlyPaths: [String] = []
    /// What is answered when the worker asks for permission.
    package var permissions: PermissionPolicy = .deny
    /// What becomes of a turn that meets others in its conversation and does not say what is to become of it.
    package var onBusy: BusyPolicy = .enqueue
    /// Runs after the first that a turn may have when its worker exits; 0 fails it at once.
    package var retries = 0
    /// Workers of this agent that each replica keeps ready for conversations to come.
    package var warm = 0
    /// How the usage that the worker reports is read.
    package var usage: UsageMode = .auto
    /// Tool servers that an `acp` agent is told to connect to.
    package var mcpServers: [MCPServer] = []
    /// The account that its workers act as; nil when they need none.
    package var account: AccountNeed?
    /// The model that the worker may use through the gateway; nil without one.
    package var model: ModelAccess?
    /// The bounds it works within.
    package var limits = AgentLimits()

    package init() {}

    /// A configuration for `command`.
    package init(driver: DriverKind, command: [String], storeMode: StoreMode) {
        self.driver = driver
        self.command = command
        self.storeMode = storeMode
    }

    /// What is wrong with it: a member's path and a sentence each; empty when it can be stored.
    package var problems: [(member: String, problem: String)] {
        var found: [(member: String, problem: String)] = []
        if self.driver == .remote {
            found += self.remoteProblems
        } else if self.command.isEmpty || self.command[0].isEmpty {
            found.append(("command", "must name a program"))
        }
        if self.command.contains(where: { $0.utf8.contains(0) }) {
            found.append(("command", "must not contain NUL"))
        }
        for (name, value) in self.environment {
            if name.isEmpty || name.utf8.contains(UInt8(ascii: "=")) || name.utf8.contains(0) || value.utf8.contains(0)
            {
                found.append(("environment", "has a name or value that no process can be given"))
            }
        }
        found += self.sizeProblems
        found += AgentFile.problems(self.files)
        if self.driver == .command, self.storeMode == .snapshot, self.snapshots.kind == .blob {
            found.append(
                ("store_mode", "a command worker cannot hand its state over; use file or none, or directory snapshots")
            )
        }
        found += self.sandboxProblems
        if self.driver == .command, self.warm > 0 {
            found.append(("warm", "a command worker has no process before its turn, so none can be kept ready"))
        }
        if !(0...100).contains(self.warm) { found.append(("warm", "must be from 0 to 100")) }
        found += self.account?.problems ?? []
        if self.account != nil, self.warm > 0 {
            found.append(("warm", "a spare worker would act as nobody, so an agent with an account has none"))
        }
        found += self.snapshots.problems
        if !(0...10).contains(self.retries) { found.append(("retries", "must be from 0 to 10")) }
        for (index, server) in self.mcpServers.enumerated() {
            found += server.problems.map { ("mcp_servers[\(index)].\($0.member)", $0.problem) }
        }
        if Set(self.mcpServers.map(\.name)).count < self.mcpServers.count {
            found.append(("mcp_servers", "must not have two servers of one name"))
        }
        if self.driver != .acp, !self.mcpServers.isEmpty {
            found.append(("mcp_servers", "can be told to acp workers only"))
        }
        return found + self.hiddenProblems + self.modelProblems + self.limits.problems
    }

    private var modelProblems: [(member: String, problem: String)] {
        guard let model = self.model else { return [] }
        var found = model.problems.map { (member: "model.\($0.member)", problem: $0.problem) }
        if self.network == .none {
            found.append(("model", "is reached over the network, and this worker has none"))
        }
        if let name = ModelAccess.variables.first(where: { self.environment[$0] != nil }) {
            found.append(("environment", "must not set \(name), which model sets"))
        }
        return found
    }

    /// Nothing is started for it here, so nothing that is about a program has a meaning.
    private var remoteProblems: [(member: String, problem: String)] {
        var found: [(member: String, problem: String)] = []
        if !self.command.isEmpty {
            found.append(("command", "is not for a remote agent: its workers start themselves"))
        }
        if self.account == nil { found.append(("account", "must be there: remote workers act as an account")) }
        if self.snapshots.kind == .directory {
            found.append(("snapshots", "of a remote agent cannot be of a directory; its workers hand text over"))
        }
        if self.isolation != .none { found.append(("isolation", "has no meaning for a remote agent")) }
        if self.model != nil { found.append(("model", "is for workers here: a remote one brings its own")) }
        return found
    }

    private var sandboxProblems: [(member: String, problem: String)] {
        var found: [(member: String, problem: String)] = []
        if self.isolation != .sandbox {
            if self.network == .none { found.append(("network", "can be none only with the isolation sandbox")) }
            if !self.readOnlyPaths.isEmpty {
                found.append(("read_only_paths", "have a meaning only with the isolation sandbox"))
            }
        }
        for path in self.readOnlyPaths {
            let parts = PathParts.of(path).dropFirst()
            let isPlain = parts.allSatisfy { !$0.isEmpty && $0 != "." && $0 != ".." && !$0.utf8.contains(0) }
            guard PathParts.isAbsolute(path), isPlain, !["proc", "sys", "dev"].contains(parts.first) else {
                found.append(("read_only_paths", "must be plain absolute paths, not in /proc, /sys or /dev"))
                break
            }
        }
        return found
    }

    /// The longest argument or NAME=value that Linux hands to a program (MAX_ARG_STRLEN, execve(2)), in bytes.
    private static let longestString = 131_071
    /// All of them with their pointers. Linux allows 2 MiB with the usual stack limit; the rest is for what is added.
    private static let stringsTogether = 1 << 20

    /// What would only come to light when the worker is started.
    private var sizeProblems: [(member: String, problem: String)] {
        let arguments = self.command.map(\.utf8.count)
        let variables = self.environment.map { $0.key.utf8.count + $0.value.utf8.count + 1 }
        var found: [(member: String, problem: String)] = []
        for (member, sizes) in [("command", arguments), ("environment", variables)]
        where sizes.contains(where: { $0 > Self.longestString }) {
            found.append((member, "has an entry over \(Self.longestString) bytes, which no process can be given"))
        }
        let total = (arguments + variables).reduce(0) { $0 + $1 + 9 }
        if total > Self.stringsTogether {
            found.append(("command", "and environment together are over \(Self.stringsTogether) bytes"))
        }
        return found
    }
}

/// The bounds of one agent. Times in seconds, sizes in bytes.
package struct AgentLimits: Sendable, Hashable {
    /// Live workers of this agent on one replica.
    package var maxWorkers = 1_000
    /// From spawn to ready.
    package var startSeconds = 30
    /// From hand-over to outcome.
    package var turnSeconds = 600
    /// Between two signs of life within a turn.
    package var progressSeconds = 300
    /// An idle worker is stopped after this.
    package var idleSeconds = 900
    /// How long a question of the worker waits for somebody to decide it.
    package var approvalSeconds = 600
    /// Between a cancel or a polite stop and the kill.
    package var graceSeconds = 5
    /// One line of the worker's output.
    package var lineBytes = 16 << 20
    /// All text of one turn.
    package var outputBytes = 16 << 20
    /// One snapshot.
    package var snapshotBytes = 64 << 20
    /// Deltas between two bases, for each 32 KiB that the base has.
    package var snapshotDeltas = 50
    /// The transcript that a worker is told when it cannot get its state otherwise; 0 tells none.
    package var seedBytes = 64 << 10
    /// A worker this old is replaced after its turn; nil for no bound.
    package var ageSeconds: Int?
    /// A worker whose process tree holds more memory than this is replaced after its turn; nil for no bound.
    package var residentBytes: Int?
    /// Turns back from the newest whose snapshots are kept; older ones go once a base makes them superfluous.
    package var snapshotKeepTurns = 1_000
    /// With directory snapshots: all files of the workspace that are archived, by their apparent size.
    package var workspaceBytes = 1 << 30
    /// With directory snapshots: files, directories and links that are archived.
    package var workspaceEntries = 100_000
    /// With `limits` or `sandbox` isolation: address space of each of its processes; nil for no bound.
    package var memoryBytes: Int?
    /// With `limits` or `sandbox` isolation: the largest file that it may write; nil for no bound.
    package var fileBytes: Int?
    /// Processes and threads: of the worker, where the gateway may make control groups. Elsewhere with `limits` isolation
    /// of the gateway's user, all workers and the gateway together, with `sandbox` those in it, and refused for a gateway
    /// that runs as root, whom Linux does not count. Nil for no bound.
    package var processes: Int?
    /// With `limits` or `sandbox` isolation: open descriptors of the worker.
    package var openFiles = 1_024

    package init() {}

    fileprivate var problems: [(member: String, problem: String)] {
        func check(_ member: String, _ value: Int, _ range: ClosedRange<Int>) -> [(member: String, problem: String)] {
            range.contains(value)
                ? [] : [("limits.\(member)", "must be from \(range.lowerBound) to \(range.upperBound)")]
        }
        return check("max_workers", self.maxWorkers, 1...100_000)
            + check("start_seconds", self.startSeconds, 1...3_600)
            + check("turn_seconds", self.turnSeconds, 1...86_400)
            + check("progress_seconds", self.progressSeconds, 1...86_400)
            + check("idle_seconds", self.idleSeconds, 1...604_800)
            + check("approval_seconds", self.approvalSeconds, 1...86_400)
            + check("grace_seconds", self.graceSeconds, 0...600)
            + check("line_bytes", self.lineBytes, 1_024...(256 << 20))
            + check("output_bytes", self.outputBytes, 1_024...(256 << 20))
            + check("snapshot_bytes", self.snapshotBytes, 1_024...(512 << 20))
            + check("snapshot_deltas", self.snapshotDeltas, 0...10_000)
            + check("seed_bytes", self.seedBytes, 0...(1 << 20))
            + check("age_seconds", self.ageSeconds ?? 60, 1...31_536_000)
            + check("resident_bytes", self.residentBytes ?? (64 << 20), (1 << 20)...(1 << 42))
            + check("snapshot_keep_turns", self.snapshotKeepTurns, 0...1_000_000_000)
            + check("workspace_bytes", self.workspaceBytes, 1_024...(64 << 30))
            + check("workspace_entries", self.workspaceEntries, 1...10_000_000)
            + check("memory_bytes", self.memoryBytes ?? (64 << 20), (16 << 20)...(1 << 42))
            + check("file_bytes", self.fileBytes ?? (64 << 20), 4_096...(1 << 42))
            + check("processes", self.processes ?? 64, 1...1_000_000)
            + check("open_files", self.openFiles, 16...1_000_000)
    }
}
