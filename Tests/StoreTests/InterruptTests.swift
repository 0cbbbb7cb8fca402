import Domain
import Postgres
import Store
import TestKit
import Testing

@Suite("Turns that interrupt others, in the store")
struct InterruptTests {
    @Test("what is queued ahead is ended at once, the running turn is marked, and the new one is next")
    func ends() async throws {
        let fixture = try await StoreFixture.make()
        let (term, running, deployment) = try await fixture.hold("c")
        let queued = try await [fixture.accept("c"), fixture.accept("c")].map { try #require($0.turn) }
        let intake = try await fixture.store.accept(fixture.interrupting("c"))
        #expect(intake.verdict == .accepted && intake.interrupted == running.id && intake.ahead == 1)
        for turn in queued {
            let outcome = try await fixture.tenant.turn(turn)?.outcome
            #expect(outcome?.state == .failed && outcome?.code == "interrupted")
        }
        let state = try #require(try await fixture.store.inspect([term.fence]).first)
        #expect(state.isCancelling && state.isInterrupted && state.running == running.id)
        let settled = try await fixture.store.settle(
            fixture.settlement(running, "x"),
            fence: term.fence,
            next: fixture.handOver(term, deployment)
        )
        #expect(settled.value?.next?.id == intake.turn)
        let events = try await fixture.tenant.events(intake.number, after: 0, turn: nil, limit: 50, bytes: 1 << 20)
        #expect(events.map(\.seq) == Array(1...Int64(events.count)))
        #expect(events.filter { $0.type == "turn.failed" }.map(\.turn) == queued)
    }

    @Test(
        "32 that interrupt at the same moment are all accepted and ordered, and each but the last ends as interrupted"
    )
    func simultaneous() async throws {
        let fixture = try await StoreFixture.make(poolSize: 8)
        let (_, running, _) = try await fixture.hold("c")
        let turns = try await withThrowingTaskGroup(of: Intake.self) { group in
            for _ in 0..<32 {
                let submission = try fixture.interrupting("c")
                group.addTask { try await fixture.store.accept(submission) }
            }
            return try await group.reduce(into: [Intake]()) { $0.append($1) }
        }.sorted { $0.seq < $1.seq }
        #expect(turns.allSatisfy { $0.verdict == .accepted && $0.ahead == 1 })
        #expect(turns.map(\.seq) == Array(2...33))
        #expect(turns.allSatisfy { $0.interrupted == running.id })
        for turn in turns.dropLast() {
            let id = try #require(turn.turn)
            #expect(try await fixture.tenant.turn(id)?.outcome?.code == "interrupted")
        }
        let last = try #require(turns.last?.turn)
        #expect(try await fixture.tenant.turn(last)?.state == .queued)
        #expect(try await fixture.count("SELECT queued AS count FROM turnpike.conversations") == 1)
        #expect(try await fixture.count("SELECT count(*) FROM turnpike.outcomes") == 31)
    }

    @Test("a turn that was cancelled before stays cancelled; a repeated key interrupts nothing")
    func only() async throws {
        let fixture = try await StoreFixture.make()
        let (term, running, _) = try await fixture.hold("c")
        _ = try await fixture.tenant.cancel(running.id)
        var keyed = try fixture.submission("c", clientKey: "k")
        keyed.onBusy = .interrupt
        let first = try await fixture.store.accept(keyed)
        #expect(first.interrupted == nil && first.ahead == 1)
        #expect(try await fixture.store.inspect([term.fence]).first?.isInterrupted == false)
        let behind = try #require(try await fixture.accept("c").turn)
        keyed.id = freshID()
        #expect(try await fixture.store.accept(keyed).verdict == .repeated)
        #expect(try await fixture.tenant.turn(behind)?.state == .queued)
        let id = try #require(first.turn)
        #expect(try await fixture.tenant.turn(id)?.state == .queued)
    }

    @Test("a parked turn ends with what it had said, and people are waited for no longer")
    func parked() async throws {
        let fixture = try await StoreFixture.make()
        let parked = try await fixture.accept("c")
        let turn = try #require(parked.turn)
        _ = try await fixture.pool.pipeline([
            "UPDATE turnpike.conversations SET parked = \(turn.text)::uuid, ready_at = NULL, turn_ms = 1000",
            """
            INSERT INTO turnpike.parks (turn, conversation_id, continuation, said)
            VALUES (\(turn.text)::uuid, \(parked.number.value)::bigint, '', 'may I')
            """,
        ])
        let behind = try await fixture.accept("c")
        #expect(behind.ahead == 1 && behind.wait == nil, "nobody knows how long people take")
        #expect(try await fixture.tenant.turn(turn)?.wait == nil)
        let next = try await fixture.store.accept(fixture.interrupting("c"))
        #expect(next.ahead == 0)
        let outcome = try await fixture.tenant.turn(turn)?.outcome
        #expect(outcome?.code == "interrupted" && outcome?.reply == "may I")
        #expect(try await fixture.claimAll().first?.next?.id == next.turn)
    }

    @Test("one that meets an idle holder is handed over with what it ended, in one round trip")
    func idleHolder() async throws {
        let fixture = try await StoreFixture.make()
        let (term, first, deployment) = try await fixture.hold("c")
        _ = try await fixture.store.settle(fixture.settlement(first, "x"), fence: term.fence)
        try await fixture.accept("c")
        let before = fixture.store.roundTrips
        let intake = try await fixture.store.accept(
            fixture.interrupting("c"),
            handOver: fixture.handOver(term, deployment)
        )
        #expect(fixture.store.roundTrips - before == 1)
        #expect(intake.armed?.id == intake.turn && intake.ahead == 0 && intake.interrupted == nil)
    }

    @Test("the wait is told by what the conversation's turns took, and not before one has completed")
    func waits() async throws {
        let fixture = try await StoreFixture.make()
        let (term, first, deployment) = try await fixture.hold("c")
        let unknown = try await fixture.accept("c")
        #expect(unknown.ahead == 1 && unknown.wait == nil)
        _ = try await fixture.pool.query("UPDATE turnpike.turns SET started_at = now() - interval '8 s' WHERE seq = 1")
        let next = try await fixture.store.settle(
            fixture.settlement(first, "x"),
            fence: term.fence,
            next: fixture.handOver(term, deployment)
        )
        #expect(next.value?.next?.id == unknown.turn)
        let typical = try await fixture.count("SELECT turn_ms AS count FROM turnpike.conversations")
        #expect((8_000..<60_000).contains(typical))
        _ = try await fixture.pool.query("UPDATE turnpike.conversations SET turn_ms = 8000")
        _ = try await fixture.pool.query("UPDATE turnpike.turns SET started_at = now() - interval '6 s' WHERE seq = 2")
        let (third, fourth) = (try await fixture.accept("c"), try await fixture.accept("c"))
        let waits = try [third, fourth].map { try #require($0.wait) }
        #expect(waits[0] <= .seconds(2), "8 s less 6 s: \(waits[0])")
        #expect(waits[1] >= .seconds(8) && waits[1] <= .seconds(10), "and 8 s more: \(waits[1])")
        let id = try #require(fourth.turn)
        let shown = try #require(try await fixture.tenant.turn(id))
        #expect(shown.ahead == 2 && shown.wait.map { $0 <= waits[1] && $0 >= .seconds(8) } == true)
    }
}

extension StoreFixture {
    fileprivate func interrupting(_ conversation: String) throws -> TurnSubmission {
        var submission = try self.submission(conversation)
        submission.onBusy = .interrupt
        return submission
    }
}
