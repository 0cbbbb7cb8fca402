package import Domain
import Postgres
package import Runtime
import Store
import Workers

/// What the gateway is told at start.
package struct GatewayConfiguration: Sendable {
    /// This process; a fresh one every boot.
    package var replica: ReplicaID
    /// A name for people.
    package var label: String
    /// The program's version.
    package var version: String
    /// The bounds it works within.
    package var limits = Limits()
    /// Whether wakes are sent and listened to. Nothing depends on them; the tests run once without.
    package var usesHints = true
    /// Whom this replica can let workers act as.
    package var accounts: [AccountHosting] = []

    package init(replica: ReplicaID, label: String, version: String) {
        self.replica = replica
        self.label = label
        self.version = version
    }
}

/// The gateway of one replica: what its services share, and the door through which the API enters.
package struct Gateway: Sendable {
    /// The configuration in force.
    package let configuration: GatewayConfiguration
    let log: Logger
    let metrics: Metrics
    let store: Store
    let intake: TurnIntake
    let feed: EventFeed
    let approvals: ApprovalDesk
    /// Who may ask a model now.
    package let models: ModelDesk
    let agentDirectory: AgentDirectory
    let hints: HintSender
    let registry: ConversationRegistry
    let leases: LeaseKeeper
    let dispatcher: Dispatcher
    let spares: SpareKeeper
    let presence: ReplicaPresence
    let sweeper: Sweeper
    let pruner: SnapshotPruner
    let caretaker: Caretaker
    let accounts: AccountKeeper
    let schedules: ScheduleKeeper
    let tokens: TokenDesk
    let checker: AgentChecker
    let circuits: CircuitBoard

    /// What answering clients relies on, in dependency order.
    package var sharedServices: [any Service] {
        [self.hints, self.leases, self.presence, self.feed]
    }

    /// What does the replica's own work, in dependency order; stopped before everything else.
    package var workingServices: [any Service] {
        [
            self.sweeper, self.pruner, self.caretaker, self.accounts, self.dispatcher, self.spares, self.schedules,
        ]
    }

    /// What `org` can ask for. `actor` is who the audit log will name.
    package func tenant(_ org: OrganizationID, by actor: Actor = .gateway) -> Tenant {
        Tenant(
            org: org,
            store: self.store.tenant(org, by: actor),
            intake: self.intake,
            feed: self.feed,
            desk: self.approvals,
            agentDirectory: self.agentDirectory,
            hints: self.hints,
            spares: self.spares,
            registry: self.registry,
            checker: self.checker,
            circuits: self.circuits,
            limits: self.configuration.limits
        )
    }

    /// Says where this replica's workers reach their models, `http://host:port`; without it no agent that wants one starts.
    package func offerModels(at address: String) {
        self.dispatcher.workers.offerModels(at: address)
    }

    /// What a worker outside the gateway can do; nil for a token that enrols none.
    package func remoteDesk(for principal: Principal) -> RemoteDesk? {
        principal.account.map { account in
            RemoteDesk(
                worker: RemoteWorker(org: principal.org, token: principal.token, account: account),
                store: self.store,
                feed: self.feed,
                limits: self.configuration.limits,
                isDraining: { [intake] in intake.isDraining },
                log: self.log,
                metrics: self.metrics
            )
        }
    }

    /// Who sends this bearer token; nil when it is no valid token. Throws `GatewayError.unavailable`.
    package func authenticate(_ bearer: String) async throws -> Principal? {
        try await self.tokens.authenticate(bearer)
    }

    /// Runs `body`, which streams to whoever sent this bearer token; see `Tenant.follow`. When the token is over, the
    /// stream is asked at once, not at the next second, whether it may go on.
    package func streaming(_ bearer: String, _ body: () async throws -> Void) async rethrows {
        try await self.tokens.streaming(bearer, body)
    }

    /// Whether this replica should get traffic: not draining, PostgreSQL reachable, locks trusted. The text says why
    /// not.
    package func readiness() async -> String? {
        if self.intake.isDraining { return "draining" }
        guard self.leases.isTrusted else { return "the lock session is away" }
        do {
            try await self.store.ping()
            return nil
        } catch {
            return "PostgreSQL is away"
        }
    }

    /// All replicas. For operators.
    package func replicas() async throws -> [ReplicaRecord] {
        try await reaching { try await self.store.replicas() }
    }

    /// The workers of this replica, oldest first, and the circuits of agents that failed here. For operators.
    package func workers() -> (workers: [WorkerRecord], circuits: [CircuitRecord]) {
        let workers = self.dispatcher.workers
        return (workers.records(), workers.failingCircuits)
    }

    /// Asks a replica, wherever it is, to hand over what it holds and to claim nothing more, and returns its record;
    /// nil is this one. It is drained once the record says `draining` and counts no conversation and no worker. Asking
    /// again changes nothing. For operators; `actor` is who asks.
    package func drain(_ replica: ReplicaID?, by actor: Actor) async throws -> ReplicaRecord {
        let target = replica ?? self.configuration.replica
        guard try await reaching({ try await self.store.askToDrain(target, by: actor) }) else {
            throw GatewayError.notFound("replica")
        }
        self.log.warning("a replica is asked to drain", ["asked": .text(target.text), "actor": .text(actor.name)])
        if target == self.configuration.replica {
            self.beginDraining()
        } else {
            self.hints.send(.drain, to: target)
        }
        guard let record = try await self.replicas().first(where: { $0.id == target }) else {
            throw GatewayError.notFound("replica")
        }
        return record
    }

    /// The newest dead letters. For operators.
    package func deadLetters(limit: Int) async throws -> [DeadLetterRecord] {
        try await reaching { try await self.store.deadLetters(limit: limit) }
    }

    /// Sends a dead letter's input again, as a new turn at the end of its conversation, and returns the letter, which names
    /// that turn. Asked for again it names the same. Throws `notFound`, `deleted`, `queueFull`, `quotaReached`. For
    /// operators; `actor` is who asks.
    package func redrive(
        _ letter: TurnID,
        by actor: Actor
    ) async throws -> (letter: DeadLetterRecord, isRepeat: Bool) {
        let limit = self.configuration.limits.queuedTurnsPerConversation
        let fresh: TurnID = try NewID.make()
        let redrive = try await reaching {
            try await self.store.redrive(letter, as: fresh, queueLimit: limit, by: actor)
        }
        var isRepeat = false
        switch redrive {
        case .accepted(let turn, let number, let owner):
            self.log.warning("dead letter sent again", ["turn": .text(letter.text), "as": .text(turn.text)])
            self.intake.announce(number, owner: owner)
        case .repeated: isRepeat = true
        case .unknown: throw GatewayError.notFound("dead letter")
        case .deleted: throw GatewayError.deleted
        case .full: throw GatewayError.queueFull(limit: limit)
        case .quota(let cap, let limit): throw GatewayError.quotaReached(cap, limit: limit)
        }
        guard let record = try await reaching({ try await self.store.deadLetters(of: letter, limit: 1) }).first else {
            throw GatewayError.notFound("dead letter")
        }
        return (record, isRepeat)
    }

    /// The names of organizations in their order, after `after`, at most `limit`. For operators.
    package func organizations(after: String?, limit: Int) async throws -> [String] {
        try await reaching { try await self.store.organizations(after: after, limit: limit) }
    }

    /// Creates an organization, and its default agent, as far as they are missing. For operators.
    package func ensureOrganization(_ org: OrganizationID, by actor: Actor = .gateway) async throws {
        try await reaching { try await self.store.ensureOrganization(org, by: actor) }
    }

    /// Whether there is such an organization.
    package func hasOrganization(_ org: OrganizationID) async throws -> Bool {
        try await reaching { try await self.store.hasOrganization(org) }
    }

    /// The newest entries of the audit log before the number `before`, newest first, at most `limit`: all of them, or
    /// those of one organization. For operators.
    package func audit(of org: OrganizationID?, before: Int64, limit: Int) async throws -> [AuditRecord] {
        try await reaching { try await self.store.audit(of: org, before: before, limit: limit) }
    }

    /// Round trips to PostgreSQL made by the store's pool so far; tests assert what a warm turn costs.
    package var roundTrips: Int { self.store.roundTrips }

    /// Conversations that this replica holds, those being acquired included.
    package var liveSessions: Int { self.registry.count }
}

/// Who is calling, and what they may do.
package struct Principal: Sendable, Hashable {
    /// The organization it belongs to.
    package let org: OrganizationID
    /// The token's public identity; of somebody whom an identity provider vouches for, the same for all of their
    /// tokens.
    package let token: TokenID
    /// What it allows.
    package let scopes: Set<Scope>
    /// Whom an identity provider vouches for; nil for a token of the gateway's own.
    package let identity: Identity?
    /// The account as which it may work, and nothing else; nil for all other tokens.
    package let account: AccountID?
    /// When it ends by its own word, in seconds since 1970; nil when it does not.
    package let expiresAt: Int64?

    /// Whether one of the principal's scopes covers `scope`; `admin` covers everything within the organization.
    package func may(_ scope: Scope) -> Bool {
        self.scopes.contains(scope) || (scope != .operator && self.scopes.contains(.admin))
    }
}
