package import Domain
import Postgres

extension TenantStore {
    /// All agents by name.
    package func agents() async throws -> [AgentRecord] {
        try await self.pool.query(
            """
            SELECT agent, configuration, provided, version, \(unescaped: SQLTime.text("created_at")) AS created_at,
                \(unescaped: SQLTime.text("updated_at")) AS updated_at
            FROM turnpike.agents WHERE org = \(self.org.text)::text ORDER BY agent
            """
        ).map(Self.agent)
    }

    /// One agent.
    package func agent(_ id: AgentID) async throws -> AgentRecord? {
        try await self.pool.query(
            """
            SELECT agent, configuration, provided, version, \(unescaped: SQLTime.text("created_at")) AS created_at,
                \(unescaped: SQLTime.text("updated_at")) AS updated_at
            FROM turnpike.agents WHERE org = \(self.org.text)::text AND agent = \(id.text)::text
            """
        ).first.map(Self.agent)
    }

    /// Creates or replaces an agent. The same configuration again changes nothing, its version included.
    package func put(_ id: AgentID, _ configuration: AgentConfiguration) async throws -> AgentRecord {
        let text = try StoredJSON.text(configuration)
        let rows = try await self.pool.query(
            """
            WITH stored AS (
                INSERT INTO turnpike.agents AS a (org, agent, configuration)
                VALUES (\(self.org.text)::text, \(id.text)::text, \(text)::jsonb)
                ON CONFLICT (org, agent) DO UPDATE
                SET configuration = excluded.configuration,
                    provided = a.provided AND a.configuration = excluded.configuration,
                    version = a.version + (a.configuration <> excluded.configuration)::integer,
                    updated_at = CASE WHEN a.configuration <> excluded.configuration THEN now() ELSE a.updated_at END
                RETURNING a.agent, a.configuration, a.provided, a.version, a.created_at, a.updated_at
            ), changed AS (
                SELECT FROM stored WHERE updated_at = now()
            ), \(auditing: try self.entry(.agentPut, id.text), of: "changed")
            SELECT agent, configuration, provided, version, \(unescaped: SQLTime.text("created_at")) AS created_at,
                \(unescaped: SQLTime.text("updated_at")) AS updated_at
            FROM stored
            """
        )
        guard let row = rows.first else { throw PostgresError(.decoding, "no agent came back") }
        return try Self.agent(row)
    }

    /// Deletes an agent; its conversations stay, and their next turns fail with `agent_not_configured`. Returns
    /// whether there was one.
    package func deleteAgent(_ id: AgentID) async throws -> Bool {
        try await !self.pool.query(
            """
            WITH deleted AS (
                DELETE FROM turnpike.agents WHERE org = \(self.org.text)::text AND agent = \(id.text)::text
                RETURNING agent
            ), \(auditing: try self.entry(.agentDelete, id.text), of: "deleted")
            SELECT agent FROM deleted
            """
        ).isEmpty
    }

    private static func agent(_ row: Row) throws -> AgentRecord {
        AgentRecord(
            agent: try AgentID(row.get("agent")),
            configuration: try StoredJSON.value(row.get("configuration")),
            isProvided: try row.get("provided"),
            version: try row.get("version"),
            createdAt: try row.get("created_at"),
            updatedAt: try row.get("updated_at")
        )
    }
}
