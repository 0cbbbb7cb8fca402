import Domain
import Postgres
import Runtime
import Store
import TestKit
import Testing

@testable import Gateway

@Suite("Two replicas on one database")
struct TwoReplicaTests {
    @Test("a keyless snapshot turn is refused by both without a spawn, and ends as guard_refused with a dead letter")
    func guardRefuses() async throws {
        try await GatewayFixture.with({
            $0.replicas = 2
            $0.limits.leaseWait = .seconds(5)
            $0.limits.pollInterval = .milliseconds(50)
        }) { fixture in
            try await fixture.agent("keyed", "counter")
            let rows = try await fixture.pool.query(
                """
                SELECT turn FROM turnpike.enqueue_turn(p_agent => 'keyed', p_run => gen_random_uuid(),
                    p_input => '[{"type": "text", "text": "hello"}]')
                """
            )
            let turn = try #require(rows.first).get("turn", as: String.self)
            let refusals = { (replica: Replica) in
                replica.metrics.value("turnpike_deferrals_total", labels: ["reason": "refused"])
            }
            try await eventually("both to refuse") { fixture.replicas.allSatisfy { refusals($0) > 0 } }
            try await eventually("the dead letter") {
                try await fixture.count(
                    """
                    SELECT count(*) FROM turnpike.dead_letters
                    WHERE turn = \(turn)::uuid AND code = 'guard_refused' AND attempts = 0
                    """
                ) == 1
            }
            let outcome: Query = """
                SELECT count(*) FROM turnpike.outcomes WHERE turn = \(turn)::uuid AND code = 'guard_refused'
                """
            #expect(try await fixture.count(outcome) == 1)
            #expect(fixture.replicas.allSatisfy { $0.starts == 0 })
            #expect(try await fixture.deployments() == 0)
        }
    }

    @Test("a reader on the replica that does not own the conversation sees every event once", arguments: [true, false])
    func events(usesHints: Bool) async throws {
        try await GatewayFixture.with({
            $0.replicas = 2
            $0.usesHints = usesHints
        }) { fixture in
            let agent = try await fixture.agent("echo", "echo")
            let first = try await fixture.submit(agent, "c", "one two three")
            _ = try await fixture.ended(first)
            let owner = try #require(fixture.replicas.first { $0.conversationSession(first) != nil })
            let reader = try #require(fixture.replicas.first { $0.id != owner.id })
            let number = first.number
            let org = fixture.org
            async let read = self.read(reader, org, number, until: 3)
            for text in ["four five", "six"] {
                _ = try await fixture.ended(fixture.submit(agent, "c", text, to: owner))
            }
            let seen = try await read
            #expect(seen.map(\.seq) == Array(1...Int64(seen.count)))
            let text = seen.filter { $0.type == "delta" }.count
            #expect(text >= 3)
            let stored: Query = """
                SELECT count(*) FROM turnpike.events WHERE conversation_id = \(number.value)::bigint
                """
            #expect(try await fixture.count(stored) == seen.count)
        }
    }

    @Test("a replica that hears of readers elsewhere tells them once to look, for what it wrote before it knew")
    func lateInterest() async throws {
        try await GatewayFixture.with({ $0.replicas = 2 }) { fixture in
            // No conversation has it, so that no poll wakes anybody.
            let number = ConversationNumber(1_000_000_000)
            let (owner, reader) = (fixture.replicas[0], fixture.replicas[1])
            let (looks, looked) = (Locked(0), OneShot<Void>())
            async let again = reader.gateway.feed.awaiting(number, atMost: .seconds(20)) {
                let look = looks.withLock { looks in
                    looks += 1
                    return looks
                }
                looked.resolve(())
                return look > 1 ? true : nil
            }
            await looked.value()
            owner.gateway.feed.interested(reader.id, in: number)
            let looksAgain = try await again
            #expect(looksAgain == true)
        }
    }

    /// Everything of a log until `count` turns have ended.
    private func read(
        _ replica: Replica,
        _ org: OrganizationID,
        _ number: ConversationNumber,
        until count: Int
    ) async throws -> [EventRecord] {
        let seen = Locked<[EventRecord]>([])
        try await replica.gateway.tenant(org).follow(number, after: 0, turn: nil, keepalive: .seconds(5)) { batch in
            seen.withLock { seen in
                seen += batch
                return !batch.isEmpty && seen.count { $0.type == "turn.completed" } < count
            }
        }
        return seen.withLock { $0 }
    }

    @Test("conversations of a replica that lost its session for good go to its peer, with one outcome each")
    func takeOver() async throws {
        try await GatewayFixture.withPeers { fixture, owner, turn in
            let agent = try await fixture.agent("slow", "echo")
            try await fixture.cutLockSession(of: owner)
            let next = try await fixture.submit(agent, "c")
            #expect(try await fixture.ended(turn).outcome?.code == "replica_lost")
            #expect(try await fixture.ended(next).state == .completed)
            #expect(try await fixture.outcomes(turn) == 1)
            try await eventually("the old session to come down") { owner.conversationSession(turn) == nil }
        }
    }

    @Test("a turn cancelled on one replica stops on the other", arguments: [true, false])
    func cancel(usesHints: Bool) async throws {
        try await GatewayFixture.with({
            $0.replicas = 2
            $0.usesHints = usesHints
        }) { fixture in
            let agent = try await fixture.agent("slow", "slow")
            let turn = try await fixture.submit(agent, "c")
            try await fixture.performing(turn)
            let other = try #require(fixture.replicas.first { $0.conversationSession(turn) == nil })
            _ = try await other.gateway.tenant(fixture.org).cancel(turn.id)
            #expect(try await fixture.ended(turn).state == .cancelled)
        }
    }
}
