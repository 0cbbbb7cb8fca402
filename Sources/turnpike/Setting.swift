/// What can be set, by its name in the configuration file.
///
/// A flag is the name with dashes (`--pool-size`), a variable the name in capitals (`TURNPIKE_POOL_SIZE`). A new
/// setting is a case here, a member of `Configuration`, and its reading in `Configuration.init`.
enum Setting: String, Sendable, CaseIterable {
    case listen
    case databaseURL = "database_url"
    case databaseDirectURL = "database_direct_url"
    case poolSize = "pool_size"
    case logLevel = "log_level"
    case workspaces
    case maxWorkers = "max_workers"
    case drainSeconds = "drain_seconds"
    case lockTrustSeconds = "lock_trust_seconds"
    case leaseWaitSeconds = "lease_wait_seconds"
    case allowUnsafeDurability = "allow_unsafe_durability"
    case hints
    case upstreams
    case proxyListen = "proxy_listen"
    case label
    case organization
    case accounts
    case corsOrigins = "cors_origins"
    case identity
    case bodyMemoryMiB = "body_memory_mib"
    case leastIsolation = "least_isolation"
    case readablePaths = "readable_paths"

    var flag: String {
        "--" + self.rawValue.replacing("_", with: "-")
    }

    var variable: String {
        "TURNPIKE_" + self.rawValue.uppercased()
    }

    /// Whether its value may hold a password: never shown, and readable from a file named by `…_FILE`.
    var isSecret: Bool {
        self == .databaseURL || self == .databaseDirectURL
    }

    /// The value when nobody sets one; nil when there is none.
    var defaultText: String? {
        switch self {
        case .listen: "127.0.0.1:7100"
        case .databaseURL, .databaseDirectURL, .label, .accounts, .identity, .upstreams: nil
        case .poolSize: "6"
        case .logLevel: "info"
        case .workspaces: "/var/lib/turnpike/workspaces"
        case .maxWorkers: "1000"
        case .drainSeconds: "25"
        case .lockTrustSeconds: "3"
        case .leaseWaitSeconds: "300"
        case .allowUnsafeDurability: "off"
        case .hints: "on"
        case .proxyListen: "127.0.0.1:0"
        case .organization: "default"
        case .corsOrigins: nil
        case .bodyMemoryMiB: "256"
        case .leastIsolation: "none"
        case .readablePaths: nil
        }
    }

    /// What its value is called in help texts.
    var placeholder: String {
        switch self {
        case .listen, .proxyListen: "HOST:PORT"
        case .databaseURL, .databaseDirectURL: "URL"
        case .poolSize, .maxWorkers: "NUMBER"
        case .logLevel: "debug|info|warning|error"
        case .workspaces: "DIR"
        case .accounts: "FILE"
        case .upstreams: "FILE"
        case .drainSeconds, .lockTrustSeconds, .leaseWaitSeconds: "SECONDS"
        case .allowUnsafeDurability, .hints: "on|off"
        case .label, .organization: "NAME"
        case .corsOrigins: "ORIGIN,…"
        case .identity: "FILE"
        case .bodyMemoryMiB: "NUMBER"
        case .leastIsolation: "none|limits|sandbox"
        case .readablePaths: "DIR,…"
        }
    }

    var help: String {
        switch self {
        case .listen: "where to serve HTTP; port 0 picks a free one"
        case .databaseURL: "PostgreSQL; may lead through a pooler"
        case .databaseDirectURL: "PostgreSQL without a pooler, for locks and wakes (default: database_url)"
        case .poolSize: "pooled connections of this replica, beside one direct one"
        case .logLevel: "the least that is logged"
        case .workspaces: "the workers' directories; the same path on each replica"
        case .maxWorkers: "live workers of this replica"
        case .drainSeconds: "how long running turns may take to finish after SIGTERM"
        case .lockTrustSeconds: "how long after its last heartbeat a replica believes in its locks"
        case .leaseWaitSeconds: "how long a turn may wait for a lock, a key or a worker's place before it fails"
        case .allowUnsafeDurability: "serve although PostgreSQL may lose what it confirmed (tests only)"
        case .hints: "wakes between replicas (on, off); everything works without them, slower"
        case .upstreams: "a JSON file with the models that workers may use through the gateway"
        case .proxyListen: "where workers reach them; port 0 picks a free one"
        case .label: "this replica's name for people (default: the host's name)"
        case .accounts: "a JSON file of the accounts that this replica hosts (default: none)"
        case .organization: "whose records direct database commands touch"
        case .corsOrigins: "whose pages may call from a browser, like https://chat.example.org; none by default"
        case .identity: "whose signed tokens (OIDC, JWT) are believed, and what they may do: a JSON file"
        case .bodyMemoryMiB: "MiB that the request bodies under way may take, of clients and of workers each"
        case .leastIsolation: "the weakest isolation profile that an agent may have"
        case .readablePaths: "below which all must be that agents show their workers; anywhere by default"
        }
    }
}
