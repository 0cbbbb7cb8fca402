import Domain
import Foundation
import Postgres
import Runtime
import Store
import Subprocess
import TestKit
import Workers

@testable import Gateway

/// Replicas in one process on one database: real PostgreSQL, real workers, short times.
struct GatewayFixture: Sendable {
    let replicas: [Replica]
    /// Looks at the database from outside of every replica.
    let pool: ConnectionPool
    let org: OrganizationID

    struct Options: Sendable {
        var replicas = 1
        var limits = Self.quick
        var usesHints = true
        var lockCapacity = 1_000
        /// Whom every replica can let workers act as.
        var accounts: [AccountHosting] = []
        /// Whether the replicas look for work; without, only what tests call happens.
        var works = true
        /// Before the lock session reconnects.
        var reconnectDelay: Duration = .milliseconds(20)

        static var quick: Limits {
            var limits = Limits()
            limits.pollInterval = .milliseconds(100)
            limits.sweepInterval = .milliseconds(200)
            limits.presenceInterval = .milliseconds(200)
            limits.feedPoll = .milliseconds(100)
            limits.deferFirst = .milliseconds(50)
            limits.deferLongest = .milliseconds(100)
            limits.drainGrace = .seconds(3)
            return limits
        }
    }

    static func with(
        _ change: (inout Options) -> Void = { _ in },
        _ body: @Sendable (GatewayFixture) async throws -> Void
    ) async throws {
        var wanted = Options()
        change(&wanted)
        let options = wanted
        let folder = try ScratchDirectory()
        let conninfo = try await StoreDatabase.fresh()
        let outside = ConnectionPool(
            configuration: .init(conninfo: conninfo, size: 4),
            reactor: try TestPlatform.reactor(),
            blocking: TestPlatform.blocking,
            log: .silent,
            metrics: Metrics()
        )
        let replicas = try (0..<options.replicas).map {
            try Replica(conninfo: conninfo, workspaces: folder.file("work\($0)"), options)
        }
        let fixture = GatewayFixture(replicas: replicas, pool: outside, org: try OrganizationID("default"))
        let stop = StopSignal()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for replica in replicas { group.addTask { try await replica.run(until: stop, works: options.works) } }
            defer { stop.raise() }
            for replica in replicas {
                try await eventually("the replica to be ready") { await replica.gateway.readiness() == nil }
            }
            try await body(fixture)
        }
        withExtendedLifetime(folder) {}
    }

    /// Two replicas, of which `owner` performs a turn of the agent `slow` in the conversation `c`. Whoever loses its lock
    /// session is away for longer than its peer needs to conclude that it is gone.
    static func withPeers(
        _ body: @Sendable (_ fixture: GatewayFixture, _ owner: Replica, _ turn: SubmittedTurn) async throws -> Void
    ) async throws {
        try await self.with({
            $0.replicas = 2
            $0.limits.presenceGrace = .milliseconds(300)
            $0.reconnectDelay = .seconds(3)
        }) { fixture in
            let agent = try await fixture.agent("slow", "slow")
            let turn = try await fixture.submit(agent, "c")
            try await fixture.performing(turn)
            guard let owner = fixture.replicas.first(where: { $0.conversationSession(turn) != nil }) else {
                throw FixtureError.noOwner
            }
            try await body(fixture, owner, turn)
        }
    }

    /// The first replica.
    var replica: Replica { self.replicas[0] }
    var gateway: Gateway { self.replica.gateway }
    var store: Store { self.gateway.store }

    // MARK: - Agents and turns

    static let double = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Doubles/worker_double.py").path

    /// Configures `name` as the scripted double in a mode.
    @discardableResult
    func agent(
        _ name: String,
        _ mode: String...,
        store: StoreMode = .snapshot,
        _ change: (inout AgentConfiguration) -> Void = { _ in }
    ) async throws -> AgentID {
        var configuration = AgentConfiguration(
            driver: .acp,
            command: ["/usr/bin/python3", "-I", "-S", Self.double] + mode,
            storeMode: store
        )
        configuration.limits.graceSeconds = 1
        change(&configuration)
        let agent = try AgentID(name)
        for replica in self.replicas {
            _ = try await replica.gateway.tenant(self.org).putAgent(agent, configuration)
        }
        return agent
    }

    func submit(
        _ agent: AgentID,
        _ conversation: String?,
        _ text: String = "hello",
        to replica: Replica? = nil
    ) async throws -> SubmittedTurn {
        let request = TurnRequest(
            agent: agent,
            conversation: try conversation.map { try ConversationID($0) },
            input: TurnInput(text: text)
        )
        return try await (replica ?? self.replica).gateway.tenant(self.org).submit(request)
    }

    /// The turn once it has its outcome.
    func ended(_ turn: SubmittedTurn) async throws -> TurnRecord {
        try await self.gateway.tenant(self.org).turn(turn.id, waitingAtMost: .seconds(15))
    }

    /// Submits and waits for the outcome.
    func ask(_ agent: AgentID, _ conversation: String?, _ text: String = "hello") async throws -> TurnRecord {
        try await self.ended(self.submit(agent, conversation, text))
    }

    /// Waits until a worker has the turn and has said something.
    func performing(_ turn: SubmittedTurn) async throws {
        try await eventually("the worker to speak") {
            try await self.count(
                """
                SELECT count(*) FROM turnpike.events WHERE turn = \(turn.id.text)::uuid AND type = 'delta'
                """
            ) > 0
        }
    }

    // MARK: - Looking from outside

    /// A single number out of a query.
    func count(_ query: Query) async throws -> Int {
        try await self.pool.query(query).first?.get("count") ?? -1
    }

    /// How many sessions hold the conversation's lock.
    func locks(_ number: ConversationNumber) async throws -> Int {
        try await self.count(
            """
            SELECT count(*) FROM pg_locks l, turnpike.conversations c
            WHERE c.id = \(number.value)::bigint AND l.locktype = 'advisory' AND l.granted
                AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                AND (l.classid::bigint << 32 | l.objid::bigint) = turnpike.lock_key(c.org, c.agent, c.conversation)
            """
        )
    }

    /// The key of the conversation's lock.
    func lockKey(_ number: ConversationNumber) async throws -> Int64 {
        let rows = try await self.pool.query(
            """
            SELECT turnpike.lock_key(org, agent, conversation) AS key FROM turnpike.conversations
            WHERE id = \(number.value)::bigint
            """
        )
        guard let row = rows.first else { throw Missing(description: "no conversation \(number)") }
        return try row.get("key")
    }

    /// Whether the row says that nobody holds the conversation.
    func isFree(_ number: ConversationNumber) async throws -> Bool {
        try await self.count(
            """
            SELECT count(*) FROM turnpike.conversations
            WHERE id = \(number.value)::bigint AND owner_nonce IS NULL AND running IS NULL
            """
        ) == 1
    }

    func epoch(_ number: ConversationNumber) async throws -> Int {
        try await self.count("SELECT epoch AS count FROM turnpike.conversations WHERE id = \(number.value)::bigint")
    }

    func outcomes(_ turn: SubmittedTurn) async throws -> Int {
        try await self.count("SELECT count(*) FROM turnpike.outcomes WHERE turn = \(turn.id.text)::uuid")
    }

    /// Why the turn was put back into its queue, each time.
    func retries(_ turn: SubmittedTurn) async throws -> [String] {
        try await self.pool.query(
            """
            SELECT data ->> 'code' AS code FROM turnpike.events
            WHERE turn = \(turn.id.text)::uuid AND type = 'turn.retried' ORDER BY seq
            """
        ).map { try $0.get("code") }
    }

    func deployments() async throws -> Int {
        try await self.count("SELECT count(*) FROM turnpike.deployments")
    }

    /// Cuts a replica's lock session, as an administrator would.
    func cutLockSession(of replica: Replica) async throws {
        let before = replica.session.sessionNumber
        let cut = try await self.count(
            """
            SELECT count(pg_terminate_backend(l.pid)) FROM pg_locks l
            WHERE l.locktype = 'advisory' AND (l.classid::bigint << 32 | l.objid::bigint)
                = turnpike.presence_key(\(replica.id.text)::uuid)
            """
        )
        guard cut == 1 else { throw FixtureError.noLockSession }
        try await eventually("the loss to be noticed") { replica.session.sessionNumber != before }
    }

    enum FixtureError: Error {
        case noLockSession, noOwner
    }
}

/// One replica of the fixture.
struct Replica: Sendable {
    let id: ReplicaID
    let gateway: Gateway
    let session: DirectSession
    let metrics: Metrics
    private let pool: ConnectionPool
    private let workers: WorkerPool

    init(conninfo: String, workspaces: String, _ options: GatewayFixture.Options) throws {
        let reactor = try TestPlatform.reactor()
        self.id = freshID()
        self.metrics = Metrics()
        var pooled = ConnectionPool.Configuration(conninfo: conninfo, size: 4)
        // All suites run at once: what waits here waits for the processor.
        pooled.waitDeadline = .seconds(30)
        self.pool = ConnectionPool(
            configuration: pooled,
            reactor: reactor,
            blocking: TestPlatform.blocking,
            log: .silent,
            metrics: self.metrics
        )
        var direct = DirectSession.Configuration(conninfo: conninfo)
        direct.channels = options.usesHints ? [Hint.channel(self.id)] : []
        direct.backoff = Backoff(first: options.reconnectDelay, longest: options.reconnectDelay)
        self.session = DirectSession(
            configuration: direct,
            reactor: reactor,
            blocking: TestPlatform.blocking,
            log: .silent
        )
        let spawner = Spawner(
            launcher: try Spawner.findLauncher(),
            reactor: reactor,
            blocking: TestPlatform.blocking,
            log: .silent,
            metrics: nil
        )
        self.workers = WorkerPool(
            spawner: spawner,
            limits: options.limits,
            workspaces: workspaces,
            log: .silent,
            metrics: self.metrics
        )
        var configuration = GatewayConfiguration(replica: self.id, label: "test", version: "test")
        configuration.limits = options.limits
        configuration.usesHints = options.usesHints
        configuration.accounts = options.accounts
        self.gateway = Gateway(
            configuration,
            on: GatewayPlatform(
                pool: self.pool,
                session: self.session,
                workers: self.workers,
                reactor: reactor,
                lockCapacity: options.lockCapacity,
                log: .silent,
                metrics: self.metrics
            )
        )
    }

    func run(until stop: StopSignal, works: Bool) async throws {
        let services: [any Service] =
            [self.pool] + self.gateway.sharedServices + (works ? self.gateway.workingServices : [])
        let patience: Duration = .seconds(10)
        // Each service group raises the signal it was given when one of its services ends.
        let own = StopSignal()
        let forget = stop.whenRaised { own.raise() }
        try await ServiceGroup(services, patience: patience, log: .silent).run(until: own)
        forget()
        await self.workers.endAll()
    }

    /// The session that this replica has for a conversation.
    func conversationSession(_ turn: SubmittedTurn) -> ConversationSession? {
        self.gateway.registry.session(turn.number)
    }

    /// Where its workers stand, in no order.
    var workerStates: [WorkerLifecycle.State] { self.workers.workers.map(\.lifecycleState) }

    /// The processes of its workers, in no order.
    var workerPIDs: [Int32] { self.workers.workers.map(\.pid) }

    /// Workers started so far, in whatever way it went.
    var starts: Double {
        ["ready", "failed"].reduce(0) {
            $0 + self.metrics.value("turnpike_worker_starts_total", labels: ["result": $1])
        }
    }
}

/// A random identity.
func freshID<Kind>() -> UniqueID<Kind> {
    guard let id = UniqueID<Kind>(UUID().uuidString) else { preconditionFailure("Foundation made an odd UUID") }
    return id
}
