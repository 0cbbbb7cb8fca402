import Domain
import Postgres
import TestKit
import Testing

extension EndToEnd {
    @Suite struct GuardTests {
        @Test("a keyless snapshot turn is refused by every replica without a spawn, and fails at its own deadline")
        func keylessTurns() async throws {
            try await Installation.with { installation in
                let replicas = try await installation.replicas(2, ["lease_wait_seconds": "6"])
                let clients = replicas.map { installation.client($0.port) }
                try await clients[0].putPaced()
                let turns = [
                    try await installation.enqueue("paced", run: true),
                    try await installation.enqueue("paced", org: "default", run: true),
                    try await installation.enqueue("paced", conversation: "c", run: true),
                ]
                try await eventually("both replicas have refused", within: .seconds(5)) {
                    for client in clients {
                        let metrics = try await client.http.send("GET", "/metrics").text
                        guard metrics.contains(#"turnpike_deferrals_total{reason="refused"}"#) else { return false }
                    }
                    return true
                }
                for turn in turns {
                    let row = try #require(try await installation.turn(turn))
                    #expect(try row.get("state", as: String.self) == "queued")
                    #expect(try row.get("attempt", as: Int.self) == 0)
                    let reason = try row.get("deferred_for", as: String?.self)
                    #expect(reason?.contains("may write a snapshot") == true, "\(reason ?? "no reason")")
                }
                for turn in turns {
                    try await eventually("turn \(turn) is given up", within: .seconds(15)) {
                        try await installation.turn(turn)?.get("state") == "failed"
                    }
                    let row = try #require(try await installation.turn(turn))
                    #expect(try row.get("code", as: String?.self) == "guard_refused")
                    #expect(try row.get("dead", as: String?.self) == "guard_refused")
                    #expect(try row.get("attempt", as: Int.self) == 0)
                }
                #expect(try await Ledger(installation).count("SELECT count(*) FROM turnpike.deployments") == 0)
                for replica in replicas { #expect(ProcessTable.descendants(of: replica.pid).isEmpty) }
                try await Ledger(installation).check(turns: 3)
            }
        }

        @Test("turns without a run id and turns of agents that write no snapshot pass without a key")
        func unguardedTurns() async throws {
            try await Installation.with { installation in
                let client = installation.client(try await installation.replica().port)
                try await client.putPaced()
                try await client.putPaced("files", more: #","store_mode":"file""#)
                let turns = [
                    try await installation.enqueue("paced"),
                    try await installation.enqueue("paced", org: "default", conversation: "c"),
                    try await installation.enqueue("files", run: true),
                    try await installation.enqueue("files", org: "default", conversation: "c", run: true),
                ]
                for turn in turns {
                    try await eventually("turn \(turn) completes", within: .seconds(15)) {
                        try await installation.turn(turn)?.get("state") == "completed"
                    }
                }
                #expect(try await Ledger(installation).count("SELECT count(*) FROM turnpike.snapshots") == 0)
                try await Ledger(installation).check(turns: 4)
            }
        }

        @Test("an agent's store mode counts as it is when a turn is claimed, not when it was enqueued")
        func changedStoreMode() async throws {
            try await Installation.with { installation in
                let early = try await installation.replica()
                for (agent, mode) in [("was-snapshot", "snapshot"), ("was-none", "none")] {
                    try await installation.client(early.port).putPaced(agent, more: #","store_mode":"\#(mode)""#)
                }
                #expect(try await early.leave() == 0)
                // Nobody serves while turns are enqueued and modes change.
                let passes = try await installation.enqueue("was-snapshot", run: true)
                let refused = try await installation.enqueue("was-none", run: true)
                let leased = try await installation.enqueue("was-none", org: "default", conversation: "c", run: true)
                try await installation.pool.query(
                    """
                    UPDATE turnpike.agents SET version = version + 1, configuration = configuration || jsonb_build_object(
                        'store_mode', CASE agent WHEN 'was-snapshot' THEN 'none' ELSE 'snapshot' END)
                    """
                )
                _ = try await installation.replica(["lease_wait_seconds": "2"])
                for (turn, state) in [(passes, "completed"), (leased, "completed"), (refused, "failed")] {
                    try await eventually("turn \(turn) has \(state)", within: .seconds(15)) {
                        try await installation.turn(turn)?.get("state") == state
                    }
                }
                #expect(try await installation.turn(refused)?.get("code", as: String?.self) == "guard_refused")
                let snapshots = try await Ledger(installation).count(
                    """
                    SELECT count(*) FROM turnpike.snapshots s JOIN turnpike.turns t
                        ON t.conversation_id = s.conversation_id AND t.seq = s.seq WHERE t.turn = \(leased)::uuid
                    """
                )
                #expect(snapshots == 1)
                #expect(try await Ledger(installation).count("SELECT count(*) FROM turnpike.snapshots") == 1)
            }
        }
    }
}

extension Installation {
    /// Enqueues a turn as a service that shares the database does.
    func enqueue(
        _ agent: String,
        org: String? = nil,
        conversation: String? = nil,
        run: Bool = false
    ) async throws -> String {
        let rows = try await self.pool.query(
            """
            SELECT turn::text FROM turnpike.enqueue_turn(
                p_agent => \(agent)::text, p_input => '[{"type":"text","text":"one"}]'::jsonb, p_org => \(org)::text,
                p_conversation => \(conversation)::text,
                p_run => CASE WHEN \(run)::boolean THEN gen_random_uuid() END)
            """
        )
        guard let row = rows.first else { throw Missing(description: "enqueue_turn gave nothing") }
        return try row.get("turn")
    }

    /// A turn with what became of it.
    func turn(_ id: String) async throws -> Row? {
        try await self.pool.query(
            """
            SELECT t.state, t.attempt, t.deferred_for, o.code, d.code AS dead FROM turnpike.turns t
            LEFT JOIN turnpike.outcomes o USING (turn) LEFT JOIN turnpike.dead_letters d USING (turn)
            WHERE t.turn = \(id)::uuid
            """
        ).first
    }
}
