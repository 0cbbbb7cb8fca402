package import Domain
import Postgres

extension TenantStore {
    /// The organization's caps and how many of its turns have no outcome. Nil when there is no such organization.
    package func quota() async throws -> QuotaRecord? {
        try await self.pool.query(
            """
            SELECT q.organization_turns, q.token_turns, q.conversation_turns,
                (SELECT count(*) FROM turnpike.turns t WHERE t.org = o.org AND t.state = 'queued')
                + (SELECT count(*) FROM turnpike.markers m JOIN turnpike.turns t ON t.turn = m.turn WHERE t.org = o.org)
                AS open_turns
            FROM turnpike.organizations o LEFT JOIN turnpike.quotas q ON q.org = o.org
            WHERE o.org = \(self.org.text)::text
            """
        ).first.map { row in
            QuotaRecord(
                quota: Quota(
                    organizationTurns: try row.get("organization_turns"),
                    tokenTurns: try row.get("token_turns"),
                    conversationTurns: try row.get("conversation_turns")
                ),
                openTurns: try row.get("open_turns")
            )
        }
    }

    /// Replaces the organization's caps. A cap below what is open ends nothing; it lets nothing in until enough has ended.
    package func set(_ quota: Quota) async throws {
        let caps = [
            "organization_turns": quota.organizationTurns, "token_turns": quota.tokenTurns,
            "conversation_turns": quota.conversationTurns,
        ]
        let details = caps.compactMapValues { cap in cap.map { JSONValue.integer(Int64($0)) } }
        _ = try await self.pool.query(
            """
            WITH done AS MATERIALIZED (
                SELECT turnpike.set_quota(\(self.org.text)::text, \(quota.organizationTurns)::integer,
                    \(quota.tokenTurns)::integer, \(quota.conversationTurns)::integer)
            ), \(auditing: try self.entry(.quotaSet, self.org.text, details), of: "done")
            SELECT FROM done
            """
        )
    }
}
