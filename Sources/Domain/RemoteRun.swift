// Workers outside the gateway, as values.

/// Who asks for work: whatever showed an enrolment token.
package struct RemoteWorker: Sendable, Hashable {
    /// The organization it works for.
    package let org: OrganizationID
    /// The token that enrolled it.
    package let token: TokenID
    /// The account that it acts as.
    package let account: AccountID

    package init(org: OrganizationID, token: TokenID, account: AccountID) {
        self.org = org
        self.token = token
        self.account = account
    }
}

/// What a remote worker shows with each of its writes. All of it is compared, for equality.
package struct RemoteTicket: Sendable, Hashable {
    /// The turn that it was given.
    package let turn: TurnID
    /// Which run of the turn it is.
    package let attempt: Int
    /// The number of the term.
    package let epoch: Int64
    /// The part of the fence that cannot repeat.
    package let lease: Nonce

    package init(turn: TurnID, attempt: Int, epoch: Int64, lease: Nonce) {
        self.turn = turn
        self.attempt = attempt
        self.epoch = epoch
        self.lease = lease
    }
}

/// A term that a remote worker holds, or held.
package struct RemoteRun: Sendable, Hashable {
    /// Its identity: it stands where a replica's would.
    package let id: ReplicaID
    /// What every write for it carries.
    package let fence: Fence
    /// The placement of the worker.
    package let deployment: DeploymentID
    /// The turn; nil when the queue had emptied before the term began.
    package let turn: TurnID?
    /// Which run of the turn it is.
    package let attempt: Int
    /// The turn's number in its conversation; 0 without one.
    package let seq: Int64
    /// The newest link of the snapshot chain.
    package let head: Int64
    /// How long the worker may be silent.
    package let leaseSeconds: Int
    /// The last batch of events that was written.
    package let batch: Int64
    /// Whether the conversation is still held by it, with its turn running.
    package let isLive: Bool
    /// Somebody wants the turn to end.
    package let isCancelling: Bool
    /// What the enqueuer named; nil for a turn that was enqueued without one.
    package let org: OrganizationID?
    /// The agent that serves it.
    package let agent: AgentID
    /// The conversation's name; nil for a direct turn.
    package let conversation: ConversationID?
    /// The agent as it is configured now; nil when there is none that this version can read.
    package let configuration: AgentConfiguration?
    /// It is a newer turn that wants it to end.
    package let isInterrupted: Bool

    package init(
        id: ReplicaID,
        fence: Fence,
        deployment: DeploymentID,
        turn: TurnID?,
        attempt: Int,
        seq: Int64,
        head: Int64,
        leaseSeconds: Int,
        batch: Int64,
        isLive: Bool,
        isCancelling: Bool,
        org: OrganizationID?,
        agent: AgentID,
        conversation: ConversationID?,
        configuration: AgentConfiguration?,
        isInterrupted: Bool
    ) {
        self.id = id
        self.fence = fence
        self.deployment = deployment
        self.turn = turn
        self.attempt = attempt
        self.seq = seq
        self.head = head
        self.leaseSeconds = leaseSeconds
        self.batch = batch
        self.isLive = isLive
        self.isCancelling = isCancelling
        self.org = org
        self.agent = agent
        self.conversation = conversation
        self.configuration = configuration
        self.isInterrupted = isInterrupted
    }

    /// What the worker has to show.
    package var ticket: RemoteTicket? {
        self.turn.map {
            RemoteTicket(turn: $0, attempt: self.attempt, epoch: self.fence.epoch, lease: self.fence.nonce)
        }
    }

    /// The identity of the worker's question of this number, the same however often it asks: the time of the run, for the
    /// order of lists, and digits of `digest`.
    package func question(digest: String) -> ApprovalID? {
        let digits = Array(digest)
        guard digits.count >= 18 else { return nil }
        let parts = [digits[0..<3], digits[3..<6], digits[6..<18]].map { String($0) }
        return ApprovalID("\(self.id.text.prefix(14))7\(parts[0])-8\(parts[1])-\(parts[2])")
    }
}

/// What a remote worker is told of its turn.
package struct RemoteAssignment: Sendable {
    /// Its term.
    package let run: RemoteRun
    /// The turn with its input.
    package let turn: ArmedTurn
    /// The state that the last completed turn left, when it left one as text.
    package let state: String?
    /// What was said before, where there is no such state; nil when nothing was.
    package let transcript: Transcript?

    package init(run: RemoteRun, turn: ArmedTurn, state: String?, transcript: Transcript?) {
        self.run = run
        self.turn = turn
        self.state = state
        self.transcript = transcript
    }
}
