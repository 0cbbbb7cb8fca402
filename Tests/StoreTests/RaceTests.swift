import Domain
import Postgres
import Store
import TestKit
import Testing

@Suite("Races and odd rows in the store")
struct RaceTests {
    @Test("a turn whose intake a deletion had to wait for is cancelled, not forgotten")
    func deletionWaitsForIntake() async throws {
        let fixture = try await StoreFixture.make()
        let (term, armed, deployment) = try await fixture.hold("c")
        _ = try await fixture.store.settle(fixture.settlement(armed, "x"), fence: term.fence)
        let submission = try fixture.submission("c")
        let conversation = try ConversationID("c")
        try await withThrowingTaskGroup(of: Void.self) { group in
            try await fixture.pool.withTransaction { connection in
                _ = try await connection.query(
                    """
                    SELECT * FROM turnpike.enqueue_turn(p_agent => 'echo', p_input => '[]', p_org => 'default',
                        p_conversation => 'c', p_run => gen_random_uuid(), p_turn => \(submission.id.text)::uuid)
                    """
                )
                group.addTask { _ = try await fixture.tenant.delete(fixture.agent, conversation) }
                try await fixture.waitForBlockedStatement()
            }
            try await group.waitForAll()
        }
        #expect(try await fixture.tenant.turn(submission.id)?.outcome?.state == .cancelled)
        #expect(try await fixture.store.arm(fixture.handOver(term, deployment)) == nil)
    }

    @Test("a replica that died before its first beat is a peer to be looked after, as long as it owns something")
    func unrecordedPeer() async throws {
        let fixture = try await StoreFixture.make()
        let dead: ReplicaID = freshID()
        let (_, turn, _) = try await fixture.hold("c", replica: dead)
        _ = try await fixture.hold("d", replica: dead)
        _ = try await fixture.hold("e", replica: fixture.replica)
        #expect(try await fixture.store.peers(of: fixture.replica).map(\.replica) == [dead])
        #expect(try await fixture.store.takeOver(from: dead).turns.map(\.turn).contains(turn.id))
        #expect(try await fixture.store.peers(of: fixture.replica).isEmpty)
    }

    @Test("an agent whose configuration cannot be read does not hold up the claims beside it")
    func unreadableAgent() async throws {
        let fixture = try await StoreFixture.make()
        _ = try await fixture.pool.query(
            "INSERT INTO turnpike.agents (org, agent, configuration) VALUES ('default', 'odd', '{\"from\": 2031}')"
        )
        _ = try await fixture.pool.query("SELECT FROM turnpike.enqueue_turn(p_agent => 'odd', p_input => '[]')")
        try await fixture.accept("c")
        let claims = try await fixture.claimAll()
        #expect(claims.count == 2)
        #expect(claims.first { $0.agent.text == "odd" }?.agentConfiguration == nil)
        #expect(claims.first { $0.agent == fixture.agent }?.agentConfiguration != nil)
    }

    @Test("of 8 registrations of one account at once, one makes it and the others find it, a hundred times")
    func accounts() async throws {
        let fixture = try await StoreFixture.make(poolSize: 8)
        let provider = try ProviderID("example")
        for round in 0..<100 {
            let made = try await withThrowingTaskGroup(of: Bool.self) { group in
                for _ in 0..<8 {
                    group.addTask {
                        let registration = try await fixture.tenant.register(
                            provider: provider,
                            principal: "seat-\(round)",
                            label: nil,
                            pool: nil,
                            slots: nil
                        )
                        guard case .made = registration else { return false }
                        return true
                    }
                }
                return try await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
            }
            #expect(made == 1)
        }
    }
}

extension StoreFixture {
    /// Returns once a statement of this database waits for a lock.
    func waitForBlockedStatement() async throws {
        try await eventually("a statement to wait for a lock") {
            try await self.count(
                """
                SELECT count(*) FROM pg_stat_activity
                WHERE datname = current_database() AND wait_event_type = 'Lock'
                """
            ) > 0
        }
    }
}
