import Domain
import Postgres
import Store
import TestKit
import Testing

@Suite("Claiming fairly")
struct FairClaimTests {
    @Test("organizations take turns, however many conversations one of them has, and places they have count")
    func organizations() async throws {
        let fixture = try await StoreFixture.make()
        try await fixture.ready("a", agents: 1, conversations: 200)
        try await fixture.ready("b", agents: 1, conversations: 1)
        try await fixture.ready("c", agents: 1, conversations: 5)
        let first = try await fixture.claim(4)
        #expect(first.organizations == ["a": 2, "b": 1, "c": 1] || first.organizations == ["a": 1, "b": 1, "c": 2])
        try await fixture.ready("b", agents: 1, conversations: 1, from: 2)
        let agent = try AgentID("agent-1")
        let held = [Claimant(org: try OrganizationID("a"), agent: agent): 3]
        #expect(try await fixture.claim(1, held: held).organizations["a"] == nil)
        #expect(try await fixture.claim(5, held: held).organizations["a"] ?? 0 <= 1)
    }

    @Test("within an organization its agents take turns, and within an agent the oldest is first")
    func agents() async throws {
        let fixture = try await StoreFixture.make()
        try await fixture.ready("a", agents: 3, conversations: 30)
        let claims = try await fixture.claim(6)
        #expect(Dictionary(grouping: claims, by: \.agent.text).mapValues(\.count).values.allSatisfy { $0 == 2 })
        #expect(Set(claims.compactMap(\.conversation?.text)) == ["c-1", "c-2"])
    }

    @Test("a turn without an organization is not forgotten among those with one")
    func nameless() async throws {
        let fixture = try await StoreFixture.make()
        try await fixture.ready("a", agents: 1, conversations: 50)
        _ = try await fixture.pool.query("SELECT FROM turnpike.enqueue_turn('echo', '[]')")
        #expect(try await fixture.claim(2).contains { $0.org == nil })
    }

    @Test("more agents than one claim looks at all have their turn, each conversation once")
    func many() async throws {
        let fixture = try await StoreFixture.make()
        try await fixture.ready("a", agents: 300, conversations: 2)
        var (claimed, last): ([ConversationNumber], Claimant?) = ([], nil)
        for _ in 0..<60 where claimed.count < 600 {
            let claims = try await fixture.store.claim(limit: 32, hold: .seconds(60), after: last)
            claimed += claims.map(\.number)
            last = claims.last?.claimant
        }
        #expect(claimed.count == 600 && Set(claimed).count == 600)
    }

    @Test("agents whose accounts are elsewhere hide nobody, however many they are")
    func elsewhere() async throws {
        let fixture = try await StoreFixture.make()
        try await fixture.ready("a", agents: 100, conversations: 1)
        try await fixture.ready("z", agents: 1, conversations: 1)
        let configuration = #"{"command":["x"],"account":{"provider":"forge"}}"#
        _ = try await fixture.pool.pipeline([
            "INSERT INTO turnpike.organizations (org) VALUES ('a')",
            """
            INSERT INTO turnpike.agents (org, agent, configuration)
            SELECT 'a', 'agent-' || n, \(configuration)::jsonb FROM generate_series(1, 100) n
            """,
        ])
        #expect(try await fixture.claim(4).isEmpty, "a claim looks at so many agents and no more")
        let claims = try await fixture.store.claim(limit: 4, hold: .seconds(60), isThorough: true)
        #expect(claims.organizations == ["z": 1])
    }

    @Test("8 claim at the same moment, and each conversation is claimed once")
    func atOnce() async throws {
        let fixture = try await StoreFixture.make(poolSize: 8)
        try await fixture.ready("a", agents: 2, conversations: 400)
        try await fixture.ready("b", agents: 1, conversations: 40)
        let claimed = try await withThrowingTaskGroup(of: [ConversationNumber].self) { group in
            for _ in 0..<8 {
                group.addTask {
                    var numbers: [ConversationNumber] = []
                    while case let claims = try await fixture.claim(16), !claims.isEmpty {
                        numbers += claims.map(\.number)
                    }
                    return numbers
                }
            }
            return try await group.reduce(into: [ConversationNumber]()) { $0 += $1 }
        }
        #expect(claimed.count == 840 && Set(claimed).count == 840)
    }

    @Test("with 10,000 ready conversations a claim scans no table and reads a fraction of the index")
    func cost() async throws {
        let fixture = try await StoreFixture.make(poolSize: 1)
        try await fixture.ready("a", agents: 1, conversations: 9_000)
        try await fixture.ready("b", agents: 10, conversations: 100)
        _ = try await fixture.pool.query("ANALYZE turnpike.conversations")
        _ = try await fixture.claim(32)
        let before = try await fixture.reads()
        let start = ContinuousClock.now
        let rounds = 20
        for _ in 0..<rounds { #expect(try await fixture.claim(32).count == 32) }
        let time = (ContinuousClock.now - start) / rounds
        let after = try await fixture.reads()
        let rows = (after.index - before.index) / rounds
        print("figure: a claim of 32 among 10,000 ready took \(time) and \(rows) index entries")
        #expect(after.scanned == before.scanned, "no claim scans the table")
        // At most three times 32 of each of 11 agents, twice, and what earlier claims left in the index until it is swept.
        #expect(rows < 5_000)
    }
}

extension [Claim] {
    fileprivate var organizations: [String: Int] {
        Dictionary(grouping: self) { $0.org?.text ?? "" }.mapValues(\.count)
    }
}

extension StoreFixture {
    /// Conversations of `agents` agents each that are ready, the first the longest.
    fileprivate func ready(_ org: String, agents: Int, conversations: Int, from first: Int = 1) async throws {
        _ = try await self.pool.query(
            """
            INSERT INTO turnpike.conversations (org, agent, conversation, queued, ready_at)
            SELECT \(org)::text, 'agent-' || a, 'c-' || n, 0, now() - interval '1 hour' + n * interval '1 ms'
            FROM generate_series(1, \(agents)::integer) a,
                generate_series(\(first)::integer, \(first + conversations - 1)::integer) n
            """
        )
    }

    fileprivate func claim(_ limit: Int, held: [Claimant: Int] = [:]) async throws -> [Claim] {
        try await self.store.claim(limit: limit, hold: .seconds(60), held: held)
    }

    /// What has been read of the conversations so far: rows by scans of the table, entries of its indexes.
    fileprivate func reads() async throws -> (scanned: Int, index: Int) {
        // The connection reports what it did when it has been idle, or when told to.
        _ = try await self.pool.query("SELECT pg_stat_force_next_flush()")
        let row = try await self.pool.query(
            """
            SELECT (SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'conversations') AS scanned,
                (SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes WHERE relname = 'conversations') AS index
            """
        ).first
        return (try row?.get("scanned") ?? 0, try row?.get("index") ?? 0)
    }
}
