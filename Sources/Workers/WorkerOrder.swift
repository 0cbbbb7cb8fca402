package import Domain

/// What a worker is to be: whose it is, how it is configured and from which state it starts.
package struct WorkerOrder: Sendable {
    /// Nil for a direct turn that names none.
    package let org: OrganizationID?
    /// The agent that serves it.
    package let agent: AgentID
    /// Nil for a direct turn.
    package let conversation: ConversationID?
    /// The row by which the database knows the conversation.
    package let number: ConversationNumber
    /// The configuration in force.
    package let configuration: AgentConfiguration
    /// The placement of the worker.
    package let deployment: DeploymentID
    /// The term under which the conversation is held; told to the worker, never trusted from it.
    package let epoch: Int64
    /// Empty when there is no state to start from.
    package let chain: SnapshotChain
    /// What was said before; nil when nothing was, or when the worker has no conversation to remember.
    package let transcript: Transcript?
    /// The workspace that is the conversation's by name; nil where its number names it.
    package let workspace: WorkspaceID?
    /// What makes the worker act as its account, on top of the agent's own environment; empty where it needs none.
    package let accountEnvironment: [String: String]
    /// The name by which the gateway introduces itself.
    package let instance: String
    /// Whether it is started to see whether it starts: that says nothing about the agent as it is stored.
    package let isCheck: Bool

    package init(
        org: OrganizationID?,
        agent: AgentID,
        conversation: ConversationID?,
        number: ConversationNumber,
        configuration: AgentConfiguration,
        deployment: DeploymentID,
        epoch: Int64,
        chain: SnapshotChain,
        transcript: Transcript? = nil,
        workspace: WorkspaceID? = nil,
        accountEnvironment: [String: String] = [:],
        instance: String = "turnpike",
        isCheck: Bool = false
    ) {
        self.isCheck = isCheck
        self.accountEnvironment = accountEnvironment
        self.org = org
        self.agent = agent
        self.conversation = conversation
        self.number = number
        self.configuration = configuration
        self.deployment = deployment
        self.epoch = epoch
        self.chain = chain
        self.transcript = transcript
        self.workspace = workspace
        self.instance = instance
    }
}

/// What a spare worker is to be: an agent's, and nobody's yet.
package struct SpareOrder: Sendable {
    /// Whose agent it is.
    package let org: OrganizationID
    /// The agent.
    package let agent: AgentID
    /// Which change of the configuration this is.
    package let version: Int64
    /// The configuration in force.
    package let configuration: AgentConfiguration
    /// The workspace it lives in, and the conversation that gets it.
    package let workspace: WorkspaceID
    /// The name by which the gateway introduces itself.
    package let instance: String

    package init(
        org: OrganizationID,
        agent: AgentID,
        version: Int64,
        configuration: AgentConfiguration,
        workspace: WorkspaceID,
        instance: String = "turnpike"
    ) {
        self.org = org
        self.agent = agent
        self.version = version
        self.configuration = configuration
        self.workspace = workspace
        self.instance = instance
    }
}

/// Why there is no worker.
package struct WorkerError: Error, Sendable, CustomStringConvertible {
    /// `worker_start_failed` in all cases that are the program's.
    package let code: FailureCode
    /// A sentence for the agent's owner: what was tried, what happened, the program's last words.
    package let message: String
    /// What the system said, when it did.
    package let cause: (any Error)?

    package init(code: FailureCode, message: String, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
    }

    package var description: String { self.message }
}

/// How the attempt to start a worker ended. The lease that the permit held is not lost either way: a worker keeps it
/// until its end, a failure gives it back.
package enum StartResult: ~Copyable, Sendable {
    case started(Worker)
    case failed(WorkerError, lease: Lease?)
}

/// What became of giving a spare worker to a conversation.
enum BindResult: ~Copyable, Sendable {
    case bound
    case refused(WorkerError, SpawnPermit)
}

/// The end of a worker.
package struct WorkerExit: Sendable, Hashable {
    /// How it stands.
    package let status: WorkerStatus
    /// The worker had been told to go, or had been killed for what it did; nobody's turn is lost by this exit.
    package let wasIntended: Bool
    /// The last lines of its error output: at most 2 KiB, no control characters but newline and tab.
    package let lastWords: String

    package init(status: WorkerStatus, wasIntended: Bool, lastWords: String) {
        self.status = status
        self.wasIntended = wasIntended
        self.lastWords = lastWords
    }
}

/// How a turn ended.
package struct TurnResult: Sendable {
    /// What became of the turn.
    package let outcome: Outcome
    /// Present only with a completed outcome of a worker that may write snapshots.
    package let snapshot: SnapshotUpdate?
    /// Whether the worker takes another turn. A worker whose state may no longer be what the last snapshot says is
    /// not usable, even if it is alive.
    package let workerIsUsable: Bool
    /// Present when the turn waits for people; `outcome` is then what becomes of it if it cannot be parked.
    package let parking: Parking?

    package init(outcome: Outcome, snapshot: SnapshotUpdate?, workerIsUsable: Bool, parking: Parking? = nil) {
        self.parking = parking
        self.outcome = outcome
        self.snapshot = snapshot
        self.workerIsUsable = workerIsUsable
    }
}
