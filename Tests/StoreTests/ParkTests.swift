import Domain
import Foundation
import Postgres
import Store
import Testing

@Suite("Parking turns")
struct ParkTests {
    private func call(_ name: String, idempotent: Bool = false) -> ParkedCall {
        ParkedCall(
            call: name,
            tool: ApprovalTool(id: name, name: "call"),
            arguments: ["name": .string(name)],
            options: ParkedCall.plainOptions,
            isIdempotent: idempotent
        )
    }

    private func questions(_ calls: [ParkedCall]) -> [ApprovalQuestion] {
        let ids: [ApprovalID] = calls.map { _ in freshID() }.sorted { $0.text < $1.text }
        return zip(ids, calls).map { id, call in
            ApprovalQuestion(
                id: id,
                tool: call.tool,
                arguments: call.arguments,
                options: call.options,
                lifetimeSeconds: 60
            )
        }
    }

    /// Parks a turn that waits for `names`; its questions, in that order.
    private func park(
        _ turn: ArmedTurn,
        _ fence: Fence,
        _ names: String...,
        idempotent: Bool = false,
        policy: PermissionPolicy = .ask,
        in fixture: StoreFixture
    ) async throws -> (parked: Parked?, questions: [ApprovalQuestion]) {
        let calls = names.map { self.call($0, idempotent: idempotent) }
        let questions = self.questions(calls)
        var parking = Parking(continuation: [0, 1, 255], calls: calls)
        parking.said = "so far"
        let parked = try await fixture.store.park(
            parking,
            questions: questions,
            turn: turn.id,
            org: fixture.org,
            agent: fixture.agent,
            policy: policy,
            fence: fence,
            events: [.delta(text: "so far")],
            rounds: 2
        )
        return (parked.value, questions)
    }

    private func release(_ term: Term, _ deployment: DeploymentID, _ fixture: StoreFixture) async throws {
        #expect(try await fixture.store.release(term.fence, deployment: deployment, ending: "parked"))
    }

    private func begin(_ number: ConversationNumber, _ fixture: StoreFixture) async throws -> (Term, DeploymentID)? {
        let deployment: DeploymentID = freshID()
        let term = try await fixture.store.beginTerm(
            number,
            nonce: freshID(),
            replica: fixture.replica,
            deployment: deployment,
            limits: AgentLimits()
        )
        return term.map { ($0, deployment) }
    }

    @discardableResult
    private func decide(
        _ question: ApprovalQuestion,
        _ option: String,
        _ fixture: StoreFixture
    ) async throws -> ApprovalDecision? {
        try await fixture.tenant.decideApproval(question.id, option: option, reason: nil, by: freshID())
    }

    @Test("a turn that has parked since somebody looked neither fails nor moves for want of an account")
    func late() async throws {
        let fixture = try await StoreFixture.make()
        let (term, turn, deployment) = try await fixture.hold("c")
        let number = term.fence.conversation
        let (parked, questions) = try await self.park(turn, term.fence, "a", in: fixture)
        #expect(parked == .waits)
        try await self.release(term, deployment, fixture)
        let store = fixture.store
        #expect(try await !store.failQueued(number, turn: turn.id, code: .accountUnavailable, message: "x"))
        let account: AccountID = freshID()
        try await fixture.pool.query("UPDATE turnpike.conversations SET owner_account = \(account.text)::uuid")
        #expect(try await !store.migrate(number, turn: turn.id, from: account))
        #expect(try await self.decide(questions[0], "allow", fixture)?.wakes == true)
        #expect(try await fixture.tenant.turn(turn.id)?.state == .queued)
    }

    @Test("a turn that parks again and again without anybody to ask ends; a question begins the count anew")
    func endless() async throws {
        let fixture = try await StoreFixture.make()
        var (term, turn, deployment) = try await fixture.hold("c")
        let number = term.fence.conversation
        func goOn() async throws {
            try await self.release(term, deployment, fixture)
            (term, deployment) = try #require(try await self.begin(number, fixture))
            turn = try #require(term.armed)
        }
        for name in ["a", "b"] {
            #expect(try await self.park(turn, term.fence, name, policy: .allow, in: fixture).parked == .goesOn)
            try await goOn()
        }
        #expect(try await self.park(turn, term.fence, "c", policy: .allow, in: fixture).parked == .endless)
        let (parked, questions) = try await self.park(turn, term.fence, "d", in: fixture)
        #expect(parked == .waits)
        #expect(try await self.decide(questions[0], "allow", fixture)?.wakes == true)
        try await goOn()
        #expect(try await self.park(turn, term.fence, "e", policy: .allow, in: fixture).parked == .goesOn)
    }

    @Test("all runs of a turn that parks have one time to run together, and waiting for people is not part of it")
    func time() async throws {
        let fixture = try await StoreFixture.make()
        var (term, turn, deployment) = try await fixture.hold("c")
        let number = term.fence.conversation
        func goOn(after seconds: Int, _ name: String, policy: PermissionPolicy) async throws {
            try await fixture.pool.query(
                "UPDATE turnpike.turns SET started_at = started_at - \(seconds)::integer * interval '1 second'"
            )
            let (parked, questions) = try await self.park(turn, term.fence, name, policy: policy, in: fixture)
            try await self.release(term, deployment, fixture)
            if parked == .waits {
                try await fixture.pool.query("UPDATE turnpike.parks SET parked_at = parked_at - interval '1 hour'")
                try await self.decide(questions[0], "allow", fixture)
            }
            (term, deployment) = try #require(try await self.begin(number, fixture))
            turn = try #require(term.armed)
        }
        /// How long it has run, and how long it still may, to within what this test takes.
        func expect(ran: Int, left: Int, _ what: Comment) async throws {
            let found = try await fixture.count(
                """
                SELECT extract(epoch FROM hard_deadline - now())::bigint AS count FROM turnpike.markers
                """
            )
            #expect(abs(Double(found - left)) <= 30, what)
            let told = try #require(turn.ran)
            #expect((Duration.seconds(ran)...Duration.seconds(ran + 30)).contains(told), what)
        }
        try await goOn(after: 200, "a", policy: .ask)
        try await expect(ran: 200, left: 400, "an hour's wait does not count")
        try await goOn(after: 300, "b", policy: .allow)
        try await expect(ran: 500, left: 100, "one that asks nobody counts as well")
        let store = fixture.store
        _ = try await store.requeue(turn: turn.id, fence: term.fence, events: [], code: .workerExited, message: "")
        turn = try #require(try await store.arm(fixture.handOver(term, deployment)))
        try await expect(ran: 500, left: 100, "a run that goes on after a death has what was left")
        #expect(try await store.sweepOverdue(grace: .zero, limit: 10).isEmpty)
        try await goOn(after: 200, "c", policy: .allow)
        try await expect(ran: 700, left: -100, "nothing is left")
        #expect(try await store.sweepOverdue(grace: .zero, limit: 10).map(\.code) == [.deadlineExceeded])
    }

    @Test("a parked turn owes no marker, is claimed by nobody, and whoever had claimed before finds nothing to do")
    func contender() async throws {
        let fixture = try await StoreFixture.make()
        let (term, turn, deployment) = try await fixture.hold("c")
        let number = term.fence.conversation
        let (parked, questions) = try await self.park(turn, term.fence, "a", "b", in: fixture)
        #expect(parked == .waits)
        #expect(try await fixture.store.isParked(turn.id, by: term.fence))
        #expect(try await fixture.count("SELECT count(*) FROM turnpike.markers") == 0)
        #expect(try await fixture.tenant.turn(turn.id)?.state == .parked)
        let later = try await fixture.accept("c")
        #expect(later.ahead == 1)
        #expect(try await fixture.store.arm(fixture.handOver(term, deployment)) == nil)
        try await self.release(term, deployment, fixture)
        #expect(try await fixture.claimAll().isEmpty, "neither it nor what is behind it")
        let (stale, staleDeployment) = try #require(try await self.begin(number, fixture))
        #expect(stale.armed == nil, "the contender skips")
        #expect(try await self.decide(questions[0], "deny", fixture)?.wakes == false)
        #expect(try await self.decide(questions[1], "allow", fixture)?.wakes == true, "under another's term, too")
        try await self.release(stale, staleDeployment, fixture)
        #expect(try await fixture.claimAll().map(\.next?.id) == [turn.id])
        let (next, _) = try #require(try await self.begin(number, fixture))
        let armed = try #require(next.armed)
        #expect(armed.id == turn.id && armed.isResumed && armed.attempt == 1)
        let resumption = try #require(try await fixture.store.resumption(turn.id, fence: next.fence).value)
        #expect(resumption.continuation == [0, 1, 255] && resumption.said == "so far")
        #expect(resumption.calls.map(\.call) == ["a", "b"] && resumption.calls.map(\.isAllowed) == [false, true])
        #expect(try await fixture.store.resumption(turn.id, fence: term.fence).value == nil, "an old term gets nothing")
    }

    @Test("an old fence parks nothing, a cancelled turn is not parked, and a name that is used twice parks nothing")
    func refusals() async throws {
        let fixture = try await StoreFixture.make()
        let (term, turn, _) = try await fixture.hold("c")
        let wrong = Fence(conversation: term.fence.conversation, epoch: term.fence.epoch, nonce: freshID())
        #expect(try await self.park(turn, wrong, "a", in: fixture).parked == nil)
        await #expect(throws: PostgresError.self) { _ = try await self.park(turn, term.fence, "a", "a", in: fixture) }
        _ = try await fixture.tenant.cancel(turn.id)
        #expect(try await self.park(turn, term.fence, "a", in: fixture).parked == .cancelled)
        #expect(try await fixture.count("SELECT count(*) FROM turnpike.markers") == 1, "it is owed its outcome")
        #expect(try await fixture.count("SELECT count(*) FROM turnpike.calls") == 0)
        #expect(try await fixture.tenant.turn(turn.id)?.state == .running)
    }

    @Test("a call begins once, in the term that it was granted to, and only when it was allowed")
    func calls() async throws {
        let fixture = try await StoreFixture.make()
        let store = fixture.store
        let (term, turn, deployment) = try await fixture.hold("c")
        let (_, questions) = try await self.park(turn, term.fence, "a", "b", "c", in: fixture)
        try await self.release(term, deployment, fixture)
        for (question, option) in zip(questions, ["allow", "deny", "allow"]) {
            try await self.decide(question, option, fixture)
        }
        let (second, _) = try #require(try await self.begin(term.fence.conversation, fixture))
        func start(_ call: String, _ fence: Fence, _ arguments: JSONValue? = nil) async throws -> CallVerdict {
            try await store.startCall(call, arguments: arguments, turn: turn.id, fence: fence)
        }
        #expect(try await start("a", term.fence) == .fenced)
        #expect(try await start("b", second.fence) == .refused("denied"))
        #expect(try await start("nothing", second.fence) == .refused("unknown call"))
        #expect(try await start("a", second.fence, ["name": "b"]) == .refused("changed arguments"))
        #expect(try await store.endCall("a", result: nil, turn: turn.id, fence: second.fence) == .refused("pending"))
        for _ in 0..<2 {
            #expect(try await start("a", second.fence, ["name": "a"]) == .granted, "a lost answer is repeated")
        }
        for _ in 0..<2 {
            #expect(try await store.endCall("a", result: ["n": 1], turn: turn.id, fence: second.fence) == .granted)
        }
        #expect(try await start("a", second.fence) == .refused("done"))
        #expect(try await start("c", second.fence) == .granted)
        _ = try await store.requeue(turn: turn.id, fence: second.fence, events: [], code: .workerExited, message: "")
        let third = try #require(try await store.arm(fixture.handOver(second, deployment)))
        #expect(third.attempt == 2 && third.isResumed)
        // As in a later term.
        _ = try await fixture.pool.query("UPDATE turnpike.conversations SET epoch = epoch + 1")
        _ = try await fixture.pool.query("UPDATE turnpike.markers SET epoch = epoch + 1")
        let fence = Fence(
            conversation: second.fence.conversation,
            epoch: second.fence.epoch + 1,
            nonce: second.fence.nonce
        )
        let resumption = try #require(try await store.resumption(turn.id, fence: fence).value)
        #expect(resumption.calls.map(\.state) == [.done, .pending, .unknown])
        #expect(resumption.calls.first?.result == ["n": 1])
        #expect(try await start("c", fence) == .refused("unknown"))
        let types = try await fixture.tenant.events(
            fence.conversation,
            after: 0,
            turn: nil,
            limit: 100,
            bytes: 1 << 20
        ).map(\.type)
        #expect(types.filter { $0 == "call" }.count == 4, "a started, a done, c started, c unknown: \(types)")
    }

    @Test("a sweep of parked turns wakes no more of them, and forgets what no more of them had left, than it was told")
    func bounded() async throws {
        let fixture = try await StoreFixture.make()
        var turns: [TurnID] = []
        for name in ["c", "d", "e"] {
            let (term, turn, deployment) = try await fixture.hold(name)
            _ = try await self.park(turn, term.fence, "a", in: fixture)
            try await self.release(term, deployment, fixture)
            turns.append(turn.id)
        }
        // As if the transactions that answered had not woken them.
        _ = try await fixture.pool.query("UPDATE turnpike.approvals SET state = 'expired', decided_at = now()")
        for count in [2, 1, 0] { #expect(try await fixture.store.sweepParked(limit: 2).count == count) }
        for turn in turns { _ = try await fixture.tenant.cancel(turn) }
        for count in [1, 0] {
            _ = try await fixture.store.sweepParked(limit: 2)
            #expect(try await fixture.count("SELECT count(*) FROM turnpike.parks") == count)
        }
    }

    @Test("a turn that was parked and then waits for a worker in vain keeps what it had said")
    func givenUp() async throws {
        let fixture = try await StoreFixture.make()
        let (term, turn, deployment) = try await fixture.hold("c")
        let number = term.fence.conversation
        #expect(try await self.park(turn, term.fence, "a", policy: .allow, in: fixture).parked == .goesOn)
        try await self.release(term, deployment, fixture)
        #expect(try await fixture.store.failQueued(number, turn: turn.id, code: .leaseTimeout, message: "x"))
        let outcome = try await fixture.tenant.turn(turn.id)?.outcome
        #expect(outcome?.reply == "so far" && outcome?.code == "lease_timeout")
        let events = try await fixture.tenant.events(number, after: 0, turn: nil, limit: 100, bytes: 1 << 20)
        let last = try JSONDecoder().decode(JSONValue.self, from: Data(#require(events.last).data.utf8))
        #expect(last == ["code": "lease_timeout", "message": "x", "partial": "so far"])
    }

    @Test("a sweep that ends a turn keeps what its last run said and went on from, and nothing of runs before")
    func swept() async throws {
        let fixture = try await StoreFixture.make()
        let (term, turn, deployment) = try await fixture.hold("c")
        let (store, fence) = (fixture.store, term.fence)
        func say(_ text: String, _ turn: ArmedTurn, _ fence: Fence) async throws {
            _ = try await store.append([.delta(text: text)], turn: turn.id, fence: fence, progressSeconds: 300)
        }
        try await say("dead ", turn, fence)
        _ = try await store.requeue(turn: turn.id, fence: fence, events: [], code: .workerExited, message: "")
        let second = try #require(try await store.arm(fixture.handOver(term, deployment)))
        try await say("second", second, fence)
        _ = try await fixture.pool.query("UPDATE turnpike.markers SET hard_deadline = now() - interval '1 hour'")
        #expect(try await store.sweepOverdue(grace: .zero, limit: 10).map(\.turn) == [turn.id])
        #expect(try await fixture.tenant.turn(turn.id)?.outcome?.reply == "second")

        let (before, parked, first) = try await fixture.hold("parked")
        let (_, questions) = try await self.park(parked, before.fence, "a", in: fixture)
        try await self.release(before, first, fixture)
        try await self.decide(questions[0], "allow", fixture)
        let (after, _) = try #require(try await self.begin(before.fence.conversation, fixture))
        try await say(", and more", parked, after.fence)
        _ = try await fixture.pool.query("UPDATE turnpike.markers SET hard_deadline = now() - interval '1 hour'")
        #expect(try await store.sweepOverdue(grace: .zero, limit: 10).map(\.turn) == [parked.id])
        #expect(try await fixture.tenant.turn(parked.id)?.outcome?.reply == "so far, and more")
        #expect(
            try await fixture.count(
                "SELECT count(*) FROM turnpike.events WHERE data ->> 'partial' = 'so far, and more'"
            ) == 1
        )
    }

    @Test("a sweep expires what is overdue, wakes the turn once nothing is open, and forgets what ended turns left")
    func sweeping() async throws {
        let fixture = try await StoreFixture.make()
        let (term, turn, deployment) = try await fixture.hold("c")
        let (_, questions) = try await self.park(turn, term.fence, "a", "b", in: fixture)
        try await self.release(term, deployment, fixture)
        #expect(try await fixture.store.sweepParked(limit: 10).isEmpty)
        _ = try await fixture.pool.query(
            """
            UPDATE turnpike.approvals
            SET asked_at = now() - interval '2 hours', expires_at = now() - interval '1 hour'
            WHERE approval = \(questions[0].id.text)::uuid
            """
        )
        #expect(try await fixture.store.sweepParked(limit: 10) == [term.fence.conversation])
        #expect(try await fixture.claimAll().isEmpty, "one question is open")
        #expect(try await fixture.tenant.approval(questions[0].id)?.state == .expired)
        try await self.decide(questions[1], "allow", fixture)
        #expect(try await fixture.claimAll().count == 1)
        #expect(try await fixture.count("SELECT count(*) FROM turnpike.parks") == 1)
        _ = try await fixture.tenant.cancel(turn.id)
        #expect(try await fixture.tenant.turn(turn.id)?.outcome?.reply == "so far")
        _ = try await fixture.store.sweepParked(limit: 10)
        #expect(try await fixture.count("SELECT count(*) FROM turnpike.parks") == 0)
    }
}
