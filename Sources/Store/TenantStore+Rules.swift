package import Domain
import Postgres

extension TenantStore {
    /// Standing rules in the order in which they were made, after `after`, at most `limit`.
    package func rules(after: ApprovalRuleID?, limit: Int) async throws -> [ApprovalRule] {
        try await self.pool.query(
            """
            SELECT \(unescaped: RuleColumns.all) FROM turnpike.approval_rules r
            WHERE r.org = \(self.org.text)::text
                AND (\(after?.text)::uuid IS NULL OR r.rule > \(after?.text)::uuid)
            ORDER BY r.rule LIMIT \(limit)::integer
            """
        ).map(RuleColumns.rule)
    }

    /// Makes a rule, for questions from now on; those that are open already stay for people.
    package func makeRule(
        _ id: ApprovalRuleID,
        agent: AgentID?,
        tool: String,
        arguments: JSONValue?,
        effect: ApprovalEffect,
        reason: String?,
        by token: TokenID
    ) async throws -> ApprovalRule {
        var details: [String: JSONValue] = ["tool": .string(tool), "effect": .string(effect.rawValue)]
        if let agent { details["agent"] = .string(agent.text) }
        let rows = try await self.pool.query(
            """
            WITH made AS (
                INSERT INTO turnpike.approval_rules (rule, org, agent, tool, arguments, effect, reason, created_by)
                VALUES (\(id.text)::uuid, \(self.org.text)::text, \(agent?.text)::text, \(tool)::text,
                    \(try arguments.map { try StoredJSON.text($0) })::json, \(effect.rawValue)::text,
                    \(reason)::text, \(token.text)::text)
                RETURNING *
            ), \(auditing: try self.entry(.ruleCreate, id.text, details), of: "made")
            SELECT \(unescaped: RuleColumns.all) FROM made r
            """
        )
        guard let row = rows.first else { throw PostgresError(.decoding, "a rule was made and not returned") }
        return try RuleColumns.rule(row)
    }

    /// Whether a rule leaves every question like this one to people.
    package func asksPeople(_ asked: ApprovalRecord) async throws -> Bool {
        let rows = try await self.pool.query(Store.rules(org: self.org, agent: try AgentID(asked.agent)))
        let ruling = ApprovalRuling.decide(
            by: try RuleColumns.read(rows),
            tool: asked.tool.name,
            arguments: try asked.arguments.map { try StoredJSON.value($0) },
            hash: asked.argumentsHash
        )
        return ruling?.effect == .ask
    }

    /// Removes a rule; false when there is none of that id.
    package func deleteRule(_ id: ApprovalRuleID) async throws -> Bool {
        try await !self.pool.query(
            """
            WITH deleted AS (
                DELETE FROM turnpike.approval_rules WHERE rule = \(id.text)::uuid AND org = \(self.org.text)::text
                RETURNING rule
            ), \(auditing: try self.entry(.ruleDelete, id.text), of: "deleted")
            SELECT rule FROM deleted
            """
        ).isEmpty
    }
}
