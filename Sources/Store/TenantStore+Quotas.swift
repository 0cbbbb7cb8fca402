package import Domain
import Postgres

extension TenantStore {
    /// The organization's caps and how many of its turns have no outcome. Nil when there is no such organization.
    package func quota() async throws -> QuotaRecord? {
        try await self.pool.query(
            """
            SELECT q.organization_turns, q.token_turns, q.conversation_turns,
                q.own_organization_turns, q.own_token_turns, q.own_conversation_turns,
                q.ceiling_organization_turns, q.ceiling_token_turns, q.ceiling_conversation_turns,
                (SELECT count(*) FROM turnpike.turns t WHERE t.org = o.org AND t.state = 'queued')
                + (SELECT count(*) FROM turnpike.markers m JOIN turnpike.turns t ON t.turn = m.turn WHERE t.org = o.org)
                AS open_turns
            FROM turnpike.organizations o LEFT JOIN turnpike.quotas q ON q.org = o.org
            WHERE o.org = \(self.org.text)::text
            """
        ).first.map { row in
            func caps(_ prefix: String) throws -> Quota {
                Quota(
                    organizationTurns: try row.get(prefix + "organization_turns"),
                    tokenTurns: try row.get(prefix + "token_turns"),
                    conversationTurns: try row.get(prefix + "conversation_turns")
                )
            }
            return QuotaRecord(
                quota: try caps(""),
                own: try caps("own_"),
                ceiling: try caps("ceiling_"),
                openTurns: try row.get("open_turns")
            )
        }
    }

    /// Replaces the organization's own caps. A cap below what is open ends nothing; it lets nothing in until enough has
    /// ended.
    package func set(_ quota: Quota) async throws {
        try await self.set(quota, by: "set_quota", .quotaSet)
    }

    /// Replaces the ceilings above them.
    package func setCeiling(_ ceiling: Quota) async throws {
        try await self.set(ceiling, by: "set_ceiling", .ceilingSet)
    }

    private func set(_ quota: Quota, by function: String, _ action: AuditAction) async throws {
        var details: [String: JSONValue] = [:]
        for cap in QuotaCap.allCases { details[cap.rawValue] = quota[cap].map { .integer(Int64($0)) } }
        _ = try await self.pool.query(
            """
            WITH done AS MATERIALIZED (
                SELECT turnpike.\(unescaped: function)(\(self.org.text)::text, \(quota.organizationTurns)::integer,
                    \(quota.tokenTurns)::integer, \(quota.conversationTurns)::integer)
            ), \(auditing: try self.entry(action, self.org.text, details), of: "done")
            SELECT FROM done
            """
        )
    }
}
