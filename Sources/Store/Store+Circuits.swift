package import Domain
import Postgres

// What replicas tell each other of agents whose workers do not start. Nothing is decided by it.
extension Store {
    /// Replaces what is known of this replica's circuits. False when the replica has no record yet.
    package func note(_ circuits: [CircuitRecord], of replica: ReplicaID) async throws -> Bool {
        let now = ContinuousClock.now
        let circuits = circuits.filter { $0.org != nil }
        let reasons = circuits.map { String($0.lastError.prefix(1_000)) }
        let waits = circuits.map { circuit in
            circuit.openUntil.map { max(Int64(($0 - now) / .milliseconds(1)), 0) } ?? -1
        }
        let rows = try await self.pool.query(
            """
            UPDATE turnpike.replicas SET circuits = (
                SELECT coalesce(jsonb_agg(jsonb_build_object('org', c.org, 'agent', c.agent, 'version', c.version,
                    'failures', c.failures, 'reason', c.reason,
                    'until', CASE WHEN c.wait >= 0 THEN now() + c.wait * interval '1 millisecond' END)), '[]')
                FROM unnest(\(circuits.map { $0.org?.text ?? "" })::text[], \(circuits.map(\.agent.text))::text[],
                    \(circuits.map(\.version))::bigint[], \(circuits.map { Int64($0.failures) })::bigint[],
                    \(reasons)::text[], \(waits)::bigint[]) AS c (org, agent, version, failures, reason, wait))
            WHERE replica = \(replica.text)::uuid
            RETURNING replica
            """
        )
        return !rows.isEmpty
    }

    /// What each replica has to say of an agent that has failed there as it is configured now.
    package func circuits(of agent: AgentID, org: OrganizationID) async throws -> [AgentCircuit] {
        try await self.pool.query(
            """
            SELECT r.replica, r.label, c.failures, c.reason,
                CASE WHEN c.until > now() THEN 'open' WHEN c.until IS NULL THEN 'closed' ELSE 'half_open' END AS state,
                CASE WHEN c.until > now() THEN \(unescaped: SQLTime.text("c.until")) END AS until
            FROM turnpike.replicas r, jsonb_to_recordset(r.circuits)
                AS c (org text, agent text, version bigint, failures integer, reason text, until timestamptz)
            JOIN turnpike.agents a ON a.org = c.org AND a.agent = c.agent AND a.version = c.version
            WHERE c.org = \(org.text)::text AND c.agent = \(agent.text)::text
            ORDER BY r.started_at, r.replica
            """
        ).map { row in
            AgentCircuit(
                replica: try row.id("replica"),
                label: try row.get("label"),
                state: CircuitState(rawValue: try row.get("state")) ?? .closed,
                failures: try row.get("failures"),
                reason: try row.get("reason"),
                until: try row.get("until")
            )
        }
    }
}
