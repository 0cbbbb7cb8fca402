package import Domain
import Postgres

/// The records of one organization: every statement here names it, in the look-up itself and not beside it, so that
/// another organization's record and a missing one are the same nothing. A statement that forgets to is stopped by the
/// wall that all of them run behind.
package struct TenantStore: Sendable {
    /// The organization it belongs to.
    package let org: OrganizationID
    let pool: WalledPool
    /// Who asks.
    let actor: Actor

    init(org: OrganizationID, pool: WalledPool, actor: Actor = .gateway) {
        self.org = org
        self.pool = pool
        self.actor = actor
    }
}

// MARK: - Turns

extension TenantStore {
    private static func turns() -> String {
        """
        SELECT t.turn, t.conversation_id, t.seq, t.input, t.attempt,
            CASE WHEN c.parked = t.turn THEN 'parked' ELSE t.state END AS state, t.deferred_for, c.agent, c.conversation,
            CASE t.state WHEN 'queued' THEN
                (SELECT count(*) FROM turnpike.turns b WHERE b.conversation_id = t.conversation_id
                    AND b.seq < t.seq AND b.state IN ('queued', 'running')) ELSE 0 END AS ahead,
            CASE WHEN c.parked IS NULL THEN c.turn_ms END AS turn_ms,
            CASE t.state WHEN 'queued' THEN turnpike.elapsed_ms(c.running) END AS elapsed_ms,
            \(SQLTime.text("t.queued_at")) AS queued_at,
            \(SQLTime.text("t.started_at")) AS started_at,
            \(SQLTime.text("t.ended_at")) AS ended_at,
            o.state AS outcome, o.code, o.message, o.reply, o.stop_reason, o.usage
        FROM turnpike.turns t
        JOIN turnpike.conversations c ON c.id = t.conversation_id
        LEFT JOIN turnpike.outcomes o ON o.turn = t.turn
        """
    }

    /// A turn with its outcome, if it has one.
    package func turn(_ id: TurnID) async throws -> TurnRecord? {
        try await self.pool.query(
            """
            \(unescaped: Self.turns())
            WHERE t.turn = \(id.text)::uuid AND t.org = \(self.org.text)::text
            """
        ).first.map(Self.turn)
    }

    /// The newest turns of a conversation before the number `before`, newest first, at most `limit`. Stops after the turn
    /// with which inputs and replies come to `bytes` or more.
    package func turns(
        _ number: ConversationNumber,
        before: Int64,
        limit: Int,
        bytes: Int
    ) async throws -> [TurnRecord] {
        try await self.pool.query(
            """
            SELECT * FROM (
                SELECT p.*, sum(octet_length(p.input::text) + coalesce(octet_length(p.reply), 0))
                    OVER (ORDER BY p.seq DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS later
                FROM (
                    \(unescaped: Self.turns())
                    WHERE t.conversation_id = \(number.value)::bigint AND t.org = \(self.org.text)::text
                        AND t.seq < \(before)::bigint
                    ORDER BY t.seq DESC LIMIT \(limit)::integer
                ) p
            ) q
            WHERE coalesce(later, 0) < \(Int64(bytes))::bigint ORDER BY seq DESC
            """
        ).map(Self.turn)
    }

    private static func turn(_ row: Row) throws -> TurnRecord {
        guard let state = TurnState(rawValue: try row.get("state")) else {
            throw PostgresError(.decoding, "unknown turn state")
        }
        var outcome: OutcomeRecord?
        if let ending = try row.get("outcome", as: String?.self).flatMap(TurnState.init(rawValue:)) {
            outcome = OutcomeRecord(
                state: ending,
                code: try row.get("code"),
                message: try row.get("message"),
                reply: try row.get("reply"),
                stopReason: try row.get("stop_reason"),
                usage: try row.get("usage")
            )
        }
        let ahead: Int = try row.get("ahead")
        return TurnRecord(
            id: try row.id("turn"),
            agent: try row.get("agent"),
            conversation: try row.get("conversation"),
            number: ConversationNumber(try row.get("conversation_id")),
            seq: try row.get("seq"),
            input: try row.get("input"),
            state: state,
            ahead: ahead,
            attempt: try row.get("attempt"),
            deferredFor: try row.get("deferred_for"),
            queuedAt: try row.get("queued_at"),
            startedAt: try row.get("started_at"),
            endedAt: try row.get("ended_at"),
            outcome: outcome,
            wait: WaitEstimate.wait(
                ahead: ahead,
                typical: try row.optionalMilliseconds("turn_ms"),
                elapsed: try row.optionalMilliseconds("elapsed_ms"),
                isHeldBack: try state == .parked
                    || (state == .queued && row.get("deferred_for", as: String?.self) != nil)
            )
        )
    }

    /// Cancels a queued turn at once, or asks for the cancellation of a running one.
    package func cancel(_ id: TurnID) async throws -> Cancellation {
        // A turn that changes hands between the look and the lock is matched by neither branch; the next look sees
        // where it went. It can change hands only forward, so this ends.
        for _ in 0..<4 {
            let row = try await self.pool.query(self.cancelStatement(id)).first
            guard let row else { return .unknown }
            let number = ConversationNumber(try row.get("id"))
            if try row.get("cancelled") { return .cancelled(number) }
            if try row.get("requested") { return .requested(number, owner: try row.optionalID("owner_replica")) }
            if try row.get("ended") { return .alreadyEnded }
        }
        throw PostgresError(.timedOut, "the turn kept changing hands")
    }

    private func cancelStatement(_ id: TurnID) -> Query {
        // Of a parked turn what was said so far is kept; what was only queued has said nothing.
        let said = "coalesce((SELECT p.said FROM turnpike.parks p WHERE p.turn = cancelled.turn), '')"
        return """
            WITH target AS (
                SELECT t.turn, t.conversation_id, t.state FROM turnpike.turns t
                WHERE t.turn = \(id.text)::uuid AND t.org = \(self.org.text)::text
            ), held AS (
                SELECT c.id, c.owner_replica FROM turnpike.conversations c
                WHERE c.id = (SELECT conversation_id FROM target) FOR UPDATE
            ), cancelled AS (
                UPDATE turnpike.turns t SET state = 'cancelled', ended_at = now(), cancel_requested_at = now()
                FROM held WHERE t.turn = \(id.text)::uuid AND t.conversation_id = held.id AND t.state = 'queued'
                RETURNING t.turn
            ), requested AS (
                UPDATE turnpike.turns t SET cancel_requested_at = coalesce(t.cancel_requested_at, now())
                FROM held WHERE t.turn = \(id.text)::uuid AND t.conversation_id = held.id AND t.state = 'running'
                RETURNING t.turn
            ), outcome AS (
                INSERT INTO turnpike.outcomes (turn, state, reply) SELECT turn, 'cancelled', \(unescaped: said) FROM cancelled
            ), moved AS (
                UPDATE turnpike.conversations c
                SET queued = c.queued - 1, last_event = c.last_event + 1, parked = nullif(c.parked, cancelled.turn),
                    ready_at = CASE WHEN c.owner_nonce IS NULL AND c.queued > 1 THEN coalesce(c.ready_at, now()) END
                FROM cancelled, held WHERE c.id = held.id
                RETURNING c.id, c.last_event
            ), logged AS (
                INSERT INTO turnpike.events (conversation_id, seq, turn, type, data)
                SELECT moved.id, moved.last_event, cancelled.turn, 'turn.cancelled',
                    json_build_object('partial', \(unescaped: said))
                FROM moved, cancelled
            )
            SELECT held.id, held.owner_replica, EXISTS (SELECT FROM cancelled) AS cancelled,
                EXISTS (SELECT FROM requested) AS requested,
                target.state NOT IN ('queued', 'running') AS ended
            FROM target, held
            """
    }
}

/// What a cancellation did.
package enum Cancellation: Sendable, Hashable {
    /// The turn was queued and has its outcome.
    case cancelled(ConversationNumber)
    /// The turn is running; its owner is to be told.
    case requested(ConversationNumber, owner: ReplicaID?)
    case alreadyEnded
    case unknown
}
