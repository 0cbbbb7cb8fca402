import Domain
import Postgres
import Store
import Testing

@Suite("Holding a conversation")
struct HoldingTests {
    @Test("a conversation is claimed once, oldest first, and comes back when its claim runs out")
    func claiming() async throws {
        let fixture = try await StoreFixture.make()
        for name in ["a", "b", "c"] { try await fixture.accept(name) }
        let first = try await fixture.store.claim(limit: 2, hold: .seconds(10))
        #expect(first.compactMap(\.conversation?.text) == ["a", "b"] || first.count == 2)
        let rest = try await fixture.claimAll()
        #expect(rest.compactMap(\.conversation?.text) == ["c"])
        _ = try await fixture.pool.query("UPDATE turnpike.conversations SET ready_at = now() - interval '1 second'")
        #expect(try await fixture.claimAll().count == 3)
    }

    @Test("an agent that this version cannot read holds up no other agent's claims")
    func unreadableAgent() async throws {
        let fixture = try await StoreFixture.make()
        let strange = try AgentID("strange")
        _ = try await fixture.tenant.put(
            strange,
            AgentConfiguration(driver: .acp, command: ["agent"], storeMode: .snapshot)
        )
        _ = try await fixture.pool.query(
            """
            UPDATE turnpike.agents SET configuration = configuration || '{"from_the_future": 1}'
            WHERE agent = 'strange'
            """
        )
        var submission = try fixture.submission("c")
        submission.agent = strange
        _ = try await fixture.store.accept(submission)
        try await fixture.accept("c")
        let claims = try await fixture.claimAll()
        #expect(claims.count == 2)
        #expect(claims.first { $0.agent == strange }?.agentConfiguration == nil)
        #expect(claims.first { $0.agent == fixture.agent }?.agentConfiguration != nil)
    }

    @Test("16 claimers share 200 conversations without claiming one twice")
    func skipLocked() async throws {
        let fixture = try await StoreFixture.make(poolSize: 8)
        for index in 0..<200 { try await fixture.accept("c\(index)") }
        let claimed = try await withThrowingTaskGroup(of: [ConversationNumber].self) { group in
            for _ in 0..<16 {
                group.addTask {
                    var mine: [ConversationNumber] = []
                    while case let batch = try await fixture.store.claim(limit: 7, hold: .seconds(60)), !batch.isEmpty {
                        mine += batch.map(\.number)
                    }
                    return mine
                }
            }
            return try await group.reduce(into: []) { $0 += $1 }
        }
        #expect(Set(claimed).count == claimed.count)
        // A claimer that found everything locked may have stopped early; nothing may be lost by that.
        let rest = try await fixture.claimAll().map(\.number)
        #expect(Set(claimed + rest).count == 200)
    }

    @Test("a term begins with a new epoch, and the old fence writes nothing any more")
    func fencing() async throws {
        let fixture = try await StoreFixture.make()
        let (old, turn, _) = try await fixture.hold("c")
        _ = try await fixture.store.takeOver(from: fixture.replica)
        try await fixture.accept("c")
        let new = try #require(
            try await fixture.store.beginTerm(
                old.fence.conversation,
                nonce: freshID(),
                replica: freshID(),
                deployment: freshID(),
                limits: AgentLimits()
            )
        )
        #expect(new.fence.epoch > old.fence.epoch)
        let late = try await fixture.store.settle(fixture.settlement(turn, "late"), fence: old.fence)
        #expect(late.value == nil)
        let appended = try await fixture.store.append(
            [.delta(text: "x")],
            turn: turn.id,
            fence: old.fence,
            progressSeconds: 1
        )
        #expect(appended.value == nil)
        #expect(try await fixture.store.release(old.fence, deployment: freshID(), ending: "x") == false)
        let requeued = try await fixture.store.requeue(
            turn: turn.id,
            fence: old.fence,
            events: [],
            code: .workerExited,
            message: ""
        )
        #expect(requeued.value == nil)
    }

    @Test("a turn comes with its marker's hard deadline, and so does one whose hand-over was not heard of")
    func hardDeadline() async throws {
        let fixture = try await StoreFixture.make()
        let (term, turn, _) = try await fixture.hold("c")
        #expect(turn.remaining == .seconds(AgentLimits().turnSeconds))
        _ = try await fixture.pool.query("UPDATE turnpike.markers SET hard_deadline = now() + interval '100 seconds'")
        let found = try #require(try await fixture.store.runningTurn(term.fence)?.remaining)
        #expect(found > .seconds(60) && found <= .seconds(100))
    }

    @Test("the epoch alone or the nonce alone does not pass for a fence")
    func bothHalves() async throws {
        let fixture = try await StoreFixture.make()
        let (term, turn, _) = try await fixture.hold("c")
        let number = term.fence.conversation
        let wrongNonce = Fence(conversation: number, epoch: term.fence.epoch, nonce: freshID())
        let wrongEpoch = Fence(conversation: number, epoch: term.fence.epoch + 1, nonce: term.fence.nonce)
        for fence in [wrongNonce, wrongEpoch] {
            #expect(try await fixture.store.settle(fixture.settlement(turn, "no"), fence: fence).value == nil)
            #expect(
                try await fixture.store.arm(
                    HandOver(
                        fence: fence,
                        deployment: freshID(),
                        replica: freshID(),
                        turnSeconds: 1,
                        progressSeconds: 1
                    )
                ) == nil
            )
        }
        #expect(try await fixture.store.settle(fixture.settlement(turn, "yes"), fence: term.fence).value != nil)
    }

    @Test("an owned conversation cannot be taken, and one turn runs at a time")
    func exclusion() async throws {
        let fixture = try await StoreFixture.make()
        let (term, _, deployment) = try await fixture.hold("c")
        try await fixture.accept("c")
        #expect(try await fixture.claimAll().isEmpty)
        let second = try await fixture.store.beginTerm(
            term.fence.conversation,
            nonce: freshID(),
            replica: freshID(),
            deployment: freshID(),
            limits: AgentLimits()
        )
        #expect(second == nil)
        #expect(try await fixture.store.arm(fixture.handOver(term, deployment)) == nil)
        #expect(try await fixture.store.release(term.fence, deployment: deployment, ending: "x") == false)
    }

    @Test("a released conversation is ready at once when turns wait, and not at all when none do")
    func releasing() async throws {
        let fixture = try await StoreFixture.make()
        let (term, turn, deployment) = try await fixture.hold("c")
        try await fixture.accept("c")
        _ = try await fixture.store.settle(fixture.settlement(turn, "one"), fence: term.fence)
        #expect(try await fixture.store.release(term.fence, deployment: deployment, ending: "idle"))
        #expect(try await fixture.claimAll().count == 1)
        let (other, otherTurn, otherDeployment) = try await fixture.hold("d")
        _ = try await fixture.store.settle(fixture.settlement(otherTurn, "one"), fence: other.fence)
        #expect(try await fixture.store.release(other.fence, deployment: otherDeployment, ending: "idle"))
        #expect(try await fixture.claimAll().isEmpty)
    }

    @Test("what is put back waits, spends no attempt and keeps counting from its first deferral")
    func puttingBack() async throws {
        let fixture = try await StoreFixture.make()
        try await fixture.accept("c")
        let claim = try #require(try await fixture.claimAll().first)
        let next = try #require(claim.next)
        #expect(next.deferredFor == nil)
        try await fixture.store.putBack(claim.number, turn: next.id, reason: "busy", delay: .milliseconds(1))
        var again: Claim?
        while again == nil { again = try await fixture.claimAll().first }
        #expect(again?.next?.deferredFor != nil)
        let record = try #require(try await fixture.tenant.turn(next.id))
        #expect(record.attempt == 0 && record.deferredFor == "busy" && record.state == .queued)
        #expect(again?.next?.reason == "busy")
        try await fixture.pool.query("UPDATE turnpike.turns SET deferred_since = now() - interval '1 hour'")
        try await fixture.store.putBack(
            claim.number,
            turn: next.id,
            reason: "other",
            delay: .zero,
            beginsAnew: true
        )
        let anew = try #require(try await fixture.claimAll().first?.next)
        #expect(anew.deferredFor.map { $0 < .seconds(60) } == true && anew.reason == "other")
        try await fixture.store.putBack(claim.number, turn: next.id, reason: "busy", delay: .seconds(60))
        #expect(try await fixture.claimAll().isEmpty)
    }

    @Test("a turn given up in the queue gets its outcome, an event and a dead letter, once")
    func givingUp() async throws {
        let fixture = try await StoreFixture.make()
        let intake = try await fixture.accept("c")
        try await fixture.accept("c")
        let turn = try #require(intake.turn)
        #expect(try await fixture.store.failQueued(intake.number, turn: turn, code: .guardRefused, message: "no key"))
        #expect(
            try await fixture.store.failQueued(intake.number, turn: turn, code: .guardRefused, message: "x") == false
        )
        let record = try #require(try await fixture.tenant.turn(turn))
        #expect(record.outcome?.code == "guard_refused" && record.outcome?.message == "no key")
        #expect(try await fixture.store.deadLetters(limit: 10).map(\.turn) == [turn])
        let events = try await fixture.tenant.events(intake.number, after: 0, turn: turn, limit: 10, bytes: 1 << 20)
        #expect(events.map(\.type) == ["turn.queued", "turn.failed"])
        #expect(try await fixture.claimAll().count == 1)
    }

    @Test("terms that their replica does not know of are found and taken back, and newer ones left alone")
    func strays() async throws {
        let fixture = try await StoreFixture.make()
        let (known, _, _) = try await fixture.hold("known")
        let (idle, settled, _) = try await fixture.hold("idle")
        _ = try await fixture.store.settle(fixture.settlement(settled, "x"), fence: idle.fence)
        let (busy, running, _) = try await fixture.hold("busy")
        _ = try await fixture.hold("foreign", replica: freshID())
        let found = try await fixture.store.strays(of: fixture.replica, beside: [known.fence.conversation])
        #expect(Set(found) == [idle.fence, busy.fence])
        let old = Fence(conversation: known.fence.conversation, epoch: known.fence.epoch, nonce: freshID())
        let swept = try await fixture.store.takeBack([old] + found)
        #expect(swept.map(\.turn) == [running.id] && swept.first?.code == .replicaLost)
        let open: Query = "SELECT count(*) FROM turnpike.deployments WHERE ended_at IS NULL"
        #expect(try await fixture.count(open) == 2, "of the known one and of the foreign one")
        #expect(try await fixture.store.strays(of: fixture.replica, beside: []) == [known.fence])
        try await fixture.accept("idle")
        #expect(try await fixture.claimAll().compactMap(\.conversation?.text) == ["idle"])
    }

    @Test("the poll of an owner finds waiting turns, cancellations and lost fences")
    func inspecting() async throws {
        let fixture = try await StoreFixture.make()
        let (waiting, turn, _) = try await fixture.hold("waiting")
        _ = try await fixture.store.settle(fixture.settlement(turn, "x"), fence: waiting.fence)
        try await fixture.accept("waiting")
        let (cancelling, running, _) = try await fixture.hold("cancelling")
        guard case .requested = try await fixture.tenant.cancel(running.id) else {
            Issue.record("the cancellation of a running turn was not requested")
            return
        }
        let (quiet, _, _) = try await fixture.hold("quiet")
        let lost = Fence(conversation: quiet.fence.conversation, epoch: 99, nonce: freshID())
        let states = try await fixture.store.inspect([waiting.fence, cancelling.fence, quiet.fence])
        #expect(states.count == 2)
        #expect(states.first { $0.number == waiting.fence.conversation }?.isWaiting == true)
        #expect(states.first { $0.number == cancelling.fence.conversation }?.isCancelling == true)
        #expect(try await fixture.store.inspect([lost]).first?.isHeld == false)
    }
}
