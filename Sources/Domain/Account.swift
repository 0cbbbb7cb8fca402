// Whom workers act as, as values.

/// What makes an account one, for good. A label is only its name for people.
package struct AccountIdentity: Sendable, Hashable {
    /// The organization it belongs to.
    package let org: OrganizationID
    /// Where it is an account.
    package let provider: ProviderID
    /// Who it is there: a login, a seat, the name of a key.
    package let principal: String

    package init(org: OrganizationID, provider: ProviderID, principal: String) {
        self.org = org
        self.provider = provider
        self.principal = principal
    }

    /// The longest principal, in characters.
    package static let longestPrincipal = 500
    /// The longest label, in characters.
    package static let longestLabel = 200

    /// Whether `text` can be a principal or a label of at most `longest` characters, as PostgreSQL counts them.
    package static func isClean(_ text: String, longest: Int) -> Bool {
        let isPrintable = text.unicodeScalars.allSatisfy { $0.value >= 0x20 && !(0x7f...0x9f).contains($0.value) }
        return isPrintable && (1...longest).contains(text.unicodeScalars.count)
    }
}

/// What becomes of a conversation whose account no live replica hosts, once that has lasted for its grace.
package enum AbsencePolicy: String, Sendable, Hashable, Codable, CaseIterable {
    /// Its turns fail with `account_unavailable`.
    case fail
    /// They wait on.
    case wait
    /// Another account goes on from the snapshot, and owns the conversation once a turn of it was completed.
    case migrate
}

/// An agent's wish for an account that its workers act as.
package struct AccountNeed: Sendable, Hashable {
    /// Where it must be an account.
    package var provider: String
    /// Only accounts of this pool; nil for any.
    package var pool: String?
    /// Only the account with this label; nil for any.
    package var label: String?
    /// What becomes of conversations whose account is absent.
    package var onAbsence: AbsencePolicy = .fail
    /// How long it may be.
    package var graceSeconds = 60

    package init(provider: String) {
        self.provider = provider
    }

    /// Whether a conversation that has no owner yet may run on `account`.
    package func fits(_ account: HostedAccount) -> Bool {
        account.identity.provider.text == self.provider && (self.pool ?? account.pool.text) == account.pool.text
            && (self.label.map(account.labels.contains) ?? true)
    }

    var problems: [(member: String, problem: String)] {
        var found: [(member: String, problem: String)] = []
        if (try? ProviderID(self.provider)) == nil { found.append(("account.provider", "must be a name")) }
        if let pool, (try? PoolID(pool)) == nil { found.append(("account.pool", "must be a name")) }
        if let label, !AccountIdentity.isClean(label, longest: AccountIdentity.longestLabel) {
            found.append(("account.label", "must be 1 to 200 characters, none of them a control character"))
        }
        if !(0...604_800).contains(self.graceSeconds) {
            found.append(("account.grace_seconds", "must be from 0 to 604800"))
        }
        return found
    }
}

extension AccountNeed: Codable {
    private enum Member: String, CodingKey, CaseIterable {
        case provider, pool, label
        case onAbsence = "on_absence"
        case graceSeconds = "grace_seconds"
    }

    package init(from decoder: any Decoder) throws {
        try UnknownMembers.refuse(in: decoder, known: Member.allCases.map(\.rawValue))
        let values = try decoder.container(keyedBy: Member.self)
        self.init(provider: try values.decode(String.self, forKey: .provider))
        self.pool = try values.decodeIfPresent(String.self, forKey: .pool)
        self.label = try values.decodeIfPresent(String.self, forKey: .label)
        self.onAbsence = try values.decodeIfPresent(AbsencePolicy.self, forKey: .onAbsence) ?? self.onAbsence
        self.graceSeconds = try values.decodeIfPresent(Int.self, forKey: .graceSeconds) ?? self.graceSeconds
    }

    package func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: Member.self)
        try values.encode(self.provider, forKey: .provider)
        try values.encodeIfPresent(self.pool, forKey: .pool)
        try values.encodeIfPresent(self.label, forKey: .label)
        try values.encode(self.onAbsence, forKey: .onAbsence)
        try values.encode(self.graceSeconds, forKey: .graceSeconds)
    }
}

/// What a replica is told to host: an entry of its file of accounts.
package struct AccountHosting: Sendable, Hashable {
    /// Whom.
    package var identity: AccountIdentity
    /// Its name for people; nil to give it none.
    package var label: String?
    /// The pool that it is in; nil to leave that as it is.
    package var pool: PoolID?
    /// Conversations that this replica can hold on it at once.
    package var slots: Int
    /// What makes a worker act as it. It never leaves this replica.
    package var environment: [String: String]

    package init(
        identity: AccountIdentity,
        label: String? = nil,
        pool: PoolID? = nil,
        slots: Int = 1,
        environment: [String: String] = [:]
    ) {
        self.identity = identity
        self.label = label
        self.pool = pool
        self.slots = slots
        self.environment = environment
    }
}

/// An account that this replica hosts.
package struct HostedAccount: Sendable, Hashable {
    /// The account.
    package let id: AccountID
    /// What makes it one.
    package let identity: AccountIdentity
    /// The pool that it is in.
    package let pool: PoolID
    /// Its names for people.
    package let labels: [String]
    /// Conversations that this replica can hold on it at once.
    package let slots: Int
    /// What makes a worker act as it.
    package let environment: [String: String]

    package init(
        id: AccountID,
        identity: AccountIdentity,
        pool: PoolID,
        labels: [String],
        slots: Int,
        environment: [String: String]
    ) {
        self.id = id
        self.identity = identity
        self.pool = pool
        self.labels = labels
        self.slots = slots
        self.environment = environment
    }
}

/// A stored account.
package struct AccountRecord: Sendable, Hashable {
    /// The account.
    package var id: AccountID
    /// What makes it one.
    package var identity: AccountIdentity
    /// The pool that it is in.
    package var pool: PoolID
    /// Its names for people.
    package var labels: [String]
    /// Conversations that may be held on it at once, on all replicas together; nil for no bound.
    package var slots: Int?
    /// Conversations that are held on it now.
    package var held: Int
    /// The live replicas that host it, each with its slots, as a JSON array's text.
    package var hosts: String
    /// When it was made, RFC 3339 in UTC.
    package var createdAt: String

    package init(
        id: AccountID,
        identity: AccountIdentity,
        pool: PoolID,
        labels: [String],
        slots: Int?,
        held: Int,
        hosts: String,
        createdAt: String
    ) {
        self.id = id
        self.identity = identity
        self.pool = pool
        self.labels = labels
        self.slots = slots
        self.held = held
        self.hosts = hosts
        self.createdAt = createdAt
    }
}
