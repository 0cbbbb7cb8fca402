package import Domain
import Postgres

/// A turn that runs, for a worker that asks for something in its name.
package struct ServedTurn: Sendable, Hashable {
    /// The model backend that served its conversation last; nil when none is known.
    package let backend: BackendID?
    /// Whether it served the turn before so long ago that it keeps nothing of the conversation any more.
    package let isStale: Bool

    package init(backend: BackendID?, isStale: Bool = false) {
        self.backend = backend
        self.isStale = isStale
    }
}

extension Store {
    /// What is known of `turn`, if it is what runs under `fence` at this moment; nil when it does not, or no longer.
    package func served(
        _ turn: TurnID,
        fence: Fence,
        memory: Duration = Limits().backendMemory
    ) async throws -> ServedTurn? {
        try await self.pool.query(
            """
            SELECT c.backend, coalesce(before.ended_at < now() - \(memory.milliseconds)::bigint * interval '1 millisecond',
                false) AS is_stale
            FROM turnpike.conversations c JOIN turnpike.turns t ON t.turn = c.running
            LEFT JOIN LATERAL (
                SELECT b.ended_at FROM turnpike.turns b WHERE b.conversation_id = c.id AND b.seq < t.seq
                ORDER BY b.seq DESC LIMIT 1
            ) before ON c.backend IS NOT NULL
            WHERE c.id = \(fence.conversation.value)::bigint AND c.epoch = \(fence.epoch)::bigint
                AND c.owner_nonce = \(fence.nonce.text)::uuid AND c.running = \(turn.text)::uuid
            """
        ).first.map { row in
            ServedTurn(
                backend: try row.get("backend", as: String?.self).flatMap { BackendID($0) },
                isStale: try row.get("is_stale")
            )
        }
    }

    /// Keeps the backend that serves the conversation of a running turn, and logs the switch, in one statement. Returns
    /// whether anything had to be written: a second try after a lost answer writes nothing.
    package func keep(_ change: BackendSwitch, turn: TurnID, fence: Fence) async throws -> Fenced<Bool> {
        let event = TurnEvent.backend(change)
        let rows = try await self.pool.query(
            """
            WITH held AS (
                SELECT id, backend FROM turnpike.conversations
                WHERE id = \(fence.conversation.value)::bigint AND epoch = \(fence.epoch)::bigint
                    AND owner_nonce = \(fence.nonce.text)::uuid AND running = \(turn.text)::uuid
                FOR UPDATE
            ), moved AS (
                UPDATE turnpike.conversations c SET backend = \(change.id.text)::text, last_event = last_event + 1
                FROM held WHERE c.id = held.id AND held.backend IS DISTINCT FROM \(change.id.text)::text
                RETURNING c.id, c.last_event
            ), logged AS (
                INSERT INTO turnpike.events (conversation_id, seq, turn, type, data)
                SELECT id, last_event, \(turn.text)::uuid, \(event.type)::text,
                    \(try StoredJSON.text(event.data))::json
                FROM moved
            )
            SELECT EXISTS (SELECT FROM moved) AS moved FROM held
            """
        )
        guard let row = rows.first else { return .fenced }
        return .done(try row.get("moved"))
    }

    /// What the turn's runs have used of its leave to ask models.
    package func modelUse(_ turn: TurnID) async throws -> ModelUse {
        try await self.pool.query(
            """
            SELECT model_calls, model_tokens, model_bytes FROM turnpike.turns WHERE turn = \(turn.text)::uuid
            """
        ).first.map { row in
            ModelUse(
                calls: try row.get("model_calls"),
                tokens: try row.get("model_tokens"),
                bytes: try row.get("model_bytes")
            )
        } ?? ModelUse()
    }

    /// Adds to what a running turn has used. Returns false when it is no longer this fence's.
    package func add(_ use: ModelUse, to turn: TurnID, fence: Fence) async throws -> Bool {
        try await !self.pool.query(
            """
            UPDATE turnpike.turns t
            SET model_calls = t.model_calls + \(use.calls)::bigint, model_tokens = t.model_tokens + \(use.tokens)::bigint,
                model_bytes = t.model_bytes + \(use.bytes)::bigint
            FROM turnpike.conversations c
            WHERE t.turn = \(turn.text)::uuid AND c.id = \(fence.conversation.value)::bigint
                AND c.epoch = \(fence.epoch)::bigint AND c.owner_nonce = \(fence.nonce.text)::uuid AND c.running = t.turn
            RETURNING t.turn
            """
        ).isEmpty
    }
}
