import Crypto
package import Domain
import Postgres

/// Where a question stands, for the worker that waits.
package struct ApprovalStanding: Sendable, Hashable {
    /// The stored question: the asked one, or the same one of an earlier run of the turn.
    package let id: ApprovalID
    /// Where it stands.
    package let state: ApprovalState
    /// The chosen option's id, when decided.
    package let decision: String?

    package init(id: ApprovalID, state: ApprovalState, decision: String?) {
        self.id = id
        self.state = state
        self.decision = decision
    }
}

// The holder's side of a question: asking, looking, and giving up on time.
extension Store {
    /// Stores a running turn's question and its event in one statement, and moves the progress deadline: the turn waits
    /// for people now.
    ///
    /// A question that an earlier run of the turn has asked in the same words is taken over instead, with the decision
    /// that it may have by now, once: the worker died, whoever decided should not be asked again. Asking again with the
    /// same identity finds what the first try stored.
    package func askApproval(
        _ question: ApprovalQuestion,
        turn: TurnID,
        org: OrganizationID,
        fence: Fence,
        progressSeconds: Int
    ) async throws -> Fenced<ApprovalStanding> {
        // A statement of its own takes the lock, so that the next one sees everything that was written before it.
        let results = try await self.pool.pipeline([
            "SELECT FROM turnpike.conversations WHERE id = \(fence.conversation.value)::bigint FOR UPDATE",
            try Self.ask(question, turn: turn, org: org, fence: fence, progressSeconds: progressSeconds),
        ])
        guard let row = results[1].first else { return .fenced }
        return .done(try Self.standing(row))
    }

    private static func ask(
        _ question: ApprovalQuestion,
        turn: TurnID,
        org: OrganizationID,
        fence: Fence,
        progressSeconds: Int
    ) throws -> Query {
        let event = TurnEvent.approvalRequested(question)
        let hash = Digest.sha256(Array(try StoredJSON.text(question.subject).utf8))
        let expiry = SQLTime.text("asked.expires_at")
        // Joined as text, since jsonb could not hold every string that JSON can.
        let members = String(try StoredJSON.text(event.data).dropLast())
        return """
            WITH held AS (
                SELECT c.id, t.attempt FROM turnpike.conversations c JOIN turnpike.turns t ON t.turn = c.running
                WHERE c.id = \(fence.conversation.value)::bigint AND c.epoch = \(fence.epoch)::bigint
                    AND c.owner_nonce = \(fence.nonce.text)::uuid AND c.running = \(turn.text)::uuid
            ), known AS (
                SELECT a.approval FROM turnpike.approvals a, held
                WHERE a.turn = \(turn.text)::uuid AND (a.approval = \(question.id.text)::uuid
                    OR a.arguments_hash = \(hash)::bytea AND a.attempt < held.attempt AND (
                        a.state = 'decided' OR a.state = 'pending' AND a.expires_at > clock_timestamp()))
                ORDER BY a.approval = \(question.id.text)::uuid DESC, a.asked_at LIMIT 1
            ), taken AS (
                UPDATE turnpike.approvals a SET attempt = held.attempt
                FROM known, held WHERE a.approval = known.approval
                RETURNING a.approval, a.turn, a.state, a.decision, a.expires_at
            ), asked AS (
                INSERT INTO turnpike.approvals
                    (approval, org, conversation_id, turn, attempt, tool, arguments, arguments_hash, options,
                     expires_at)
                SELECT \(question.id.text)::uuid, \(org.text)::text, held.id, \(turn.text)::uuid, held.attempt,
                    \(try StoredJSON.text(question.tool))::json,
                    \(try question.arguments.map { try StoredJSON.text($0) })::json, \(hash)::bytea,
                    \(try StoredJSON.text(question.options))::json,
                    now() + \(question.lifetimeSeconds)::integer * interval '1 second'
                FROM held WHERE NOT EXISTS (SELECT FROM known)
                RETURNING approval, conversation_id, turn, state, decision, expires_at
            ), \(unescaped: ApprovalColumns.numbered("asked")), logged AS (
                INSERT INTO turnpike.events (conversation_id, seq, turn, type, data)
                SELECT moved.id, moved.last_event, asked.turn, \(event.type)::text,
                    (\(members)::text || ',"expires_at":"' || \(unescaped: expiry) || '"}')::json
                FROM moved, asked
            ), alive AS (
                UPDATE turnpike.markers m
                SET progress_deadline = now() + \(progressSeconds)::integer * interval '1 second'
                FROM held WHERE m.turn = \(turn.text)::uuid
            )
            SELECT a.approval, a.decision, \(unescaped: ApprovalColumns.state) AS state FROM (
                SELECT approval, turn, state, decision, expires_at FROM taken
                UNION ALL SELECT approval, turn, state, decision, expires_at FROM asked
            ) a JOIN turnpike.turns t ON t.turn = a.turn
            """
    }

    /// Where a question stands now; nil when it is gone with its conversation. For the replica whose worker waits.
    package func approvalStanding(_ id: ApprovalID) async throws -> ApprovalStanding? {
        try await self.pool.query(
            """
            SELECT a.approval, a.decision, \(unescaped: ApprovalColumns.state) AS state
            FROM turnpike.approvals a JOIN turnpike.turns t ON t.turn = a.turn
            WHERE a.approval = \(id.text)::uuid
            """
        ).first.map(Self.standing)
    }

    /// Says in the conversation's log that a question's time is over. Returns where the question stands afterwards:
    /// a decision that came first is not undone.
    package func expireApproval(_ id: ApprovalID) async throws -> ApprovalStanding? {
        let resolution = ApprovalResolution(id: id, state: .expired, decision: nil, reason: nil, decidedBy: nil)
        _ = try await self.pool.pipeline([
            ApprovalColumns.lock(id),
            """
            WITH expired AS (
                UPDATE turnpike.approvals a SET state = 'expired', decided_at = now()
                FROM turnpike.turns t
                WHERE a.approval = \(id.text)::uuid AND t.turn = a.turn
                    AND a.state = 'pending' AND \(unescaped: ApprovalColumns.state) = 'expired'
                RETURNING a.conversation_id, a.turn
            ), \(unescaped: ApprovalColumns.numbered("expired")), logged AS (
                INSERT INTO turnpike.events (conversation_id, seq, turn, type, data)
                SELECT moved.id, moved.last_event, expired.turn, 'approval.resolved',
                    \(try StoredJSON.text(resolution.json))::json
                FROM moved, expired
            )
            SELECT FROM expired
            """,
        ])
        return try await self.approvalStanding(id)
    }

    private static func standing(_ row: Row) throws -> ApprovalStanding {
        ApprovalStanding(
            id: try row.id("approval"),
            state: try ApprovalColumns.state(row),
            decision: try row.get("decision")
        )
    }
}

/// What statements about questions share.
enum ApprovalColumns {
    /// Where the question `a` of the turn `t` stands. A turn's end withdraws what is still open, whoever ended it.
    static let state = """
        CASE WHEN a.state <> 'pending' THEN a.state
            WHEN t.ended_at IS NOT NULL OR t.cancel_requested_at IS NOT NULL THEN 'withdrawn'
            WHEN a.expires_at <= clock_timestamp() THEN 'expired' ELSE 'pending' END
        """

    static func state(_ row: Row) throws -> ApprovalState {
        guard let state = ApprovalState(rawValue: try row.get("state")) else {
            throw PostgresError(.decoding, "unknown approval state")
        }
        return state
    }

    /// Locks the question's conversation: who writes to its log does it under this lock.
    /// With `org` only if it is one of that organization's.
    static func lock(_ id: ApprovalID, org: OrganizationID? = nil) -> Query {
        """
        SELECT FROM turnpike.conversations
        WHERE id = (SELECT conversation_id FROM turnpike.approvals
            WHERE approval = \(id.text)::uuid AND org = coalesce(\(org?.text)::text, org)) FOR UPDATE
        """
    }

    /// Takes the number of the event for the row of `source`.
    static func numbered(_ source: String) -> String {
        """
        moved AS (
            UPDATE turnpike.conversations c SET last_event = c.last_event + 1
            FROM \(source) WHERE c.id = \(source).conversation_id
            RETURNING c.id, c.last_event
        )
        """
    }
}
