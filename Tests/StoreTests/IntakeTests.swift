import Domain
import Postgres
import Store
import Testing

@Suite("Accepting turns")
struct IntakeTests {
    @Test("a turn is durable and numbered when it is accepted")
    func acceptance() async throws {
        let fixture = try await StoreFixture.make()
        let first = try await fixture.accept("c")
        let second = try await fixture.accept("c")
        #expect(first.verdict == .accepted)
        #expect(first.seq == 1 && first.ahead == 0)
        #expect(second.seq == 2 && second.ahead == 1)
        let turn = try #require(first.turn)
        #expect(try await fixture.tenant.turn(turn)?.state == .queued)
    }

    @Test("the same client key and body are the same turn; another body is a conflict")
    func idempotency() async throws {
        let fixture = try await StoreFixture.make()
        let first = try await fixture.store.accept(fixture.submission("c", text: "one", clientKey: "k"))
        let again = try await fixture.store.accept(fixture.submission("c", text: "one", clientKey: "k"))
        let other = try await fixture.store.accept(fixture.submission("c", text: "other!", clientKey: "k"))
        #expect(again.verdict == .repeated && again.turn == first.turn)
        #expect(other.verdict == .conflict && other.turn == first.turn)
        #expect(try await fixture.count("SELECT count(*) FROM turnpike.turns") == 1)
    }

    @Test("32 submissions with one client key at the same moment make one turn")
    func concurrentIdempotency() async throws {
        let fixture = try await StoreFixture.make(poolSize: 8)
        let turns = try await withThrowingTaskGroup(of: TurnID?.self) { group in
            for index in 0..<32 {
                let submission = try fixture.submission("c\(index % 4)", text: "same", clientKey: "k")
                group.addTask { try await fixture.store.accept(submission).turn }
            }
            return try await group.reduce(into: Set<TurnID>()) { set, turn in
                if let turn { set.insert(turn) }
            }
        }
        #expect(turns.count == 1)
        #expect(try await fixture.count("SELECT count(*) FROM turnpike.turns") == 1)
    }

    @Test("a queue at its limit takes nothing more and says so")
    func fullQueue() async throws {
        let fixture = try await StoreFixture.make()
        for _ in 0..<3 { try await fixture.accept("c") }
        var submission = try fixture.submission("c")
        submission.queueLimit = 3
        #expect(try await fixture.store.accept(submission).verdict == .full)
        #expect(try await fixture.count("SELECT count(*) FROM turnpike.turns") == 3)
    }

    @Test("a caller that wants to be first is refused while anything is ahead")
    func rejectIfBusy() async throws {
        let fixture = try await StoreFixture.make()
        try await fixture.accept("c")
        var submission = try fixture.submission("c")
        submission.onBusy = .reject
        let intake = try await fixture.store.accept(submission)
        #expect(intake.verdict == .busy && intake.ahead == 1)
    }

    @Test("a turn that lacks part of its key gets a row of its own that keeps what it was given")
    func keylessRows() async throws {
        let fixture = try await StoreFixture.make()
        _ = try await fixture.pool.query(
            "SELECT * FROM turnpike.enqueue_turn('echo', '[]'::jsonb, p_run => gen_random_uuid())"
        )
        _ = try await fixture.pool.query(
            """
            SELECT * FROM turnpike.enqueue_turn('echo', '[]'::jsonb, p_org => 'default', p_run => gen_random_uuid())
            """
        )
        _ = try await fixture.pool.query(
            """
            SELECT * FROM turnpike.enqueue_turn('echo', '[]'::jsonb, p_conversation => 'c', p_run => gen_random_uuid())
            """
        )
        let claims = try await fixture.claimAll()
        #expect(claims.count == 3)
        #expect(claims.allSatisfy { $0.lock == nil && $0.next?.run != nil && $0.agentConfiguration != nil })
        #expect(claims.filter { $0.org == nil }.count == 2)
        #expect(claims.filter { $0.conversation != nil }.count == 1)
    }

    @Test("a turn enqueued in SQL whose input is no array of parts is refused at once")
    func misshapenInput() async throws {
        let fixture = try await StoreFixture.make()
        for input in ["\"hello\"", "{}", "null", "1"] {
            await #expect(throws: PostgresError.self) {
                _ = try await fixture.pool.query(
                    "SELECT * FROM turnpike.enqueue_turn('echo', \(input)::jsonb, 'default', 'c', gen_random_uuid())"
                )
            }
        }
        #expect(try await fixture.claimAll().isEmpty)
    }

    @Test("a turn enqueued in SQL whose input is JSON that cannot be read here is handed over as it is written")
    func unreadableInput() async throws {
        let fixture = try await StoreFixture.make()
        let deep = String(repeating: "[", count: 600) + String(repeating: "]", count: 600)
        for (input, written) in [("[1e3, 1e400]", "[1000, 1\(String(repeating: "0", count: 400))]"), (deep, deep)] {
            _ = try await fixture.pool.query(
                "SELECT * FROM turnpike.enqueue_turn('echo', \(input)::jsonb, 'default', 'c', gen_random_uuid())"
            )
            let claim = try #require(try await fixture.claimAll().first)
            let deployment: DeploymentID = freshID()
            let term = try await fixture.store.beginTerm(
                claim.number,
                nonce: freshID(),
                replica: fixture.replica,
                deployment: deployment,
                limits: AgentLimits()
            )
            let armed = try #require(term?.armed)
            #expect(armed.input == TurnInput(text: written))
            let fence = try #require(term?.fence)
            _ = try await fixture.store.settle(fixture.settlement(armed, "done"), fence: fence)
            #expect(try await fixture.store.release(fence, deployment: deployment, ending: "finished"))
        }
    }

    @Test("intake and hand-over are one round trip, and so are settlement and the next hand-over")
    func roundTrips() async throws {
        let fixture = try await StoreFixture.make()
        let (term, first, deployment) = try await fixture.hold("c")
        _ = try await fixture.store.settle(fixture.settlement(first, "one"), fence: term.fence)
        let before = fixture.store.roundTrips
        let intake = try await fixture.store.accept(
            fixture.submission("c"),
            handOver: fixture.handOver(term, deployment)
        )
        #expect(fixture.store.roundTrips - before == 1)
        let armed = try #require(intake.armed)
        #expect(armed.id == intake.turn)
        try await fixture.accept("c", text: "queued behind")
        let middle = fixture.store.roundTrips
        let settled = try await fixture.store.settle(
            fixture.settlement(armed, "two"),
            fence: term.fence,
            next: fixture.handOver(term, deployment)
        )
        #expect(fixture.store.roundTrips - middle == 1)
        #expect(settled.value?.next?.seq == 3)
    }

    @Test("lock keys tell apart what a separator could confuse")
    func lockKeys() async throws {
        let fixture = try await StoreFixture.make()
        let distinct = try await fixture.count(
            """
            SELECT count(DISTINCT turnpike.lock_key(o, a, c)) FROM (VALUES
                ('a', 'b', 'c'), ('a:b', 'c', 'd'), ('a', 'b:c', 'd'), ('a', 'b', 'c:d'), ('ab', 'c', 'd'),
                ('a', 'bc', 'd'), ('1:a', 'b', 'c'), ('a', '1:b', 'c')) AS k (o, a, c)
            """
        )
        #expect(distinct == 8)
    }
}
