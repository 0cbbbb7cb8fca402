package import Domain
import Postgres
import Runtime
import Store

/// What one organization can ask of the gateway. Every call is scoped to it.
package struct Tenant: Sendable {
    /// The organization it belongs to.
    package let org: OrganizationID
    let store: TenantStore
    let intake: TurnIntake
    let feed: EventFeed
    let desk: ApprovalDesk
    let agentDirectory: AgentDirectory
    let hints: HintSender
    let spares: SpareKeeper
    let registry: ConversationRegistry
    let checker: AgentChecker
    let circuits: CircuitBoard
    let limits: Limits

    /// Whether this replica is leaving.
    package var isDraining: Bool { self.intake.isDraining }
}

/// A turn as a client submits it.
package struct TurnRequest: Sendable {
    /// The agent that serves it.
    package var agent: AgentID
    /// Nil for a direct turn.
    package var conversation: ConversationID?
    /// What the user sent.
    package var input: TurnInput
    /// The client's own key for the turn.
    package var clientKey: String?
    /// SHA-256 over what makes two requests the same.
    package var bodyHash: [UInt8]?
    /// Seconds the turn may take; nil for the agent's limit.
    package var deadlineSeconds: Int?
    /// What the client attached, kept as it is.
    package var metadata: JSONValue?
    /// What to do when others are ahead; nil for what the agent is configured to do.
    package var onBusy: BusyPolicy?
    /// The token that it is submitted with.
    package var submitter: TokenID?
    /// What a dialect has to know of the turn again.
    package var note: DialectNote?

    package init(agent: AgentID, conversation: ConversationID?, input: TurnInput) {
        self.agent = agent
        self.conversation = conversation
        self.input = input
    }
}

/// An accepted turn.
package struct SubmittedTurn: Sendable, Hashable {
    /// Its identity.
    package let id: TurnID
    /// The row by which the database knows the conversation.
    package let number: ConversationNumber
    /// Its number, counted from 1 within the conversation.
    package let seq: Int64
    /// Where it stands.
    package let state: TurnState
    /// Turns before it without an outcome.
    package let ahead: Int
    /// How long it may have to wait; nil when that cannot be told.
    package let wait: Duration?
    /// The same client key had made it before.
    package let isRepeat: Bool
    /// The number of the conversation's event before the turn's first; 0 when it is not known.
    package let logStart: Int64
}

extension Tenant {
    // MARK: - Turns

    /// Accepts a turn durably. Throws `GatewayError`.
    package func submit(_ request: TurnRequest) async throws -> SubmittedTurn {
        try await self.intake.submit(request, org: self.org)
    }

    /// A turn and, once it has one, its outcome. Throws `notFound`.
    package func turn(_ id: TurnID) async throws -> TurnRecord {
        guard let turn = try await reaching({ try await self.store.turn(id) }) else {
            throw GatewayError.notFound("turn")
        }
        return turn
    }

    /// The newest turns of a conversation before the number `before`, newest first, at most `limit`, and whether there
    /// are older ones. A page ends early where its text would come to megabytes. Throws `notFound` or `deleted`.
    package func turns(
        _ agent: AgentID,
        _ id: ConversationID,
        before: Int64,
        limit: Int
    ) async throws -> (page: [TurnRecord], hasMore: Bool) {
        let number = try await self.log(agent, id).number
        let found = try await reaching {
            try await self.store.turns(number, before: before, limit: limit, bytes: 4 << 20)
        }
        return (found, found.last.map { $0.seq > 1 } ?? false)
    }

    /// A turn, held back until it has its outcome or `patience` has passed.
    package func turn(_ id: TurnID, waitingAtMost patience: Duration) async throws -> TurnRecord {
        let turn = try await self.turn(id)
        guard !turn.state.isTerminal, patience > .zero else { return turn }
        let ended = try await self.feed.awaiting(turn.number, atMost: patience) {
            let turn = try await self.turn(id)
            return turn.state.isTerminal ? turn : nil
        }
        if let ended { return ended }
        return try await self.turn(id)
    }

    /// Cancels a turn: a queued one at once, a running one by telling its worker. Idempotent until the turn has its
    /// outcome; then throws `alreadyEnded`, or `notFound`. Returns the turn as it stands.
    package func cancel(_ id: TurnID) async throws -> TurnRecord {
        switch try await reaching({ try await self.store.cancel(id) }) {
        case .unknown:
            throw GatewayError.notFound("turn")
        case .alreadyEnded:
            throw GatewayError.alreadyEnded
        case .cancelled(let number):
            self.feed.changed(number)
        case .requested(let number, let owner):
            if let session = self.registry.session(number) {
                session.cancelRunningTurn(id)
            } else if let owner {
                self.hints.send(.cancel(number, id), to: owner)
            }
        }
        return try await self.turn(id)
    }

    // MARK: - Conversations

    /// Conversations of an agent in the order of their names, after `after`, at most `limit`.
    package func conversations(agent: AgentID, after: String?, limit: Int) async throws -> [ConversationRecord] {
        try await reaching { try await self.store.conversations(agent: agent, after: after, limit: limit) }
    }

    /// One conversation. Throws `notFound` or `deleted`.
    package func conversation(_ agent: AgentID, _ id: ConversationID) async throws -> ConversationRecord {
        if let found = try await reaching({ try await self.store.conversation(agent, id) }) { return found }
        _ = try await self.log(agent, id)
        throw GatewayError.notFound("conversation")
    }

    /// Cancels what is open, stops the worker, erases the data and leaves a tombstone. Throws `notFound` or `deleted`.
    package func deleteConversation(_ agent: AgentID, _ id: ConversationID) async throws {
        guard let (number, owner) = try await reaching({ try await self.store.delete(agent, id) }) else {
            _ = try await self.log(agent, id)
            throw GatewayError.notFound("conversation")
        }
        if let session = self.registry.session(number) {
            session.fenceOff()
        } else if let owner {
            self.hints.send(.look(number), to: owner)
        }
        self.feed.changed(number)
    }

    /// Where a conversation's events are. Throws `notFound` or `deleted`.
    package func log(_ agent: AgentID, _ id: ConversationID) async throws -> EventLog {
        guard let log = try await reaching({ try await self.store.log(agent, id) }) else {
            throw GatewayError.notFound("conversation")
        }
        guard !log.isDeleted else { throw GatewayError.deleted }
        return EventLog(number: log.number, lastEvent: log.lastEvent)
    }

    /// A page of events after `after`, oldest first, at most `limit` and, unless one alone is larger, about 4 MiB; of one
    /// turn only, when one is named. Whether there are more comes with it.
    package func events(
        _ number: ConversationNumber,
        after: Int64,
        turn: TurnID?,
        limit: Int
    ) async throws -> (page: [EventRecord], hasMore: Bool) {
        let bytes = 4 << 20
        // One more than asked for tells whether there is a next page.
        let found = try await reaching {
            try await self.store.events(number, after: after, turn: turn, limit: limit + 1, bytes: bytes)
        }
        let isCut = found.reduce(0) { $0 + $1.data.utf8.count } >= bytes
        return (Array(found.prefix(limit)), found.count > limit || isCut)
    }

    /// Follows a log from `after` on: `body` gets each batch in order, without a gap, and an empty batch whenever a
    /// second passed with nothing new, and deletion is found after `keepalive`. It returns false to stop. Returns when
    /// `body` does so, or the task is cancelled, or the conversation is deleted; a named turn that was cancelled by
    /// that gets its terminal event first.
    package func follow(
        _ number: ConversationNumber,
        after: Int64,
        turn: TurnID?,
        keepalive: Duration,
        _ body: (consuming [EventRecord]) async throws -> Bool
    ) async throws {
        try await self.feed.follow(number, after: after, turn: turn, tenant: self.store, keepalive: keepalive, body)
    }

    // MARK: - Agents

    /// All agents in the order of their names.
    package func agents() async throws -> [AgentRecord] {
        try await reaching { try await self.store.agents() }
    }

    /// One agent. Throws `notFound`.
    package func agent(_ id: AgentID) async throws -> AgentRecord {
        guard let agent = try await reaching({ try await self.store.agent(id) }) else {
            throw GatewayError.notFound("agent")
        }
        return agent
    }

    /// What replicas have to say of an agent whose workers failed there, a moment old; nothing of one that works.
    package func circuits(of id: AgentID) async throws -> [AgentCircuit] {
        try await self.circuits.circuits(of: id, org: self.org)
    }

    /// Creates or replaces an agent; idempotent. Throws `invalid` with the first problem of the configuration.
    package func putAgent(_ id: AgentID, _ configuration: AgentConfiguration) async throws -> AgentRecord {
        if let problem = configuration.problems.first ?? self.checker.floor.problem(of: configuration) {
            throw GatewayError.invalid(member: problem.member, problem: problem.problem)
        }
        defer { self.changed(id) }
        return try await reaching { try await self.store.put(id, configuration) }
    }

    /// Deletes an agent. Throws `notFound`.
    package func deleteAgent(_ id: AgentID) async throws {
        defer { self.changed(id) }
        guard try await reaching({ try await self.store.deleteAgent(id) }) else { throw GatewayError.notFound("agent") }
    }

    /// Acts on a change at once here; other replicas find it by their polls.
    private func changed(_ agent: AgentID) {
        self.agentDirectory.forget(org: self.org, agent: agent)
        self.spares.look()
    }

    // MARK: - Tokens

    /// Creates a token and returns its secret, which is shown only here. `lifetime` nil means that it never expires,
    /// but for `notAfter`, in seconds since 1970.
    package func createToken(
        name: String,
        scopes: Set<Scope>,
        lifetime: Duration?,
        notAfter: Int64? = nil
    ) async throws -> (record: TokenRecord, secret: String) {
        let secret = TokenSecret.make()
        let id = try NewID.make(TokenID.self)
        let record = try await reaching {
            try await self.store.createToken(
                id,
                name: name,
                hash: secret.hash,
                scopes: scopes,
                lifetime: lifetime,
                notAfter: notAfter
            )
        }
        return (record, secret.text)
    }

    /// Opens a browser's session for whoever shows `principal`'s token: a token of its own, which reaches turns and agents
    /// as far as that one does, works no longer than it, and is all that the browser keeps.
    package func openWebSession(_ principal: Principal) async throws -> (record: TokenRecord, secret: String) {
        let secret = TokenSecret.make()
        let id = try NewID.make(TokenID.self)
        let record = try await reaching {
            try await self.store.createToken(
                id,
                name: "web session",
                hash: secret.hash,
                scopes: Set([Scope.turns, .agents].filter(principal.may)),
                lifetime: self.limits.webSession,
                parent: principal.token
            )
        }
        return (record, secret.text)
    }

    /// All tokens without their secrets, newest first.
    package func tokens() async throws -> [TokenRecord] {
        try await reaching { try await self.store.tokens() }
    }

    /// Revokes a token on every replica within a second. Throws `notFound`.
    package func revokeToken(_ id: TokenID) async throws {
        guard try await reaching({ try await self.store.revokeToken(id) }) else { throw GatewayError.notFound("token") }
    }
}

/// A conversation's log: where it is and how far it goes.
package struct EventLog: Sendable, Hashable {
    /// The row by which the database knows the conversation.
    package let number: ConversationNumber
    /// The number of the newest event.
    package let lastEvent: Int64
}

/// Runs a database call and says `unavailable` when PostgreSQL is away.
func reaching<Value>(_ body: () async throws -> Value) async throws -> Value {
    do {
        return try await body()
    } catch let error as PostgresError where error.isWorthRepeating {
        throw GatewayError.unavailable(error.message)
    }
}
