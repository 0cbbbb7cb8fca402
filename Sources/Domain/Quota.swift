/// How many turns of an organization may be without an outcome at once. Nil is no cap.
package struct Quota: Sendable, Hashable {
    /// In the whole organization, direct turns included.
    package var organizationTurns: Int?
    /// Submitted with one token.
    package var tokenTurns: Int?
    /// Waiting in one conversation.
    package var conversationTurns: Int?

    /// The largest cap.
    package static let largest = 1_000_000_000

    package init(organizationTurns: Int? = nil, tokenTurns: Int? = nil, conversationTurns: Int? = nil) {
        self.organizationTurns = organizationTurns
        self.tokenTurns = tokenTurns
        self.conversationTurns = conversationTurns
    }
}

extension Quota {
    /// This quota's cap of a kind.
    package subscript(cap: QuotaCap) -> Int? {
        switch cap {
        case .organizationTurns: self.organizationTurns
        case .tokenTurns: self.tokenTurns
        case .conversationTurns: self.conversationTurns
        }
    }

    /// The first of `other`'s caps that is higher than the one here.
    package func exceeded(by other: Quota) -> (cap: QuotaCap, limit: Int)? {
        for cap in QuotaCap.allCases {
            if let limit = self[cap], let wanted = other[cap], wanted > limit { return (cap, limit) }
        }
        return nil
    }
}

/// The caps by name, as in SQL and JSON.
package enum QuotaCap: String, Sendable, Hashable, CaseIterable {
    case organizationTurns = "organization_turns"
    case tokenTurns = "token_turns"
    case conversationTurns = "conversation_turns"
}

/// A quota and what it counts.
package struct QuotaRecord: Sendable, Hashable {
    /// The caps in force: of each kind the lower of the own one and the ceiling.
    package var quota: Quota
    /// Those that the organization has set.
    package var own: Quota
    /// Those that who runs the installation has set.
    package var ceiling: Quota
    /// Turns of the organization that have no outcome, counted at this moment.
    package var openTurns: Int

    package init(quota: Quota, own: Quota, ceiling: Quota, openTurns: Int) {
        self.quota = quota
        self.own = own
        self.ceiling = ceiling
        self.openTurns = openTurns
    }
}
