package import Domain
import Postgres

/// What became of a dead letter that was to be sent again.
package enum Redrive: Sendable, Hashable {
    /// No such dead letter.
    case unknown
    /// It is queued as a new turn.
    case accepted(TurnID, ConversationNumber, owner: ReplicaID?)
    /// It had been sent again before, as this turn.
    case repeated(TurnID)
    /// Its conversation was deleted.
    case deleted
    /// Its conversation's queue is at its limit.
    case full
    /// A cap of its organization's quota is reached, and where it is.
    case quota(QuotaCap, limit: Int)
}

extension Store {
    /// The newest dead letters of all organizations, or the one of `turn`, for operators.
    package func deadLetters(of turn: TurnID? = nil, limit: Int) async throws -> [DeadLetterRecord] {
        try await self.pool.query(
            """
            SELECT d.turn, d.org, c.agent, c.conversation, d.code, d.message, d.attempts,
                \(unescaped: SQLTime.text("d.died_at")) AS died_at,
                \(unescaped: SQLTime.text("d.redriven_at")) AS redriven_at, d.redriven_as
            FROM turnpike.dead_letters d
            JOIN turnpike.turns t ON t.turn = d.turn
            JOIN turnpike.conversations c ON c.id = t.conversation_id
            WHERE d.turn = coalesce(\(turn?.text)::uuid, d.turn)
            ORDER BY d.died_at DESC LIMIT \(limit)::integer
            """
        ).map { row in
            DeadLetterRecord(
                turn: try row.id("turn"),
                org: try row.get("org"),
                agent: try row.get("agent"),
                conversation: try row.get("conversation"),
                code: try row.get("code"),
                message: try row.get("message"),
                attempts: try row.get("attempts"),
                diedAt: try row.get("died_at"),
                redrivenAt: try row.get("redriven_at"),
                redrivenAs: try row.optionalID("redriven_as")
            )
        }
    }

    /// Sends a dead letter again: the same input as a new turn, `fresh`, at the end of the same conversation, while the old
    /// one keeps its outcome. One statement; of any number of callers one makes the turn, the others learn which it is.
    package func redrive(
        _ letter: TurnID,
        as fresh: TurnID,
        queueLimit: Int,
        by actor: Actor
    ) async throws -> Redrive {
        let entry = try AuditEntry(.deadLetterRedrive, letter.text, ["turn": .string(fresh.text)], by: actor)
        let rows = try await self.pool.query(
            """
            WITH home AS (
                SELECT c.agent, c.conversation, t.turn, t.org, t.run, t.input, t.metadata, t.deadline_seconds
                FROM turnpike.dead_letters d JOIN turnpike.turns t ON t.turn = d.turn
                JOIN turnpike.conversations c ON c.id = t.conversation_id
                WHERE d.turn = \(letter.text)::uuid
                FOR UPDATE OF c
            ), letter AS (
                SELECT h.*, d.redriven_as FROM home h JOIN turnpike.dead_letters d ON d.turn = h.turn FOR UPDATE OF d
            ), again AS (
                SELECT e.verdict, e.turn, e.conversation_id, e.owner_replica, e.refused_by, e.refused_at
                FROM letter l CROSS JOIN LATERAL turnpike.enqueue_turn(
                    p_agent => l.agent, p_input => l.input, p_org => l.org, p_conversation => l.conversation,
                    p_run => CASE WHEN l.run IS NOT NULL THEN gen_random_uuid() END, p_metadata => l.metadata,
                    p_deadline_seconds => l.deadline_seconds, p_turn => \(fresh.text)::uuid,
                    p_queue_limit => \(queueLimit)::integer
                ) e
                WHERE l.redriven_as IS NULL
            ), marked AS (
                UPDATE turnpike.dead_letters d SET redriven_as = a.turn, redriven_at = now()
                FROM again a WHERE d.turn = \(letter.text)::uuid AND a.verdict = 'accepted'
                RETURNING d.turn
            ), \(auditing: entry, of: "marked")
            SELECT coalesce(a.verdict, 'repeated') AS verdict, coalesce(l.redriven_as, a.turn) AS turn,
                a.conversation_id, a.owner_replica, a.refused_by, a.refused_at
            FROM letter l LEFT JOIN again a ON true
            """
        )
        guard let row = rows.first else { return .unknown }
        return try Self.redrive(row)
    }

    private static func redrive(_ row: Row) throws -> Redrive {
        let verdict = try row.get("verdict", as: String.self)
        switch Intake.Verdict(rawValue: verdict) {
        case .accepted:
            return .accepted(
                try row.id("turn"),
                ConversationNumber(try row.get("conversation_id")),
                owner: try row.optionalID("owner_replica")
            )
        case .repeated: return .repeated(try row.id("turn"))
        case .deleted: return .deleted
        case .full: return .full
        case .quota:
            guard let cap = QuotaCap(rawValue: try row.get("refused_by")) else { break }
            return .quota(cap, limit: try row.get("refused_at"))
        case .busy, .conflict, nil: break
        }
        throw PostgresError(.decoding, "a dead letter cannot be sent again: \(verdict)")
    }
}
