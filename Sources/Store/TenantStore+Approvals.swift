package import Domain
import Postgres

extension TenantStore {
    /// Questions in the order in which they were asked, after `after`, at most `limit`; only those that stand at `state`
    /// when one is named.
    package func approvals(state: ApprovalState?, after: ApprovalID?, limit: Int) async throws -> [ApprovalRecord] {
        // Says to the planner which index holds them.
        let stored =
            switch state {
            case .pending, .withdrawn: "a.state = 'pending'"
            case .decided: "a.state = 'decided'"
            case .expired, nil: "true"
            }
        return try await self.pool.query(
            """
            SELECT \(unescaped: Self.columns) FROM \(unescaped: Self.tables)
            WHERE a.org = \(self.org.text)::text AND \(unescaped: stored)
                AND (\(after?.text)::uuid IS NULL OR a.approval > \(after?.text)::uuid)
                AND \(unescaped: ApprovalColumns.state) = coalesce(
                    \(state?.rawValue)::text, \(unescaped: ApprovalColumns.state))
            ORDER BY a.approval LIMIT \(limit)::integer
            """
        ).map(Self.approval)
    }

    /// One question.
    package func approval(_ id: ApprovalID) async throws -> ApprovalRecord? {
        try await self.pool.query(self.one(id)).first.map(Self.approval)
    }

    /// Decides a question if nobody has and its time is not over: who, what and when, and the event, together. Returns
    /// whether this call did it, and the question as it stands then, which tells a loser the winner's decision; nil when
    /// there is no such question.
    package func decideApproval(
        _ id: ApprovalID,
        option: String,
        reason: String?,
        by token: TokenID
    ) async throws -> (won: Bool, record: ApprovalRecord)? {
        let resolution = ApprovalResolution(id: id, state: .decided, decision: option, reason: reason, decidedBy: token)
        // Statements of their own, so that each sees what was committed before the lock was taken.
        let results = try await self.pool.pipeline([
            ApprovalColumns.lock(id, org: self.org),
            """
            WITH decided AS (
                UPDATE turnpike.approvals a
                SET state = 'decided', decision = \(option)::text, decided_by = \(token.text)::text,
                    reason = \(reason)::text, decided_at = now()
                FROM turnpike.turns t
                WHERE a.approval = \(id.text)::uuid AND a.org = \(self.org.text)::text AND t.turn = a.turn
                    AND \(unescaped: ApprovalColumns.state) = 'pending'
                RETURNING a.approval, a.conversation_id, a.turn
            ), \(unescaped: ApprovalColumns.numbered("decided")), logged AS (
                INSERT INTO turnpike.events (conversation_id, seq, turn, type, data)
                SELECT moved.id, moved.last_event, decided.turn, 'approval.resolved',
                    \(try StoredJSON.text(resolution.json))::json
                FROM moved, decided
            )
            SELECT approval FROM decided
            """,
            self.one(id),
        ])
        guard let record = try results[2].first.map(Self.approval) else { return nil }
        return (won: !results[1].isEmpty, record: record)
    }

    private func one(_ id: ApprovalID) -> Query {
        """
        SELECT \(unescaped: Self.columns) FROM \(unescaped: Self.tables)
        WHERE a.approval = \(id.text)::uuid AND a.org = \(self.org.text)::text
        """
    }

    private static let tables = """
        turnpike.approvals a JOIN turnpike.turns t ON t.turn = a.turn
            JOIN turnpike.conversations c ON c.id = a.conversation_id
        """

    private static let columns = """
        a.approval, a.conversation_id, c.agent, c.conversation, c.owner_replica, a.turn, a.tool, a.arguments,
            encode(a.arguments_hash, 'hex') AS arguments_hash, a.options, \(ApprovalColumns.state) AS state, a.decision,
            a.decided_by, a.reason, \(SQLTime.text("a.asked_at")) AS asked_at,
            \(SQLTime.text("a.expires_at")) AS expires_at, \(SQLTime.text("a.decided_at")) AS decided_at
        """

    private static func approval(_ row: Row) throws -> ApprovalRecord {
        ApprovalRecord(
            id: try row.id("approval"),
            number: ConversationNumber(try row.get("conversation_id")),
            agent: try row.get("agent"),
            conversation: try row.get("conversation"),
            turn: try row.id("turn"),
            tool: try StoredJSON.value(row.get("tool")),
            arguments: try row.get("arguments"),
            argumentsHash: try row.get("arguments_hash"),
            options: try StoredJSON.value(row.get("options")),
            state: try ApprovalColumns.state(row),
            decision: try row.get("decision"),
            decidedBy: try row.get("decided_by"),
            reason: try row.get("reason"),
            askedAt: try row.get("asked_at"),
            expiresAt: try row.get("expires_at"),
            decidedAt: try row.get("decided_at"),
            ownerReplica: try row.optionalID("owner_replica")
        )
    }
}
