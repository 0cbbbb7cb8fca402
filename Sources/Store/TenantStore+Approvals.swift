package import Domain
import Faults
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

    /// Decides a question if nobody has and its time is not over: who, what and when, and the event, together. A parked
    /// turn whose last open question it was goes back to its queue. Nil when there is no such question.
    package func decideApproval(
        _ id: ApprovalID,
        option: String,
        reason: String?,
        by token: TokenID
    ) async throws -> ApprovalDecision? {
        let choice = ApprovalChoice(id: id, option: option, reason: reason, token: token, rule: nil)
        // Statements of their own, so that each sees what was committed before the lock was taken.
        let results = try await self.pool.pipeline([
            ApprovalColumns.lock(id, org: self.org), try self.resolve([choice]), ParkStatements.wake(after: [id]),
            self.one(id),
        ])
        try await Store.reach(.decisionCommitted)
        guard let record = try results[3].first.map(Self.approval) else { return nil }
        return ApprovalDecision(won: !results[1].isEmpty, record: record, others: [], wakes: !results[2].isEmpty)
    }

    /// Decides a question for always: as `decideApproval`, and in the same transaction makes the rule and decides by it
    /// every open question of the same agent with the same tool and arguments, wherever it waits. `tool` is the question's.
    package func decideApproval(
        _ id: ApprovalID,
        option: String,
        always effect: ApprovalEffect,
        rule: ApprovalRuleID,
        of agent: String,
        tool: String,
        reason: String?,
        by token: TokenID
    ) async throws -> ApprovalDecision? {
        try await self.pool.withTransaction { connection in
            let results = try await connection.pipeline([
                Store.holdRules(org: self.org, agent: agent, toChange: true),
                self.lockMatching(id, agent: agent),
                self.matching(id, agent: agent),
                self.one(id),
            ])
            guard let asked = try results[3].first.map(Self.approval) else { return nil }
            guard asked.state == .pending else {
                return ApprovalDecision(won: false, record: asked, others: [], wakes: false)
            }
            let made = try await connection.query(
                self.makeRule(id, rule: rule, agent: agent, tool: tool, effect: effect, reason: reason, by: token)
            )
            guard let kept = try made.first?.id("rule", as: ApprovalRuleID.self) else { return nil }
            let wish: ApprovalWish = effect == .allow ? .allow : .deny
            let others = try results[2].compactMap { row -> ApprovalChoice? in
                let options: [ApprovalOption] = try StoredJSON.value(row.get("options"))
                // What offers nothing that fits stays for people.
                return try wish.choice(of: options).map {
                    ApprovalChoice(id: try row.id("approval"), option: $0, reason: reason, token: token, rule: kept)
                }
            }
            let own = ApprovalChoice(id: id, option: option, reason: reason, token: token, rule: kept)
            let written = try await connection.pipeline([
                try self.resolve([own] + others), ParkStatements.wake(after: [id] + others.map(\.id)), self.one(id),
            ])
            guard let record = try written[2].first.map(Self.approval) else { return nil }
            let told = try written[0].map(Self.told).filter { $0.id != id }
            return ApprovalDecision(won: true, record: record, others: told, wakes: !written[1].isEmpty)
        }
    }

    /// Writes decisions on open questions with their events. Returns those that it wrote.
    private func resolve(_ choices: [ApprovalChoice]) throws -> Query {
        let data = try choices.map { choice in
            try StoredJSON.text(
                ApprovalResolution(
                    id: choice.id,
                    state: .decided,
                    decision: choice.option,
                    reason: choice.reason,
                    decidedBy: choice.token,
                    rule: choice.rule
                ).json
            )
        }
        // The option's own name is worth noting only where it is the same for all.
        var details: [String: JSONValue] = [:]
        if let option = choices.first?.option, choices.allSatisfy({ $0.option == option }) {
            details["decision"] = .string(option)
        }
        return """
            WITH resolved AS (
                UPDATE turnpike.approvals a
                SET state = 'decided', decision = q.option, decided_by = \(choices.first?.token.text)::text,
                    reason = \(choices.first?.reason)::text, rule = \(choices.first?.rule?.text)::uuid, decided_at = now()
                FROM unnest(\(choices.map(\.id.text))::uuid[], \(choices.map(\.option))::text[], \(data)::text[])
                    AS q (approval, option, data), turnpike.turns t
                WHERE a.approval = q.approval AND a.org = \(self.org.text)::text AND t.turn = a.turn
                    AND \(unescaped: ApprovalColumns.state) = 'pending'
                RETURNING a.approval, a.conversation_id, a.turn, q.data
            ), \(auditing: try self.entry(.approvalDecide, "", details), of: "resolved", subject: "approval::text"),
            \(unescaped: ApprovalColumns.logged("resolved", type: "approval.resolved"))
            SELECT p.approval, p.conversation_id, m.owner_replica
            FROM placed p JOIN moved m ON m.id = p.conversation_id
            """
    }

    private static let sameQuestion = """
        turnpike.approvals a JOIN turnpike.approvals s ON s.org = a.org AND s.arguments_hash = a.arguments_hash
            AND s.state = 'pending' JOIN turnpike.turns t ON t.turn = s.turn
            JOIN turnpike.conversations c ON c.id = s.conversation_id
        """

    /// Locks the conversations of all open questions that are the same as this one, in one order for everybody.
    private func lockMatching(_ id: ApprovalID, agent: String) -> Query {
        """
        SELECT FROM turnpike.conversations WHERE id IN (
            SELECT s.conversation_id FROM \(unescaped: Self.sameQuestion)
            WHERE a.approval = \(id.text)::uuid AND a.org = \(self.org.text)::text AND c.agent = \(agent)::text)
        ORDER BY id FOR UPDATE
        """
    }

    private func matching(_ id: ApprovalID, agent: String) -> Query {
        """
        SELECT s.approval, s.options FROM \(unescaped: Self.sameQuestion)
        WHERE a.approval = \(id.text)::uuid AND a.org = \(self.org.text)::text AND c.agent = \(agent)::text
            AND s.approval <> a.approval
        """
    }

    private func makeRule(
        _ id: ApprovalID,
        rule: ApprovalRuleID,
        agent: String,
        tool: String,
        effect: ApprovalEffect,
        reason: String?,
        by token: TokenID
    ) throws -> Query {
        let details: [String: JSONValue] = [
            "tool": .string(tool), "effect": .string(effect.rawValue), "agent": .string(agent),
            "approval": .string(id.text),
        ]
        return """
            WITH made AS (
                INSERT INTO turnpike.approval_rules
                    (rule, org, agent, tool, arguments, arguments_hash, effect, created_by, reason)
                SELECT \(rule.text)::uuid, a.org, \(agent)::text, \(tool)::text, a.arguments, a.arguments_hash,
                    \(effect.rawValue)::text, \(token.text)::text, \(reason)::text
                FROM turnpike.approvals a WHERE a.approval = \(id.text)::uuid AND a.org = \(self.org.text)::text
                ON CONFLICT (org, agent, arguments_hash) WHERE arguments_hash IS NOT NULL
                DO UPDATE SET effect = excluded.effect, created_by = excluded.created_by, reason = excluded.reason,
                    created_at = now()
                RETURNING rule
            ), \(auditing: try self.entry(.ruleCreate, "", details), of: "made", subject: "rule::text")
            SELECT rule FROM made
            """
    }

    private static func told(_ row: Row) throws -> ToldApproval {
        ToldApproval(
            id: try row.id("approval"),
            number: ConversationNumber(try row.get("conversation_id")),
            owner: try row.optionalID("owner_replica")
        )
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
            LEFT JOIN turnpike.calls k ON k.approval = a.approval
        """

    private static let columns = """
        a.approval, a.conversation_id, c.agent, c.conversation, c.owner_replica, a.turn, a.tool, a.arguments,
            encode(a.arguments_hash, 'hex') AS arguments_hash, a.options, \(ApprovalColumns.state) AS state, a.decision,
            a.decided_by, a.rule, a.reason, k.call, \(ParkStatements.callState) AS call_state, \(SQLTime.text("a.asked_at")) AS asked_at,
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
            rule: try row.optionalID("rule"),
            reason: try row.get("reason"),
            call: try row.get("call"),
            callState: try row.get("call_state", as: String?.self).flatMap(CallState.init(rawValue:)),
            askedAt: try row.get("asked_at"),
            expiresAt: try row.get("expires_at"),
            decidedAt: try row.get("decided_at"),
            ownerReplica: try row.optionalID("owner_replica")
        )
    }
}

/// A decision before it is written.
private struct ApprovalChoice {
    let id: ApprovalID
    let option: String
    let reason: String?
    let token: TokenID
    let rule: ApprovalRuleID?
}

/// What became of a decision.
package struct ApprovalDecision: Sendable, Hashable {
    /// Whether this call decided.
    package let won: Bool
    /// The question as it stands then, which tells a loser the winner's decision.
    package let record: ApprovalRecord
    /// Other questions that the same decision for always decided.
    package let others: [ToldApproval]
    /// Whether a parked turn can go on.
    package let wakes: Bool
}

/// Whom to tell about a question.
package struct ToldApproval: Sendable, Hashable {
    /// The question.
    package let id: ApprovalID
    /// Its conversation.
    package let number: ConversationNumber
    /// The replica that holds the conversation.
    package let owner: ReplicaID?

    package init(id: ApprovalID, number: ConversationNumber, owner: ReplicaID?) {
        self.id = id
        self.number = number
        self.owner = owner
    }
}
