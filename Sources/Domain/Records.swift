// What the database knows, as values: the shapes in which records are read and shown.

/// A turn as its client sees it.
package struct TurnRecord: Sendable, Hashable {
    /// Its identity.
    package var id: TurnID
    /// The agent that serves it.
    package var agent: String
    /// Nil for a direct turn.
    package var conversation: String?
    /// The row by which the database knows the conversation.
    package var number: ConversationNumber
    /// Its number, counted from 1 within the conversation.
    package var seq: Int64
    /// What the user sent, as JSON text; an empty array once the conversation is deleted.
    package var input: String
    /// Where it stands.
    package var state: TurnState
    /// Turns before this one that have no outcome yet.
    package var ahead: Int
    /// How long it may have to wait yet; zero once it has begun, nil when that cannot be told.
    package var wait: Duration?
    /// How many runs it has had; 0 before the first.
    package var attempt: Int
    /// Why a queued turn is being held back, in words; nil when it is not.
    package var deferredFor: String?
    /// RFC 3339 in UTC.
    package var queuedAt: String
    /// When it began, RFC 3339 in UTC.
    package var startedAt: String?
    /// When it ended, RFC 3339 in UTC; nil before that.
    package var endedAt: String?
    /// What became of the turn.
    package var outcome: OutcomeRecord?

    package init(
        id: TurnID,
        agent: String,
        conversation: String?,
        number: ConversationNumber,
        seq: Int64,
        input: String,
        state: TurnState,
        ahead: Int,
        attempt: Int,
        deferredFor: String?,
        queuedAt: String,
        startedAt: String?,
        endedAt: String?,
        outcome: OutcomeRecord?,
        wait: Duration? = nil
    ) {
        self.wait = wait
        self.id = id
        self.agent = agent
        self.conversation = conversation
        self.number = number
        self.seq = seq
        self.input = input
        self.state = state
        self.ahead = ahead
        self.attempt = attempt
        self.deferredFor = deferredFor
        self.queuedAt = queuedAt
        self.startedAt = startedAt
        self.endedAt = endedAt
        self.outcome = outcome
    }
}

/// A stored outcome.
package struct OutcomeRecord: Sendable, Hashable {
    /// completed, failed or cancelled.
    package var state: TurnState
    /// A failure code of the catalogue; nil unless failed.
    package var code: String?
    /// What happened, as a sentence for people.
    package var message: String?
    /// The reply, or the part of it that had been streamed.
    package var reply: String
    /// Why the worker stopped, in its own words.
    package var stopReason: String?
    /// Token counts as JSON text.
    package var usage: String?

    package init(
        state: TurnState,
        code: String?,
        message: String?,
        reply: String,
        stopReason: String?,
        usage: String?
    ) {
        self.state = state
        self.code = code
        self.message = message
        self.reply = reply
        self.stopReason = stopReason
        self.usage = usage
    }
}

/// A conversation as its organization sees it.
package struct ConversationRecord: Sendable, Hashable {
    /// The row by which the database knows the conversation.
    package var number: ConversationNumber
    /// The agent that serves it.
    package var agent: String
    /// The conversation's name; nil where it has none.
    package var conversation: String
    /// The turn whose snapshot is the newest of the chain; 0 before the first.
    package var head: Int64
    /// The number of the newest turn.
    package var lastTurn: Int64
    /// The number of the newest event.
    package var lastEvent: Int64
    /// How many turns wait.
    package var queued: Int
    /// The turn that a worker has been given.
    package var running: TurnID?
    /// The replica that holds the conversation.
    package var ownerReplica: ReplicaID?
    /// The number of the term; it only grows.
    package var epoch: Int64
    /// The process id of the live worker on its replica, when there is one.
    package var workerPID: Int?
    /// When it was made, RFC 3339 in UTC.
    package var createdAt: String
    /// When something last happened to it, RFC 3339 in UTC.
    package var activeAt: String
    /// What it was forked from; nil when it was not.
    package var origin: ConversationOrigin?
    /// The account that owns it; nil while none does.
    package var account: AccountID?
    /// The model backend that served it last; nil when none is known.
    package var backend: String?

    package init(
        number: ConversationNumber,
        agent: String,
        conversation: String,
        head: Int64,
        lastTurn: Int64,
        lastEvent: Int64,
        queued: Int,
        running: TurnID?,
        ownerReplica: ReplicaID?,
        epoch: Int64,
        workerPID: Int?,
        createdAt: String,
        activeAt: String,
        origin: ConversationOrigin? = nil,
        account: AccountID? = nil,
        backend: String? = nil
    ) {
        self.origin = origin
        self.account = account
        self.backend = backend
        self.number = number
        self.agent = agent
        self.conversation = conversation
        self.head = head
        self.lastTurn = lastTurn
        self.lastEvent = lastEvent
        self.queued = queued
        self.running = running
        self.ownerReplica = ownerReplica
        self.epoch = epoch
        self.workerPID = workerPID
        self.createdAt = createdAt
        self.activeAt = activeAt
    }
}

/// One numbered entry of a conversation's log.
package struct EventRecord: Sendable, Hashable {
    /// Its number, counted from 1 within the conversation.
    package var seq: Int64
    /// The turn it belongs to.
    package var turn: TurnID
    /// Its name on every stream.
    package var type: String
    /// The members that belong to the type, as a JSON object's text.
    package var data: String
    /// When it was written, RFC 3339 in UTC.
    package var at: String

    package init(seq: Int64, turn: TurnID, type: String, data: String, at: String) {
        self.seq = seq
        self.turn = turn
        self.type = type
        self.data = data
        self.at = at
    }

    /// Whether it ends its turn.
    package var isTerminal: Bool {
        self.type == "turn.completed" || self.type == "turn.failed" || self.type == "turn.cancelled"
    }
}

/// A stored agent.
package struct AgentRecord: Sendable, Hashable {
    /// The agent that serves it.
    package var agent: AgentID
    /// The configuration in force.
    package var configuration: AgentConfiguration
    /// Whether it is, unchanged, what the organization was given: a copy of the installation's default agent.
    package var isProvided: Bool
    /// Counts changes.
    package var version: Int64
    /// When it was made, RFC 3339 in UTC.
    package var createdAt: String
    /// When it was last changed, RFC 3339 in UTC.
    package var updatedAt: String

    package init(
        agent: AgentID,
        configuration: AgentConfiguration,
        isProvided: Bool,
        version: Int64,
        createdAt: String,
        updatedAt: String
    ) {
        self.agent = agent
        self.configuration = configuration
        self.isProvided = isProvided
        self.version = version
        self.createdAt = createdAt
        self.updatedAt = updatedAt
    }
}

/// What a token allows.
package enum Scope: String, Sendable, Hashable, CaseIterable {
    /// Submit, read and cancel turns.
    case turns
    /// Read and change agents.
    case agents
    /// Everything within the organization, tokens included.
    case admin
    /// The installation: organizations, replicas, dead letters.
    case `operator`
}

/// An API token without its secret.
package struct TokenRecord: Sendable, Hashable {
    /// Its identity.
    package var id: TokenID
    /// The organization it belongs to.
    package var org: OrganizationID
    /// A name for people.
    package var name: String
    /// What it allows.
    package var scopes: Set<Scope>
    /// When it was made, RFC 3339 in UTC.
    package var createdAt: String
    /// When it stops working, RFC 3339 in UTC; nil for never.
    package var expiresAt: String?
    /// When it was revoked, RFC 3339 in UTC; nil while it was not.
    package var revokedAt: String?
    /// The token that signed in, where this one is a browser's session: it works no longer than that one does.
    package var parent: TokenID?
    /// The account whose workers it enrols; it opens nothing else then.
    package var account: AccountID?

    package init(
        id: TokenID,
        org: OrganizationID,
        name: String,
        scopes: Set<Scope>,
        createdAt: String,
        expiresAt: String?,
        revokedAt: String?,
        parent: TokenID? = nil,
        account: AccountID? = nil
    ) {
        self.account = account
        self.id = id
        self.org = org
        self.name = name
        self.scopes = scopes
        self.createdAt = createdAt
        self.expiresAt = expiresAt
        self.revokedAt = revokedAt
        self.parent = parent
    }
}

/// A replica as its peers see it.
package struct ReplicaRecord: Sendable, Hashable {
    /// Its identity.
    package var id: ReplicaID
    /// A name for people.
    package var label: String
    /// The program's version.
    package var version: String
    /// When it began, RFC 3339 in UTC.
    package var startedAt: String
    /// When it last said that it lives, RFC 3339 in UTC.
    package var seenAt: String
    /// Whether it is leaving.
    package var draining: Bool
    /// How many workers it has.
    package var workers: Int
    /// Conversations it owns.
    package var conversations: Int

    package init(
        id: ReplicaID,
        label: String,
        version: String,
        startedAt: String,
        seenAt: String,
        draining: Bool,
        workers: Int,
        conversations: Int
    ) {
        self.id = id
        self.label = label
        self.version = version
        self.startedAt = startedAt
        self.seenAt = seenAt
        self.draining = draining
        self.workers = workers
        self.conversations = conversations
    }
}

/// A turn that ended without reaching a worker, or after its last allowed run.
package struct DeadLetterRecord: Sendable, Hashable {
    /// The turn it belongs to.
    package var turn: TurnID
    /// The organization it belongs to.
    package var org: String?
    /// The agent that serves it.
    package var agent: String
    /// The conversation's name; nil where it has none.
    package var conversation: String?
    /// The failure code.
    package var code: String
    /// What happened, as a sentence for people.
    package var message: String
    /// How many runs the turn had had.
    package var attempts: Int
    /// When it ended, RFC 3339 in UTC.
    package var diedAt: String
    /// When it was sent again, RFC 3339 in UTC; nil when it was not.
    package var redrivenAt: String?
    /// The turn that it was sent again as.
    package var redrivenAs: TurnID?

    package init(
        turn: TurnID,
        org: String?,
        agent: String,
        conversation: String?,
        code: String,
        message: String,
        attempts: Int,
        diedAt: String,
        redrivenAt: String? = nil,
        redrivenAs: TurnID? = nil
    ) {
        self.turn = turn
        self.org = org
        self.agent = agent
        self.conversation = conversation
        self.code = code
        self.message = message
        self.attempts = attempts
        self.diedAt = diedAt
        self.redrivenAt = redrivenAt
        self.redrivenAs = redrivenAs
    }
}
