import Domain
import Postgres
import Store
import TestKit
import Testing

@Suite("Transcripts")
struct TranscriptTests {
    /// Performs a conversation's turns, each with what became of it.
    private func perform(_ fixture: StoreFixture, _ turns: [(String, Outcome)]) async throws -> Term {
        for (text, _) in turns { try await fixture.accept("c", text: text) }
        let number = try await fixture.accept("c", text: "the next").number
        let deployment: DeploymentID = freshID()
        let begun = try await fixture.store.beginTerm(
            number,
            nonce: freshID(),
            replica: fixture.replica,
            deployment: deployment,
            limits: AgentLimits()
        )
        let term = try #require(begun)
        var armed = term.armed
        for (_, outcome) in turns {
            let turn = try #require(armed)
            let settlement = Settlement(
                turn: turn.id,
                seq: turn.seq,
                outcome: outcome,
                parent: 0,
                snapshot: nil,
                events: []
            )
            let handOver = fixture.handOver(term, deployment)
            armed = try await fixture.store.settle(settlement, fence: term.fence, next: handOver).value?.next
        }
        return term
    }

    @Test("it has what was asked and answered, newest last, and nothing of what came to nothing")
    func replies() async throws {
        let fixture = try await StoreFixture.make()
        let term = try await self.perform(
            fixture,
            [
                ("one", .completed(Reply(text: "eins", stopReason: "end_turn"))),
                ("two", .failed(.refused, message: "no", partial: "no")),
                ("three", .cancelled(partial: "dr")), ("four", .cancelled(partial: "")),
                ("five", .completed(Reply(text: "fünf", stopReason: "end_turn", usage: ["in": 7]))),
            ]
        )
        let number = term.fence.conversation
        let transcript = try await fixture.store.transcript(number, before: 6, maximumBytes: 1_000)
        #expect(transcript.exchanges.map(\.seq) == [1, 3, 5])
        #expect(transcript.exchanges.map(\.input) == ["one", "three", "five"])
        #expect(transcript.exchanges.map(\.reply) == ["eins", "dr", "fünf"])
        #expect(transcript.exchanges.allSatisfy { $0.epoch == term.fence.epoch })
        #expect(!transcript.isCut && transcript.usage == ["in": 7])
        let earlier = try await fixture.store.transcript(number, before: 3, maximumBytes: 1_000)
        #expect(earlier.exchanges.map(\.seq) == [1] && earlier.usage == nil)
        #expect(try await fixture.store.transcript(number, before: 1, maximumBytes: 1_000).exchanges.isEmpty)
    }

    @Test("it is bounded by its bytes, and little more than that is read")
    func bounded() async throws {
        let fixture = try await StoreFixture.make()
        let reply = String(repeating: "x", count: 1_000)
        let turns = (1...20).map { ("\($0)", Outcome.completed(Reply(text: reply, stopReason: "end_turn"))) }
        let number = try await self.perform(fixture, turns).fence.conversation
        let transcript = try await fixture.store.transcript(number, before: 21, maximumBytes: 5_500)
        #expect(transcript.exchanges.map(\.seq) == Array(16...20) && transcript.isCut)
        let tiny = try await fixture.store.transcript(number, before: 21, maximumBytes: 10)
        #expect(tiny.exchanges.map(\.reply) == ["xxxxxxxx"] && tiny.isCut)
        #expect(try await !fixture.store.transcript(number, before: 21, maximumBytes: 1 << 20).isCut)
    }

    @Test("what is no text is told by its name, whatever JSON was enqueued")
    func parts() async throws {
        let fixture = try await StoreFixture.make()
        let (term, turn, _) = try await fixture.hold("c")
        _ = try await fixture.store.settle(fixture.settlement(turn, "seen"), fence: term.fence)
        let input = """
            [{"type":"text","text":"look"},{"type":"image","data":"eA==","mimeType":"image/png"},7,
             {"type":"resource_link","name":"notes","uri":"file:///n"},{"type":"text"}]
            """
        _ = try await fixture.pool.query(
            "UPDATE turnpike.turns SET input = \(input)::jsonb WHERE turn = \(turn.id.text)::uuid"
        )
        let transcript = try await fixture.store.transcript(term.fence.conversation, before: 2, maximumBytes: 1_000)
        #expect(transcript.exchanges.map(\.input) == ["look\n[image]\n[]\n[notes]"])
    }

    /// Turns up to `last`, each with a snapshot and a reply that names the conversation.
    private func perform(_ fixture: StoreFixture, _ name: String, from first: Int64, to last: Int64) async throws {
        for seq in first...last {
            let (term, turn, deployment) = try await fixture.hold(name)
            let kind = seq == 1 ? Snapshot.Kind.base : .delta
            let settlement = fixture.settlement(
                turn,
                "\(name)\(seq)",
                parent: seq - 1,
                snapshot: SnapshotUpdate(kind: kind, format: .directory, body: [1])
            )
            #expect(turn.seq == seq)
            #expect(try await fixture.store.settle(settlement, fence: term.fence).value != nil)
            _ = try await fixture.store.release(term.fence, deployment: deployment, ending: "test")
        }
    }

    @Test("that of a fork goes on with its origin's, and says so when an origin is gone")
    func forks() async throws {
        let fixture = try await StoreFixture.make()
        let (tenant, agent) = (fixture.tenant, fixture.agent)
        try await self.perform(fixture, "c", from: 1, to: 6)
        #expect(try await tenant.fork(agent, ConversationID("c"), from: 4, to: ConversationID("f")) == .made)
        try await self.perform(fixture, "f", from: 5, to: 6)
        // From what the first fork has of its own, and from what it has of its origin.
        #expect(try await tenant.fork(agent, ConversationID("f"), from: 5, to: ConversationID("g")) == .made)
        #expect(try await tenant.fork(agent, ConversationID("f"), from: 2, to: ConversationID("h")) == .made)
        func transcript(_ name: String, maximumBytes: Int = 1_000) async throws -> Transcript {
            let turn = try await fixture.accept(name)
            return try await fixture.store.transcript(turn.number, before: turn.seq, maximumBytes: maximumBytes)
        }
        let replies = ["c": "c1 c2 c3 c4 c5 c6", "f": "c1 c2 c3 c4 f5 f6", "g": "c1 c2 c3 c4 f5", "h": "c1 c2"]
        for (name, expected) in replies {
            let found = try await transcript(name)
            #expect(found.exchanges.map(\.reply).joined(separator: " ") == expected && !found.isCut)
        }
        let short = try await transcript("g", maximumBytes: 14)
        #expect(short.exchanges.map(\.reply) == ["c4", "f5"] && short.isCut)
        _ = try await tenant.delete(agent, ConversationID("c"))
        let rest = try await transcript("g")
        #expect(rest.exchanges.map(\.reply) == ["f5"] && rest.isCut)
        let nothing = try await transcript("h")
        #expect(nothing.exchanges.isEmpty && nothing.isCut)
    }
}
