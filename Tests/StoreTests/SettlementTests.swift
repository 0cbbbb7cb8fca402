import Domain
import Postgres
import Runtime
import Store
import TestKit
import Testing

@Suite("Settling turns")
struct SettlementTests {
    @Test("a settlement writes outcome, snapshot, state and events together, and discharges the marker")
    func everything() async throws {
        let fixture = try await StoreFixture.make()
        let (term, turn, _) = try await fixture.hold("c")
        let settlement = fixture.settlement(
            turn,
            "hello",
            snapshot: SnapshotUpdate(kind: .base, body: [1, 2, 3]),
            events: [.delta(text: "hel"), .delta(text: "lo")]
        )
        #expect(try await fixture.store.settle(settlement, fence: term.fence).value != nil)
        let record = try #require(try await fixture.tenant.turn(turn.id))
        #expect(record.state == .completed && record.outcome?.reply == "hello")
        #expect(try await fixture.count("SELECT count(*) FROM turnpike.markers") == 0)
        let events = try await fixture.tenant.events(
            term.fence.conversation,
            after: 0,
            turn: nil,
            limit: 100,
            bytes: 1 << 20
        )
        #expect(events.map(\.seq) == Array(1...5))
        #expect(events.map(\.type) == ["turn.queued", "turn.started", "delta", "delta", "turn.completed"])
        let chain = try await fixture.store.hydrate(term.fence)
        #expect(chain.head == 1 && chain.links.first?.body == [1, 2, 3])
    }

    @Test("a turn is settled once: the second settlement is refused and writes nothing")
    func once() async throws {
        let fixture = try await StoreFixture.make()
        let (term, turn, _) = try await fixture.hold("c")
        #expect(try await fixture.store.settle(fixture.settlement(turn, "one"), fence: term.fence).value != nil)
        #expect(try await fixture.store.settle(fixture.settlement(turn, "two"), fence: term.fence).value == nil)
        #expect(try await fixture.tenant.turn(turn.id)?.outcome?.reply == "one")
        #expect(try await fixture.store.isSettled(turn.id, by: term.fence))
    }

    @Test("a settlement on the wrong head is refused whole")
    func wrongHead() async throws {
        let fixture = try await StoreFixture.make()
        let (term, turn, _) = try await fixture.hold("c")
        let settlement = fixture.settlement(
            turn,
            "x",
            parent: 7,
            snapshot: SnapshotUpdate(kind: .base, body: [1])
        )
        #expect(try await fixture.store.settle(settlement, fence: term.fence).value == nil)
        #expect(try await fixture.count("SELECT count(*) FROM turnpike.snapshots") == 0)
        #expect(try await fixture.count("SELECT count(*) FROM turnpike.markers") == 1)
    }

    @Test("a fork of the snapshot chain cannot be stored, whatever the code does")
    func noFork() async throws {
        let fixture = try await StoreFixture.make()
        let (term, turn, _) = try await fixture.hold("c")
        let base = SnapshotUpdate(kind: .base, body: [1])
        _ = try await fixture.store.settle(fixture.settlement(turn, "x", snapshot: base), fence: term.fence)
        await #expect(throws: PostgresError.self) {
            _ = try await fixture.pool.query(
                """
                INSERT INTO turnpike.snapshots (conversation_id, seq, parent, kind, body, sha256, epoch, owner_nonce)
                SELECT conversation_id, 5, 0, 'base', body, sha256, epoch, owner_nonce FROM turnpike.snapshots
                """
            )
        }
        await #expect(throws: PostgresError.self) {
            _ = try await fixture.pool.query(
                "INSERT INTO turnpike.outcomes (turn, state, reply) SELECT turn, 'cancelled', '' FROM turnpike.turns"
            )
        }
    }

    @Test("hydrating reads the newest base and the deltas after it")
    func hydrating() async throws {
        let fixture = try await StoreFixture.make()
        let (term, first, deployment) = try await fixture.hold("c")
        let updates: [SnapshotUpdate] = [
            .init(kind: .base, body: [1]), .init(kind: .delta, body: [2]), .init(kind: .base, body: [3]),
            .init(kind: .delta, body: [4]), .init(kind: .delta, body: []),
        ]
        var turn: ArmedTurn? = first
        var parent: Int64 = 0
        for update in updates {
            let current = try #require(turn)
            try await fixture.accept("c")
            let settled = try await fixture.store.settle(
                fixture.settlement(current, "x", parent: parent, snapshot: update),
                fence: term.fence,
                next: fixture.handOver(term, deployment)
            )
            parent = current.seq
            turn = settled.value?.next
        }
        let chain = try await fixture.store.hydrate(term.fence)
        #expect(chain.links.map(\.body) == [[3], [4], []])
        #expect(chain.head == 5)
    }

    @Test("a requeued turn is first again, and its next run counts as another attempt")
    func requeueing() async throws {
        let fixture = try await StoreFixture.make()
        let (term, turn, deployment) = try await fixture.hold("c")
        try await fixture.accept("c")
        let requeued = try await fixture.store.requeue(
            turn: turn.id,
            fence: term.fence,
            events: [.delta(text: "half")],
            code: .workerExited,
            message: "exit 1"
        )
        #expect(requeued.value != nil)
        let again = try #require(try await fixture.store.arm(fixture.handOver(term, deployment)))
        #expect(again.id == turn.id && again.attempt == 2)
    }

    @Test("a batch of events that is sent again under its number is written once, also beside its first try")
    func batches() async throws {
        let fixture = try await StoreFixture.make()
        let (term, turn, deployment) = try await fixture.hold("c")
        @Sendable func send(_ text: String, _ batch: Int64) async throws -> Int64? {
            try await fixture.store.append(
                [.delta(text: text), .thought(text: text)],
                batch: batch,
                turn: turn.id,
                fence: term.fence,
                progressSeconds: 300
            ).value
        }
        for (batch, text) in [(Int64(1), "a"), (2, "b")] {
            try await withThrowingTaskGroup(of: Int64?.self) { group in
                for _ in 0..<8 { group.addTask { try await send(text, batch) } }
                for try await last in group { #expect(last == 2 + 2 * batch) }
            }
        }
        #expect(try await send("late", 1) == 6)
        // Another run counts anew.
        _ = try await fixture.store.requeue(
            turn: turn.id,
            fence: term.fence,
            events: [],
            code: .workerExited,
            message: ""
        )
        _ = try #require(try await fixture.store.arm(fixture.handOver(term, deployment)))
        #expect(try await send("c", 1) == 10)
        let rows = try await fixture.pool.query(
            "SELECT data ->> 'text' AS text FROM turnpike.events WHERE type = 'delta' ORDER BY seq"
        )
        #expect(try rows.map { try $0.get("text", as: String.self) } == ["a", "b", "c"])
        #expect(try await fixture.count("SELECT count(*) FROM turnpike.events") == 10)
    }

    @Test("a sweep ends overdue turns with the right code, keeps their text, and frees the conversation")
    func sweeping() async throws {
        let fixture = try await StoreFixture.make()
        let (hard, hardTurn, _) = try await fixture.hold("hard")
        let (soft, softTurn, _) = try await fixture.hold("soft")
        let (fine, _, _) = try await fixture.hold("fine")
        _ = try await fixture.store.append(
            [.delta(text: "so far")],
            turn: hardTurn.id,
            fence: hard.fence,
            progressSeconds: 100
        )
        _ = try await fixture.pool.query(
            """
            UPDATE turnpike.markers SET hard_deadline = now() - interval '5 seconds'
            WHERE turn = \(hardTurn.id.text)::uuid
            """
        )
        _ = try await fixture.pool.query(
            """
            UPDATE turnpike.markers SET progress_deadline = now() - interval '5 seconds'
            WHERE turn = \(softTurn.id.text)::uuid
            """
        )
        #expect(try await fixture.store.sweepOverdue(grace: .seconds(10), limit: 100).isEmpty)
        let swept = try await fixture.store.sweepOverdue(grace: .seconds(1), limit: 100)
        #expect(Set(swept.map(\.turn)) == [hardTurn.id, softTurn.id])
        let record = try #require(try await fixture.tenant.turn(hardTurn.id))
        #expect(record.outcome?.code == "deadline_exceeded" && record.outcome?.reply == "so far")
        #expect(try await fixture.tenant.turn(softTurn.id)?.outcome?.code == "worker_unresponsive")
        #expect(try await fixture.store.settle(fixture.settlement(softTurn, "late"), fence: soft.fence).value == nil)
        let states = try await fixture.store.inspect([hard.fence, soft.fence, fine.fence])
        #expect(Set(states.map(\.number)) == [hard.fence.conversation, soft.fence.conversation])
    }

    @Test("what a dead replica leaves is failed or retried as its agent says, and its conversations are free")
    func takingOver() async throws {
        let fixture = try await StoreFixture.make()
        var retrying = AgentConfiguration(driver: .acp, command: ["agent"], storeMode: .snapshot)
        retrying.retries = 1
        _ = try await fixture.tenant.put(try AgentID("retrying"), retrying)
        let dead: ReplicaID = freshID()
        let (term, turn, _) = try await fixture.hold("busy", replica: dead)
        let (idle, idleTurn, _) = try await fixture.hold("idle", replica: dead)
        _ = try await fixture.store.settle(fixture.settlement(idleTurn, "x"), fence: idle.fence)
        var submission = try fixture.submission("again")
        submission.agent = try AgentID("retrying")
        let intake = try await fixture.store.accept(submission)
        _ = try await fixture.store.beginTerm(
            intake.number,
            nonce: freshID(),
            replica: dead,
            deployment: freshID(),
            limits: AgentLimits()
        )
        try await fixture.store.beat(dead, label: "dead", version: "1", workers: 0, draining: false)
        let swept = try await fixture.store.takeOver(from: dead).turns
        #expect(swept.count == 2)
        #expect(try await fixture.store.forget(dead))
        #expect(try await fixture.tenant.turn(turn.id)?.outcome?.code == "replica_lost")
        #expect(try await fixture.tenant.turn(try #require(intake.turn))?.state == .queued)
        #expect(try await fixture.store.inspect([term.fence, idle.fence]).allSatisfy { !$0.isHeld })
        #expect(try await fixture.claimAll().map(\.number) == [intake.number])
    }

    @Test("10,000 replies race a sweep, and every turn has exactly one outcome")
    func races() async throws {
        let fixture = try await StoreFixture.make(poolSize: 8)
        var seed = Seed(for: "reply versus sweep")
        var late = 0
        for round in 0..<100 {
            let held = try await self.holdMany(fixture, count: 100, round: round)
            // Half of the turns are overdue, so that both sides have something to win.
            _ = try await fixture.pool.query(
                """
                UPDATE turnpike.markers SET hard_deadline = now() - interval '1 hour'
                WHERE hashtextextended(turn::text, \(Int64(bitPattern: seed.next()))::bigint) % 2 = 0
                """
            )
            late += try await self.race(fixture, held)
        }
        #expect(late > 0, "no sweep ever won: the race did not happen")
        #expect(late < 10_000, "no reply ever won: the race did not happen")
        let unsettled = try await fixture.count(
            """
            SELECT count(*) FROM turnpike.turns t LEFT JOIN turnpike.outcomes o ON o.turn = t.turn
            WHERE o.turn IS NULL OR t.state <> o.state
            """
        )
        #expect(unsettled == 0)
        #expect(try await fixture.count("SELECT count(*) FROM turnpike.outcomes") == 10_000)
        #expect(try await fixture.count("SELECT count(*) FROM turnpike.markers") == 0)
        let terminals = try await fixture.count(
            """
            SELECT count(*) FROM (SELECT turn FROM turnpike.events
                WHERE type IN ('turn.completed', 'turn.failed', 'turn.cancelled') GROUP BY turn HAVING count(*) <> 1) x
            """
        )
        #expect(terminals == 0)
    }

    private func holdMany(_ fixture: StoreFixture, count: Int, round: Int) async throws -> [(Term, ArmedTurn)] {
        try await withThrowingTaskGroup(of: (Term, ArmedTurn).self) { group in
            for index in 0..<count {
                group.addTask {
                    let (term, turn, _) = try await fixture.hold("r\(round).\(index)")
                    return (term, turn)
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
    }

    /// Settles all of them while four sweepers run; returns how many replies came too late.
    private func race(_ fixture: StoreFixture, _ held: [(Term, ArmedTurn)]) async throws -> Int {
        try await withThrowingTaskGroup(of: Int.self) { group in
            for (term, turn) in held {
                group.addTask {
                    let settled = try await fixture.store.settle(fixture.settlement(turn, "reply"), fence: term.fence)
                    return settled.value == nil ? 1 : 0
                }
            }
            for _ in 0..<4 {
                group.addTask {
                    _ = try await fixture.store.sweepOverdue(grace: .zero, limit: 1_000)
                    return 0
                }
            }
            return try await group.reduce(0, +)
        }
    }
}
