import Domain
import Postgres
import Store
import TestKit
import Testing

@Suite("Taking over from a dead replica")
struct TakeOverTests {
    static let conversations = 5_000

    @Test("5,000 conversations of a dead replica are settled in one go, half of them running and half idle")
    func many() async throws {
        let fixture = try await StoreFixture.make()
        let dead: ReplicaID = freshID()
        try await self.own(fixture, dead)
        let start = ContinuousClock.now
        var swept: [SweptTurn] = []
        var batches = 0
        repeat {
            let batch = try await fixture.store.takeOver(from: dead).turns
            swept += batch
            batches += 1
            if batch.count < 1_000 { break }
        } while true
        let time = ContinuousClock.now - start
        print(
            "figure: \(Self.conversations) conversations of a dead replica were settled in \(time), \(batches) batches"
        )
        #expect(time < .seconds(10))
        #expect(swept.count == Self.conversations / 2 && Set(swept.map(\.turn)).count == swept.count)
        #expect(try await fixture.store.forget(dead))
        #expect(try await fixture.count("SELECT count(*) FROM turnpike.markers") == 0)
        let failed: Query = "SELECT count(*) FROM turnpike.outcomes WHERE code = 'replica_lost' AND reply = 'so far'"
        #expect(try await fixture.count(failed) == Self.conversations / 2)
        let free: Query = """
            SELECT count(*) FROM turnpike.conversations
            WHERE owner_nonce IS NULL AND running IS NULL AND epoch = 2 AND last_event = 2 + (id % 2)
            """
        #expect(try await fixture.count(free) == Self.conversations)
    }

    @Test("idle conversations of a dead replica are freed in batches, and those first that have turns waiting")
    func idle() async throws {
        let fixture = try await StoreFixture.make()
        let dead: ReplicaID = freshID()
        let (idle, wanted, limit) = (2_500, 10, 1_000)
        try await fixture.store.beat(dead, label: "dead", version: "1", workers: 0, draining: false)
        _ = try await fixture.pool.query(
            """
            INSERT INTO turnpike.conversations
                (org, agent, conversation, epoch, owner_nonce, owner_replica, last_turn, last_event, queued)
            SELECT 'default', 'echo', 'c-' || n, 1, gen_random_uuid(), \(dead.text)::uuid, 1, 1,
                (n > \(idle - wanted)::integer)::integer
            FROM generate_series(1, \(idle)::integer) n
            """
        )
        func count(_ condition: String) async throws -> Int {
            try await fixture.count(Query(unescaped: "SELECT count(*) FROM turnpike.conversations WHERE \(condition)"))
        }
        #expect(try await fixture.store.takeOver(from: dead, limit: limit).freed == limit)
        #expect(try await count("queued > 0 AND ready_at <= now()") == wanted)
        #expect(try await count("owner_replica IS NOT NULL") == idle - limit)
        #expect(try await fixture.store.forget(dead) == false)
        #expect(try await fixture.store.takeOver(from: dead, limit: limit).freed == limit)
        #expect(try await fixture.store.takeOver(from: dead, limit: limit).freed == idle - 2 * limit)
        #expect(try await count("owner_nonce IS NULL AND epoch = 2") == idle)
        #expect(try await fixture.store.forget(dead))
    }

    /// Conversations as a replica leaves them: every other one in the middle of a turn that has said something.
    private func own(_ fixture: StoreFixture, _ replica: ReplicaID) async throws {
        try await fixture.store.beat(replica, label: "dead", version: "1", workers: 0, draining: false)
        _ = try await fixture.pool.pipeline([
            """
            INSERT INTO turnpike.conversations
                (org, agent, conversation, epoch, owner_nonce, owner_replica, last_turn, last_event)
            SELECT 'default', 'echo', 'c-' || n, 1, gen_random_uuid(), \(replica.text)::uuid, 1, 2
            FROM generate_series(1, \(Self.conversations)::integer) n
            """,
            """
            INSERT INTO turnpike.turns (turn, conversation_id, org, seq, first_event, state, attempt, input, started_at)
            SELECT gen_random_uuid(), id, org, 1, 1, 'running', 1, '[]', now()
            FROM turnpike.conversations WHERE id % 2 = 1
            """,
            """
            INSERT INTO turnpike.events (conversation_id, seq, turn, type, data)
            SELECT conversation_id, n, turn, 'delta', json_build_object('text', CASE n WHEN 1 THEN 'so ' ELSE 'far' END)
            FROM turnpike.turns, generate_series(1, 2) n
            """,
            """
            INSERT INTO turnpike.markers
                (turn, conversation_id, deployment, replica, epoch, progress_deadline, hard_deadline)
            SELECT turn, conversation_id, gen_random_uuid(), \(replica.text)::uuid, 1, now() + interval '1 hour',
                now() + interval '1 hour'
            FROM turnpike.turns
            """,
            """
            UPDATE turnpike.conversations c SET running = t.turn FROM turnpike.turns t WHERE t.conversation_id = c.id
            """,
        ])
    }
}
