package import Domain
import Postgres

extension Store {
    /// Creates an organization if it is missing, and its default agent if that is: a copy of the agent `default` of the
    /// organization `default`, where there is one. Any number of callers may do this at the same moment, and again.
    package func ensureOrganization(_ org: OrganizationID, by actor: Actor = .gateway) async throws {
        _ = try await self.pool.query(
            """
            WITH made AS (
                INSERT INTO turnpike.organizations (org) VALUES (\(org.text)::text) ON CONFLICT DO NOTHING RETURNING org
            ), provided AS (
                INSERT INTO turnpike.agents (org, agent, configuration, provided)
                SELECT \(org.text)::text, t.agent, t.configuration, true FROM turnpike.agents t
                WHERE t.org = 'default' AND t.agent = 'default' AND t.org <> \(org.text)::text
                ON CONFLICT DO NOTHING
            ), \(auditing: try AuditEntry(.organizationCreate, org.text, org: org, by: actor), of: "made")
            SELECT FROM made
            """
        )
    }

    /// The names of organizations in their order, after `after`, at most `limit`.
    package func organizations(after: String?, limit: Int) async throws -> [String] {
        try await self.pool.query(
            """
            SELECT org FROM turnpike.organizations WHERE org > coalesce(\(after)::text, '')
            ORDER BY org LIMIT \(limit)::integer
            """
        ).map { try $0.get("org") }
    }

    /// Whether there is such an organization.
    package func hasOrganization(_ org: OrganizationID) async throws -> Bool {
        try await !self.pool.query("SELECT FROM turnpike.organizations WHERE org = \(org.text)::text").isEmpty
    }
}
