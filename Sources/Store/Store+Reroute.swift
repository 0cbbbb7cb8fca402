package import Domain
import Postgres

// A worker had no capacity: its turn goes to another account, a bounded number of times, and never from its owner.
extension Store {
    /// Puts the running turn back for another account, and passes the acting one over for `exclusion`. Spends no attempt:
    /// nothing ran. Nil within when there is nowhere to go: an account owns the conversation, nobody hosts another one that
    /// fits, or the turn was rerouted `most` times.
    package func reroute(
        turn: TurnID,
        fence: Fence,
        events: [TurnEvent],
        message: String,
        most: Int,
        exclusion: Duration
    ) async throws -> Fenced<Int64?> {
        let held: Query = """
            SELECT c.acting_account IS NOT NULL AND c.owner_account IS NULL AND t.reroutes < \(most)::integer AND EXISTS (
                SELECT FROM turnpike.accounts a
                WHERE a.account <> c.acting_account AND \(unescaped: Self.accountFits)
                    AND \(unescaped: Self.accountIsHosted)) AS may
            FROM turnpike.conversations c
            JOIN turnpike.turns t ON t.turn = c.running
            LEFT JOIN turnpike.agents n ON n.org = c.org AND n.agent = c.agent
            WHERE c.id = \(fence.conversation.value)::bigint AND c.epoch = \(fence.epoch)::bigint
                AND c.owner_nonce = \(fence.nonce.text)::uuid AND c.running = \(turn.text)::uuid
            """
        guard let row = try await self.pool.query(held).first else { return .fenced }
        guard try row.get("may") else { return .done(nil) }
        let all = events + [.retried(.noCapacity, message: message)]
        let results = try await self.pool.pipeline([
            try Self.requeuing(turn: turn, fence: fence, events: all, spendsAttempt: false),
            """
            WITH held AS (
                UPDATE turnpike.conversations c
                SET excluded = CASE WHEN c.excluded_until > now() THEN c.excluded ELSE '{}' END || c.acting_account,
                    excluded_until = now() + \(exclusion.milliseconds)::bigint * interval '1 millisecond'
                WHERE c.id = \(fence.conversation.value)::bigint AND c.epoch = \(fence.epoch)::bigint
                    AND c.owner_nonce = \(fence.nonce.text)::uuid AND c.running IS NULL
                RETURNING c.id
            )
            UPDATE turnpike.turns t SET reroutes = t.reroutes + 1
            FROM held WHERE t.turn = \(turn.text)::uuid AND t.conversation_id = held.id AND t.state = 'queued'
            """,
        ])
        guard let requeued = results[0].first else { return .fenced }
        return .done(try requeued.get("last_event"))
    }
}
