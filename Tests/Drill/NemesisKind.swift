/// What can be made to fail.
enum NemesisKind: String, Sendable, Hashable, CaseIterable {
    case killReplica = "kill-replica"
    case blipReplica = "blip-replica"
    case freezeReplica = "freeze-replica"
    case killWorker = "kill-worker"
    case freezeWorker = "freeze-worker"
    case muteWorker = "mute-worker"
    case cutLockSession = "cut-lock-session"
    case cutCommitSessions = "cut-commit-sessions"
    case restartPostgres = "restart-postgres"
    case failOverPostgres = "fail-over-postgres"
    case partition
    case partitionOneWay = "partition-one-way"
    case resetConnections = "reset-connections"
    case loseAnswers = "lose-answers"
    case slowPostgres = "slow-postgres"
    case offsetClock = "offset-clock"
    case rollingRestart = "rolling-restart"
    case faultPoint = "fault-point"

    var help: String {
        switch self {
        case .killReplica: "kill -9 of a replica, and another one in its place"
        case .blipReplica: "SIGSTOP of a replica for less than its peers bear"
        case .freezeReplica: "SIGSTOP of a replica until its peers have taken over, then SIGCONT"
        case .killWorker: "kill -9 of a worker within a turn"
        case .freezeWorker: "SIGSTOP of a worker within a turn"
        case .muteWorker: "a worker closes its output within a turn and lives on"
        case .cutLockSession: "pg_terminate_backend of a replica's lock session"
        case .cutCommitSessions: "pg_terminate_backend of a replica's pooled sessions"
        case .restartPostgres: "an immediate shutdown of PostgreSQL, and its restart"
        case .failOverPostgres: "kill -9 of PostgreSQL, whose synchronous standby takes its place"
        case .partition: "nothing passes between a replica and PostgreSQL"
        case .partitionOneWay: "nothing passes in one direction"
        case .resetConnections: "a replica's connections to PostgreSQL are reset, and new ones for a while"
        case .loseAnswers: "a write is committed and its answer lost with its connection"
        case .slowPostgres: "every round trip takes 200 ms longer"
        case .offsetClock: "a replica's wall clock is an hour off"
        case .faultPoint: "a replica dies, stops, waits or fails at a named point of the program"
        case .rollingRestart: "SIGTERM of a replica, and another one in its place"
        }
    }

    /// Whether it waits for what only another replica can do.
    var leansOnPeers: Bool { self == .killReplica || self == .freezeReplica }

    /// What the seeded mix draws from: all.
    static let mix = NemesisKind.allCases
}
