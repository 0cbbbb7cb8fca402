// What OpenAI's dialects know beyond turns and conversations, as values.

/// What is stored with a turn so that a dialect can show it, or find it, again.
package struct DialectNote: Sendable, Hashable {
    /// SHA-256 of a request that had no key of its own.
    package var fingerprint: [UInt8]?
    /// What the response shows of its request, as JSON text; nil for a chat completion.
    package var response: String?
    /// The thread that the turn belongs to.
    package var thread: ConversationID?
    /// How many of the thread's items the turn, with those before it, has taken along.
    package var taken = 0

    package init(fingerprint: [UInt8]? = nil, response: String? = nil) {
        self.fingerprint = fingerprint
        self.response = response
    }
}

/// A conversation that was named before it had an agent.
package struct ThreadRecord: Sendable, Hashable {
    /// The conversation's name.
    package var id: ConversationID
    /// Whose conversation of this name it is; nil before the first turn.
    package var agent: AgentID?
    /// What the client attached, as JSON text.
    package var metadata: String
    /// Messages that were put in by hand, oldest first.
    package var items: [ThreadItem]
    /// How many of them a turn has taken along.
    package var taken: Int
    /// When it was made, RFC 3339 in UTC.
    package var createdAt: String

    package init(
        id: ConversationID,
        agent: AgentID?,
        metadata: String,
        items: [ThreadItem],
        taken: Int,
        createdAt: String
    ) {
        self.id = id
        self.agent = agent
        self.metadata = metadata
        self.items = items
        self.taken = taken
        self.createdAt = createdAt
    }
}

/// A message that was put into a thread by hand.
package struct ThreadItem: Sendable, Hashable, Codable {
    /// Its identity.
    package var id: String
    /// Who is made to say it.
    package var role: String
    /// Content parts as workers take them.
    package var parts: [JSONValue]
    /// The number of the turn that it comes after; 0 before the first.
    package var after: Int64

    package init(id: String, role: String, parts: [JSONValue], after: Int64) {
        self.id = id
        self.role = role
        self.parts = parts
        self.after = after
    }
}
