// The agent's configuration as JSON: snake_case members, defaults for what is left out, unknown members refused.

extension AgentConfiguration: Codable {
    private enum Member: String, CodingKey, CaseIterable {
        case driver, command, environment, files, snapshots, isolation, network, permissions, retries, warm, usage
        case account, limits, model
        case readOnlyPaths = "read_only_paths"
        case storeMode = "store_mode"
        case mcpServers = "mcp_servers"
        case onBusy = "on_busy"
    }

    package init(from decoder: any Decoder) throws {
        self.init()
        try UnknownMembers.refuse(in: decoder, known: Member.allCases.map(\.rawValue))
        let values = try decoder.container(keyedBy: Member.self)
        self.driver = try values.decodeIfPresent(DriverKind.self, forKey: .driver) ?? self.driver
        self.command =
            self.driver == .remote
            ? try values.decodeIfPresent([String].self, forKey: .command) ?? []
            : try values.decode([String].self, forKey: .command)
        self.environment = try values.decodeIfPresent([String: String].self, forKey: .environment) ?? [:]
        self.files = try values.decodeIfPresent([String: AgentFile].self, forKey: .files) ?? [:]
        let defaultMode: StoreMode = self.driver == .command ? .none : .snapshot
        self.storeMode = try values.decodeIfPresent(StoreMode.self, forKey: .storeMode) ?? defaultMode
        self.snapshots = try values.decodeIfPresent(SnapshotPolicy.self, forKey: .snapshots) ?? self.snapshots
        self.isolation = try values.decodeIfPresent(Isolation.self, forKey: .isolation) ?? self.isolation
        self.network = try values.decodeIfPresent(WorkerNetwork.self, forKey: .network) ?? self.network
        self.readOnlyPaths = try values.decodeIfPresent([String].self, forKey: .readOnlyPaths) ?? []
        self.permissions = try values.decodeIfPresent(PermissionPolicy.self, forKey: .permissions) ?? self.permissions
        self.onBusy = try values.decodeIfPresent(BusyPolicy.self, forKey: .onBusy) ?? self.onBusy
        self.retries = try values.decodeIfPresent(Int.self, forKey: .retries) ?? self.retries
        self.warm = try values.decodeIfPresent(Int.self, forKey: .warm) ?? self.warm
        self.usage = try values.decodeIfPresent(UsageMode.self, forKey: .usage) ?? self.usage
        self.mcpServers = try values.decodeIfPresent([MCPServer].self, forKey: .mcpServers) ?? []
        self.account = try values.decodeIfPresent(AccountNeed.self, forKey: .account)
        self.model = try values.decodeIfPresent(ModelAccess.self, forKey: .model)
        self.limits = try values.decodeIfPresent(AgentLimits.self, forKey: .limits) ?? self.limits
    }

    package func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: Member.self)
        try values.encode(self.driver, forKey: .driver)
        try values.encode(self.command, forKey: .command)
        try values.encode(self.environment, forKey: .environment)
        try values.encode(self.files, forKey: .files)
        try values.encode(self.storeMode, forKey: .storeMode)
        try values.encode(self.snapshots, forKey: .snapshots)
        try values.encode(self.isolation, forKey: .isolation)
        try values.encode(self.network, forKey: .network)
        try values.encode(self.readOnlyPaths, forKey: .readOnlyPaths)
        try values.encode(self.permissions, forKey: .permissions)
        // A replica of an older version, which refuses members it does not know, can read what does not need this one.
        if self.onBusy != .enqueue { try values.encode(self.onBusy, forKey: .onBusy) }
        try values.encode(self.retries, forKey: .retries)
        try values.encode(self.warm, forKey: .warm)
        try values.encode(self.usage, forKey: .usage)
        try values.encode(self.mcpServers, forKey: .mcpServers)
        try values.encodeIfPresent(self.account, forKey: .account)
        try values.encodeIfPresent(self.model, forKey: .model)
        try values.encode(self.limits, forKey: .limits)
    }
}

extension AgentLimits: Codable {
    private enum Member: String, CodingKey, CaseIterable {
        case maxWorkers = "max_workers"
        case startSeconds = "start_seconds"
        case turnSeconds = "turn_seconds"
        case progressSeconds = "progress_seconds"
        case idleSeconds = "idle_seconds"
        case approvalSeconds = "approval_seconds"
        case graceSeconds = "grace_seconds"
        case lineBytes = "line_bytes"
        case outputBytes = "output_bytes"
        case snapshotBytes = "snapshot_bytes"
        case snapshotDeltas = "snapshot_deltas"
        case seedBytes = "seed_bytes"
        case ageSeconds = "age_seconds"
        case residentBytes = "resident_bytes"
        case snapshotKeepTurns = "snapshot_keep_turns"
        case workspaceBytes = "workspace_bytes"
        case workspaceEntries = "workspace_entries"
        case memoryBytes = "memory_bytes"
        case fileBytes = "file_bytes"
        case processes
        case openFiles = "open_files"
    }

    private static let integers: [(Member, any WritableKeyPath<AgentLimits, Int> & Sendable)] = [
        (.maxWorkers, \.maxWorkers), (.startSeconds, \.startSeconds), (.turnSeconds, \.turnSeconds),
        (.progressSeconds, \.progressSeconds), (.idleSeconds, \.idleSeconds), (.approvalSeconds, \.approvalSeconds),
        (.graceSeconds, \.graceSeconds),
        (.lineBytes, \.lineBytes), (.outputBytes, \.outputBytes), (.snapshotBytes, \.snapshotBytes),
        (.snapshotDeltas, \.snapshotDeltas), (.seedBytes, \.seedBytes),
        (.snapshotKeepTurns, \.snapshotKeepTurns),
        (.workspaceBytes, \.workspaceBytes), (.workspaceEntries, \.workspaceEntries), (.openFiles, \.openFiles),
    ]

    private static let bounds: [(Member, any WritableKeyPath<AgentLimits, Int?> & Sendable)] = [
        (.ageSeconds, \.ageSeconds), (.residentBytes, \.residentBytes), (.memoryBytes, \.memoryBytes),
        (.fileBytes, \.fileBytes), (.processes, \.processes),
    ]

    package init(from decoder: any Decoder) throws {
        self.init()
        try UnknownMembers.refuse(in: decoder, known: Member.allCases.map(\.rawValue))
        let values = try decoder.container(keyedBy: Member.self)
        for (member, path) in Self.integers {
            if let value = try values.decodeIfPresent(Int.self, forKey: member) { self[keyPath: path] = value }
        }
        for (member, path) in Self.bounds {
            self[keyPath: path] = try values.decodeIfPresent(Int.self, forKey: member)
        }
    }

    package func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: Member.self)
        for (member, path) in Self.integers { try values.encode(self[keyPath: path], forKey: member) }
        for (member, path) in Self.bounds { try values.encodeIfPresent(self[keyPath: path], forKey: member) }
    }
}
