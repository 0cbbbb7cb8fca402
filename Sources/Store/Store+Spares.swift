package import Domain
import Postgres

/// An agent that wants spare workers.
package struct WarmAgent: Sendable, Hashable {
    /// Whose agent it is.
    package let org: OrganizationID
    /// The agent.
    package let agent: AgentID
    /// Which change of the configuration this is.
    package let version: Int64
    /// The configuration in force.
    package let configuration: AgentConfiguration
}

extension Store {
    /// The agents of all organizations that want spare workers, at most `limit`, by name. What this version cannot read
    /// gets none.
    package func warmAgents(limit: Int) async throws -> [WarmAgent] {
        try await self.pool.query(
            """
            SELECT org, agent, version, configuration FROM turnpike.agents
            WHERE configuration -> 'warm' > '0'::jsonb ORDER BY org, agent LIMIT \(limit)::integer
            """
        ).compactMap { row in
            guard let configuration = try Self.configuration(row.get("configuration")) else { return nil }
            return WarmAgent(
                org: try OrganizationID(row.get("org")),
                agent: try AgentID(row.get("agent")),
                version: try row.get("version"),
                configuration: configuration
            )
        }
    }
}
