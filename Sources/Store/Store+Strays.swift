package import Domain
import Postgres

// A stray is a conversation that a living replica owns by the database and knows nothing of: its release was undone by
// a failover to a standby that had not got it, or its term began after whoever had asked for it had given up. Nobody may
// claim it, and its owner lives, so no peer takes it over.
extension Store {
    /// Which of these turns, each settled under its fence, the database does not know as settled: a failover to a standby
    /// that had not got it took the settlement back, and the term was begun before.
    package func forgotten(_ settled: [(turn: TurnID, fence: Fence)]) async throws -> [Fence] {
        guard !settled.isEmpty else { return [] }
        let rows = try await self.pool.query(
            """
            SELECT s.ord FROM unnest(\(settled.map(\.turn.text))::uuid[], \(settled.map(\.fence.epoch))::bigint[],
                \(settled.map(\.fence.nonce.text))::uuid[]) WITH ORDINALITY AS s (turn, epoch, nonce, ord)
            WHERE NOT EXISTS (SELECT FROM turnpike.outcomes o
                WHERE o.turn = s.turn AND o.epoch = s.epoch AND o.owner_nonce = s.nonce)
            """
        )
        return try rows.map { settled[try $0.get("ord", as: Int.self) - 1].fence }
    }

    /// The terms that `replica` holds by the database, beside those of the conversations it knows.
    package func strays(of replica: ReplicaID, beside known: [ConversationNumber]) async throws -> [Fence] {
        try await self.pool.query(
            """
            SELECT c.id, c.epoch, c.owner_nonce FROM turnpike.conversations c
            WHERE c.owner_replica = \(replica.text)::uuid
                AND NOT EXISTS (SELECT FROM unnest(\(known.map(\.value))::bigint[]) AS k (id) WHERE k.id = c.id)
            """
        ).map { row in
            Fence(
                conversation: ConversationNumber(try row.get("id")),
                epoch: try row.get("epoch"),
                nonce: try row.id("owner_nonce")
            )
        }
    }

    /// Ends stray terms as if their holder had died: their turns fail or go back to the queue, the conversations are
    /// free. Terms that are over by now are left alone.
    package func takeBack(_ strays: [Fence]) async throws -> [SweptTurn] {
        let numbers = strays.map(\.conversation.value)
        let (epochs, nonces) = (strays.map(\.epoch), strays.map(\.nonce.text))
        let swept = try await self.discharge(
            """
            SELECT m.turn, m.epoch, 'replica_lost' AS code,
                t.attempt <= coalesce((a.configuration ->> 'retries')::integer, 0) AS retry
            FROM unnest(\(numbers)::bigint[], \(epochs)::bigint[], \(nonces)::uuid[]) AS s (id, epoch, nonce)
            JOIN turnpike.conversations c ON c.id = s.id AND c.epoch = s.epoch AND c.owner_nonce = s.nonce
            JOIN turnpike.markers m ON m.conversation_id = c.id
            JOIN turnpike.turns t ON t.turn = m.turn
            LEFT JOIN turnpike.agents a ON a.org = coalesce(c.org, 'default') AND a.agent = c.agent
            """,
            lastBind: 3
        )
        _ = try await self.pool.pipeline([
            """
            UPDATE turnpike.conversations c
            SET epoch = c.epoch + 1, owner_nonce = NULL, owner_replica = NULL,
                ready_at = CASE WHEN c.queued > 0 THEN now() END
            FROM unnest(\(numbers)::bigint[], \(epochs)::bigint[], \(nonces)::uuid[]) AS s (id, epoch, nonce)
            WHERE c.id = s.id AND c.epoch = s.epoch AND c.owner_nonce = s.nonce AND c.running IS NULL
            """,
            // Whatever became of the term, it has another epoch now.
            """
            UPDATE turnpike.deployments d SET ended_at = now(), ending = 'taken back'
            FROM unnest(\(numbers)::bigint[], \(epochs)::bigint[]) AS s (id, epoch)
            JOIN turnpike.conversations c ON c.id = s.id AND c.epoch > s.epoch
            WHERE d.conversation_id = s.id AND d.epoch = s.epoch AND d.ended_at IS NULL
            """,
        ])
        return swept
    }
}
