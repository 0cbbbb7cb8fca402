/// A conversation that this replica has claimed, with what its next turn needs to be judged.
package struct Claim: Sendable, Hashable {
    /// The row by which the database knows the conversation.
    package let number: ConversationNumber
    /// What the enqueuer named; a turn enqueued in SQL may lack either.
    package let org: OrganizationID?
    /// The agent that serves it.
    package let agent: AgentID
    /// The conversation's name; nil where it has none.
    package let conversation: ConversationID?
    /// The advisory-lock key; nil when the key triple is incomplete.
    package let lock: LockKey?
    /// The oldest queued turn; nil when the queue emptied meanwhile.
    package let next: QueuedTurn?
    /// The agent as it is configured now; nil when there is none of that name, or none that this version can read.
    package let agentConfiguration: AgentConfiguration?
    /// Which change of the agent's configuration this is.
    package let agentVersion: Int64
    /// It has never been held, so nothing of it lies anywhere yet.
    package let isNew: Bool
    /// The account that owns it; nil while none does.
    package let owner: AccountID?
    /// Accounts that had no capacity for its next turn lately.
    package let excluded: Set<AccountID>

    /// Whose agents and accounts serve it: those of `default` where the enqueuer named no organization.
    package var servingOrganization: OrganizationID { self.org ?? Self.unnamed }

    private static let unnamed: OrganizationID = {
        guard let name = try? OrganizationID("default") else { preconditionFailure("a good name") }
        return name
    }()

    /// Whose it is.
    package var claimant: Claimant { Claimant(org: self.org, agent: self.agent) }

    package init(
        number: ConversationNumber,
        org: OrganizationID?,
        agent: AgentID,
        conversation: ConversationID?,
        lock: LockKey?,
        next: QueuedTurn?,
        agentConfiguration: AgentConfiguration?,
        agentVersion: Int64,
        isNew: Bool = false,
        owner: AccountID? = nil,
        excluded: Set<AccountID> = []
    ) {
        self.number = number
        self.org = org
        self.agent = agent
        self.conversation = conversation
        self.lock = lock
        self.next = next
        self.agentConfiguration = agentConfiguration
        self.agentVersion = agentVersion
        self.isNew = isNew
        self.owner = owner
        self.excluded = excluded
    }
}

/// The head of a conversation's queue.
package struct QueuedTurn: Sendable, Hashable {
    /// Its identity.
    package let id: TurnID
    /// Present when the turn may write the shared snapshot.
    package let run: RunID?
    /// How long it has been held back already, by the database's clock; nil when it never was.
    package let deferredFor: Duration?
    /// Why, as it is stored.
    package let reason: String?
    /// It was parked: there is something to go on with.
    package let wasParked: Bool

    package init(id: TurnID, run: RunID?, deferredFor: Duration?, reason: String? = nil, wasParked: Bool = false) {
        self.wasParked = wasParked
        self.id = id
        self.run = run
        self.deferredFor = deferredFor
        self.reason = reason
    }
}

/// Why a turn goes back to the queue instead of to a worker. None of these spends an attempt.
package enum Deferral: Sendable, Hashable {
    /// The spawn guard refused it.
    case refused(SpawnGuard.Refusal)
    /// Another holder has the conversation's lock.
    case lockBusy
    /// This replica has no place for another worker or lock.
    case atCapacity
    /// All slots of the account that it would run on are taken.
    case accountBusy
    /// The agent's workers do not start; what failed last.
    case circuitOpen(String)

    /// How the turn ends when the wait is over.
    package var failureCode: FailureCode {
        switch self {
        case .refused: .guardRefused
        case .lockBusy, .atCapacity, .accountBusy: .leaseTimeout
        case .circuitOpen: .workerStartFailed
        }
    }

    /// The reason in words, as stored and shown.
    package var description: String {
        switch self {
        case .refused(let refusal): refusal.description
        case .lockBusy: "the conversation is held elsewhere"
        case .atCapacity: "no free place for a worker"
        case .accountBusy: "all slots of the account are taken"
        case .circuitOpen(let error): "circuit open: \(error)"
        }
    }

    /// The reason as a metric's label.
    package var label: String {
        switch self {
        case .refused: "refused"
        case .lockBusy: "lock_busy"
        case .atCapacity: "at_capacity"
        case .accountBusy: "account_busy"
        case .circuitOpen: "circuit_open"
        }
    }

    /// What to do with a turn that has been waiting for `waited`: look again after a delay that grows with the wait,
    /// or give it up.
    package static func decide(waited: Duration?, limits: Limits) -> Verdict {
        let waited = waited ?? .zero
        guard waited < limits.leaseWait else { return .giveUp }
        return .lookAgain(after: min(max(limits.deferFirst, waited / 4), limits.deferLongest))
    }

    /// The same for this deferral. A turn that may run on its conversation's own account only (`isPinned`) has nowhere
    /// else to go, so it is never given up because that account or its replica is busy.
    package func verdict(waited: Duration?, isPinned: Bool, limits: Limits) -> Verdict {
        let verdict = Self.decide(waited: waited, limits: limits)
        guard verdict == .giveUp, isPinned, Self.ofBusyOwner.contains(self) else { return verdict }
        return .lookAgain(after: limits.deferLongest)
    }

    private static let ofBusyOwner: [Deferral] = [.accountBusy, .atCapacity]

    /// Whether the wait of `next` begins anew with this deferral: what a pinned turn had waited for its busy account is
    /// not held against it.
    package func beginsAnew(_ next: QueuedTurn, isPinned: Bool) -> Bool {
        isPinned && !Self.ofBusyOwner.contains(self) && Self.ofBusyOwner.contains { $0.description == next.reason }
    }

    /// What to do with the claimed `next`, and whether its wait begins anew with that.
    package func ruling(on claim: Claim, _ next: QueuedTurn, limits: Limits) -> (verdict: Verdict, beginsAnew: Bool) {
        let isPinned = claim.owner != nil && claim.agentConfiguration?.account != nil
        let beginsAnew = self.beginsAnew(next, isPinned: isPinned)
        let waited = beginsAnew ? nil : next.deferredFor
        return (self.verdict(waited: waited, isPinned: isPinned, limits: limits), beginsAnew)
    }

    /// The two ways a deferral can go.
    package enum Verdict: Sendable, Hashable {
        case lookAgain(after: Duration)
        case giveUp
    }
}

extension SpawnGuard {
    /// Decides about the claimed `next`.
    package static func decide(_ claim: Claim, _ next: QueuedTurn, _ agent: AgentConfiguration) -> Decision {
        self.decide(
            storeMode: agent.storeMode,
            run: next.run,
            org: claim.org,
            agent: claim.agent,
            conversation: claim.conversation
        )
    }
}
