package import Domain
import Postgres

/// One turn of a transcript that is imported.
package struct ImportedTurn: Sendable, Hashable {
    /// Its identity here.
    package let id: TurnID
    /// What the user had sent.
    package let input: TurnInput
    /// What had been answered.
    package let reply: String

    package init(id: TurnID, input: TurnInput, reply: String) {
        self.id = id
        self.input = input
        self.reply = reply
    }
}

/// What became of an import.
package enum Import: Sendable, Hashable {
    /// The conversation is there.
    case made
    /// There is one of this name already, or its tombstone.
    case taken
    /// There is no such account to own it.
    case unknownAccount
}

extension TenantStore {
    /// Makes the conversation `id` of completed turns, oldest first, in one transaction. `owner` is the account that it
    /// belongs to from now on, as if it had completed them. A worker is told them as any other transcript.
    package func importConversation(
        _ agent: AgentID,
        _ id: ConversationID,
        turns: [ImportedTurn],
        owner: AccountID?
    ) async throws -> Import {
        let outcomes = turns.map { Outcome.completed(Reply(text: $0.reply, stopReason: Self.importedReason)) }
        let events = try outcomes.map { try StoredJSON.text(TurnEvent.ended($0).data) }
        let inputs = try turns.map { try StoredJSON.text($0.input.parts) }
        let (ids, replies) = (turns.map(\.id.text), turns.map(\.reply))
        var details: [String: JSONValue] = ["turns": .integer(Int64(turns.count))]
        if let owner { details["account"] = .string(owner.text) }
        let entry = try self.entry(.conversationImport, "\(agent)/\(id)", details)
        // Statements of their own, so that each sees what it belongs to: the walls look there.
        let results = try await self.pool.pipeline([
            """
            WITH known AS (
                SELECT \(owner?.text)::uuid IS NULL OR EXISTS (SELECT FROM turnpike.accounts a
                    WHERE a.org = \(self.org.text)::text AND a.account = \(owner?.text)::uuid) AS known
            ), made AS (
                INSERT INTO turnpike.conversations (org, agent, conversation, last_turn, last_event, owner_account)
                SELECT \(self.org.text)::text, \(agent.text)::text, \(id.text)::text, \(turns.count)::bigint,
                    \(turns.count)::bigint, \(owner?.text)::uuid
                FROM known WHERE known
                ON CONFLICT (org, agent, conversation) DO NOTHING
                RETURNING id
            ), \(auditing: entry, of: "made")
            SELECT known, EXISTS (SELECT FROM made) AS made FROM known
            """,
            """
            INSERT INTO turnpike.turns (turn, conversation_id, org, seq, first_event, state, input, ended_at)
            SELECT g.turn, c.id, c.org, g.seq, g.seq, 'completed', g.input::jsonb, now()
            FROM turnpike.conversations c,
                unnest(\(ids)::uuid[], \(inputs)::text[]) WITH ORDINALITY AS g (turn, input, seq)
            WHERE c.org = \(self.org.text)::text AND c.agent = \(agent.text)::text AND c.conversation = \(id.text)::text
                AND c.created_at = now() AND c.last_turn = \(turns.count)::bigint
                AND NOT EXISTS (SELECT FROM turnpike.turns x WHERE x.conversation_id = c.id)
            """,
            """
            INSERT INTO turnpike.outcomes (turn, state, reply, stop_reason)
            SELECT t.turn, 'completed', g.reply, \(Self.importedReason)::text
            FROM unnest(\(ids)::uuid[], \(replies)::text[]) AS g (turn, reply)
            JOIN turnpike.turns t ON t.turn = g.turn AND t.org = \(self.org.text)::text
            """,
            """
            INSERT INTO turnpike.events (conversation_id, seq, turn, type, data)
            SELECT t.conversation_id, t.seq, t.turn, 'turn.completed', g.event::json
            FROM unnest(\(ids)::uuid[], \(events)::text[]) AS g (turn, event)
            JOIN turnpike.turns t ON t.turn = g.turn AND t.org = \(self.org.text)::text
            """,
        ])
        guard let row = results[0].first else { throw PostgresError(.decoding, "importing gave no verdict") }
        guard try row.get("known") else { return .unknownAccount }
        return try row.get("made") ? .made : .taken
    }

    /// The stop reason of turns that were imported.
    private static let importedReason = "imported"
}
