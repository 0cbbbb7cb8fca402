/// Who does what the audit log keeps.
package struct Actor: Sendable, Hashable {
    /// The kind of caller and its identity, such as `token:0198…`.
    package let name: String
    /// The id of the request that asks.
    package let request: String?

    package init(name: String, request: String? = nil) {
        self.name = name
        self.request = request
    }

    /// The gateway itself.
    package static let gateway = Actor(name: "gateway")
    /// A command that writes into the database without a gateway.
    package static let commandLine = Actor(name: "command line")
}

/// The changes that the audit log keeps.
package enum AuditAction: String, Sendable, Hashable, CaseIterable {
    case organizationCreate = "organization.create"
    case deadLetterRedrive = "dead_letter.redrive"
    case agentPut = "agent.put"
    case agentDelete = "agent.delete"
    case conversationDelete = "conversation.delete"
    case conversationFork = "conversation.fork"
    case conversationImport = "conversation.import"
    case snapshotsPrune = "snapshots.prune"
    case threadDelete = "thread.delete"
    case responseDelete = "response.delete"
    case tokenCreate = "token.create"
    case tokenRotate = "token.rotate"
    case tokenRevoke = "token.revoke"
    case sessionOpen = "session.open"
    case approvalDecide = "approval.decide"
    case replicaDrain = "replica.drain"
    case ruleCreate = "rule.create"
    case ruleDelete = "rule.delete"
    case accountRegister = "account.register"
    case accountDelete = "account.delete"
    case labelDelete = "label.delete"
    case quotaSet = "quota.set"
    case ceilingSet = "ceiling.set"
    case schedulePut = "schedule.put"
    case schedulePause = "schedule.pause"
    case scheduleResume = "schedule.resume"
    case scheduleDelete = "schedule.delete"
}

/// One change, as the audit log keeps it.
package struct AuditRecord: Sendable, Hashable {
    /// Its number; later ones are greater.
    package let id: Int64
    /// Whose records were changed; nil for those of the installation.
    package let org: String?
    /// When, RFC 3339 in UTC.
    package let at: String
    /// Who.
    package let actor: String
    /// What was done; see `AuditAction`.
    package let action: String
    /// To what.
    package let subject: String
    /// The rest, as JSON text; never a secret.
    package let details: String
    /// The id of the request that asked for it.
    package let request: String?

    package init(
        id: Int64,
        org: String?,
        at: String,
        actor: String,
        action: String,
        subject: String,
        details: String,
        request: String?
    ) {
        self.id = id
        self.org = org
        self.at = at
        self.actor = actor
        self.action = action
        self.subject = subject
        self.details = details
        self.request = request
    }
}
