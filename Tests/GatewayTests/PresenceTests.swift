import Domain
import Postgres
import TestKit
import Testing

@testable import Gateway

@Suite("Taking over from replicas that are gone")
struct PresenceTests {
    @Test("a replica that comes back while a peer takes over from it waits until that is over")
    func returning() async throws {
        try await GatewayFixture.withPeers { fixture, owner, turn in
            _ = try await fixture.pool.pipeline([
                """
                CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN
                    PERFORM pg_advisory_xact_lock(1);
                    RETURN NEW;
                END
                $$
                """,
                "CREATE TRIGGER gate BEFORE INSERT ON turnpike.outcomes FOR EACH ROW EXECUTE FUNCTION gate()",
            ])
            try await fixture.pool.withConnection { gate in
                _ = try await gate.query("SELECT pg_advisory_lock(1)")
                try await fixture.cutLockSession(of: owner)
                let waiting: Query = """
                    SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))
                    """
                try await eventually("the takeover to be under way") { try await !gate.query(waiting).isEmpty }
                try await eventually("the session to be back") { owner.session.isTrusted }
                let roundTrips = owner.session.roundTrips
                try await eventually("tries") { owner.session.roundTrips > roundTrips + 5 }
                #expect(!owner.gateway.leases.isTrusted)
                _ = try await gate.query("SELECT pg_advisory_unlock(1)")
            }
            try await eventually("the locks to be regained") { owner.gateway.leases.isTrusted }
            #expect(try await fixture.ended(turn).outcome?.code == "replica_lost")
            #expect(try await fixture.outcomes(turn) == 1)
            try await eventually("the old session to come down") { owner.conversationSession(turn) == nil }
        }
    }

    @Test("a dead replica that cannot be taken over keeps nobody from taking over the others, and is tried again")
    func stuck() async throws {
        try await GatewayFixture.with({ $0.limits.presenceGrace = .milliseconds(300) }) { fixture in
            try await fixture.leaveTurns(of: 10)
            let outcomes: Query = "SELECT count(*) FROM turnpike.outcomes WHERE code = 'replica_lost'"
            try await eventually("the others", within: .seconds(30)) { try await fixture.count(outcomes) == 5 }
            _ = try await fixture.pool.query("DROP TRIGGER refusal ON turnpike.outcomes")
            try await eventually("all of them", within: .seconds(30)) { try await fixture.count(outcomes) == 10 }
        }
    }
}

extension GatewayFixture {
    /// Turns in the middle of which so many replicas died, each in a conversation of its own. For every other one no
    /// outcome can be stored.
    func leaveTurns(of replicas: Int, areOverdue: Bool = false) async throws {
        _ = try await self.pool.pipeline([
            """
            CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                RAISE EXCEPTION 'asked to fail';
            END
            $$
            """,
            """
            INSERT INTO turnpike.conversations
                (org, agent, conversation, epoch, owner_nonce, owner_replica, last_turn, last_event)
            SELECT 'default', 'gone', 'left-' || n, 1, gen_random_uuid(), gen_random_uuid(), 1, 1
            FROM generate_series(1, \(replicas)::integer) n
            """,
            """
            INSERT INTO turnpike.turns (turn, conversation_id, org, seq, first_event, state, attempt, input, started_at)
            SELECT gen_random_uuid(), id, org, 1, 1, 'running', 1, '[]', now()
            FROM turnpike.conversations WHERE agent = 'gone'
            """,
            """
            INSERT INTO turnpike.markers
                (turn, conversation_id, deployment, replica, epoch, progress_deadline, hard_deadline)
            SELECT t.turn, c.id, gen_random_uuid(), c.owner_replica, 1, d.at, d.at
            FROM turnpike.turns t JOIN turnpike.conversations c ON c.id = t.conversation_id,
                (SELECT now() + CASE WHEN \(areOverdue)::boolean THEN -1 ELSE 1 END * interval '1 hour' AS at) d
            WHERE c.agent = 'gone'
            """,
            """
            UPDATE turnpike.conversations c SET running = t.turn FROM turnpike.turns t
            WHERE t.conversation_id = c.id AND c.agent = 'gone'
            """,
            """
            CREATE FUNCTION is_stuck(wanted uuid) RETURNS boolean LANGUAGE sql AS $$
                SELECT c.conversation ~ '[02468]$' FROM turnpike.turns t
                JOIN turnpike.conversations c ON c.id = t.conversation_id WHERE t.turn = wanted AND c.agent = 'gone'
            $$
            """,
            """
            CREATE TRIGGER refusal BEFORE INSERT ON turnpike.outcomes FOR EACH ROW WHEN (is_stuck(NEW.turn))
            EXECUTE FUNCTION refuse()
            """,
        ])
    }
}
