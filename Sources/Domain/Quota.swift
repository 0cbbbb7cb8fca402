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

/// The caps by name, as in SQL and JSON.
package enum QuotaCap: String, Sendable, Hashable, CaseIterable {
    case organizationTurns = "organization_turns"
    case tokenTurns = "token_turns"
    case conversationTurns = "conversation_turns"
}

/// A quota and what it counts.
package struct QuotaRecord: Sendable, Hashable {
    /// The caps.
    package var quota: Quota
    /// Turns of the organization that have no outcome, counted at this moment.
    package var openTurns: Int

    package init(quota: Quota, openTurns: Int) {
        self.quota = quota
        self.openTurns = openTurns
    }
}
