import Domain
import Postgres
import Store
import Testing

@Suite("Questions of workers")
struct ApprovalTests {
    private static let options = [
        ApprovalOption(id: "always", name: "Always", kind: "allow_always"),
        ApprovalOption(id: "once", name: "Once", kind: "allow_once"),
        ApprovalOption(id: "no", name: "No", kind: "reject_once"),
    ]

    private func question(_ arguments: JSONValue? = ["path": "x"], lifetimeSeconds: Int = 60) -> ApprovalQuestion {
        ApprovalQuestion(
            id: freshID(),
            tool: ApprovalTool(id: "t-1", name: "touch"),
            arguments: arguments,
            options: Self.options,
            lifetimeSeconds: lifetimeSeconds
        )
    }

    private func ask(
        _ question: ApprovalQuestion,
        _ turn: ArmedTurn,
        _ fixture: StoreFixture,
        _ fence: Fence
    ) async throws -> ApprovalStanding? {
        try await fixture.ask(question, turn, fence)
    }

    private func types(_ fixture: StoreFixture, _ fence: Fence) async throws -> [String] {
        try await fixture.tenant.events(fence.conversation, after: 0, turn: nil, limit: 100, bytes: 1 << 20).map(\.type)
    }

    private func makeLate(_ id: ApprovalID, _ fixture: StoreFixture) async throws {
        _ = try await fixture.pool.query(
            """
            UPDATE turnpike.approvals
            SET asked_at = now() - interval '2 hours', expires_at = now() - interval '1 hour'
            WHERE approval = \(id.text)::uuid
            """
        )
    }

    @Test("a question is stored with its event, asked twice is one, and decided once with who, what and why")
    func deciding() async throws {
        let fixture = try await StoreFixture.make()
        let (term, turn, _) = try await fixture.hold("c")
        // A text that jsonb could not hold.
        let question = self.question(["text": "a\u{0}b"])
        let asked = try #require(try await self.ask(question, turn, fixture, term.fence))
        #expect(asked == ApprovalStanding(id: question.id, state: .pending, decision: nil))
        #expect(try await self.ask(question, turn, fixture, term.fence) == asked)
        let listed = try await fixture.tenant.approvals(state: .pending, after: nil, limit: 10)
        #expect(listed.map(\.id) == [question.id])
        #expect(listed.first?.options == Self.options && listed.first?.tool == question.tool)
        #expect(listed.first?.arguments == #"{"text":"a\u0000b"}"#)
        let token: TokenID = freshID()
        let first = try await fixture.tenant.decideApproval(question.id, option: "once", reason: "fine", by: token)
        #expect(first?.won == true && first?.wakes == false)
        let second = try #require(
            try await fixture.tenant.decideApproval(question.id, option: "no", reason: nil, by: freshID())
        )
        #expect(!second.won && second.record.decision == "once")
        #expect(second.record.decidedBy == token.text && second.record.reason == "fine")
        #expect(try await fixture.store.approvalStanding(question.id)?.decision == "once")
        #expect(
            try await self.types(fixture, term.fence)
                == ["turn.queued", "turn.started", "approval.requested", "approval.resolved"]
        )
        #expect(try await fixture.tenant.approvals(state: .pending, after: nil, limit: 10).isEmpty)
        #expect(try await fixture.tenant.approvals(state: .decided, after: nil, limit: 10).count == 1)
        #expect(try await fixture.tenant.approvals(state: nil, after: question.id, limit: 10).isEmpty)
    }

    @Test("two decisions at the same moment on two replicas have one winner, and both learn it, 100 times")
    func racing() async throws {
        let fixture = try await StoreFixture.make(poolSize: 8)
        let (term, turn, _) = try await fixture.hold("c")
        for round in 0..<100 {
            let question = self.question(["round": .integer(Int64(round))])
            _ = try await self.ask(question, turn, fixture, term.fence)
            let results = try await withThrowingTaskGroup(of: (String, Bool, String?).self) { group in
                for option in ["once", "no"] {
                    group.addTask {
                        let tenant = fixture.store.tenant(fixture.org)
                        let result = try await tenant.decideApproval(
                            question.id,
                            option: option,
                            reason: nil,
                            by: freshID()
                        )
                        return (option, result?.won ?? false, result?.record.decision)
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            let winners = results.filter(\.1)
            #expect(winners.count == 1)
            #expect(results.allSatisfy { $0.2 == winners.first?.0 }, "the loser learns the winner's decision")
        }
        let types = try await self.types(fixture, term.fence)
        #expect(types.filter { $0 == "approval.resolved" }.count <= 100)
        #expect(
            try await fixture.count("SELECT count(*) FROM turnpike.events WHERE type = 'approval.resolved'") == 100
        )
    }

    @Test("a question that nobody decided in time expires, which is no decision")
    func expiring() async throws {
        let fixture = try await StoreFixture.make()
        let (term, turn, _) = try await fixture.hold("c")
        let question = self.question()
        _ = try await self.ask(question, turn, fixture, term.fence)
        #expect(try await fixture.store.expireApproval(question.id)?.state == .pending, "not before its time")
        try await self.makeLate(question.id, fixture)
        #expect(try await fixture.tenant.approval(question.id)?.state == .expired)
        let late = try #require(
            try await fixture.tenant.decideApproval(question.id, option: "once", reason: nil, by: freshID())
        )
        #expect(!late.won && late.record.state == .expired && late.record.decision == nil)
        for _ in 0..<2 { #expect(try await fixture.store.expireApproval(question.id)?.state == .expired) }
        let types = try await self.types(fixture, term.fence)
        #expect(types.filter { $0 == "approval.resolved" }.count == 1)
    }

    @Test("whatever ends or cancels the turn withdraws its open questions")
    func withdrawing() async throws {
        let fixture = try await StoreFixture.make()
        let endings: [(String, (Term, ArmedTurn) async throws -> Void)] = [
            ("settled", { _ = try await fixture.store.settle(fixture.settlement($1, "x"), fence: $0.fence) }),
            ("cancelled", { _ = try await fixture.tenant.cancel($1.id) }),
            (
                "swept",
                { _, turn in
                    _ = try await fixture.pool.query(
                        """
                        UPDATE turnpike.markers SET hard_deadline = now() - interval '1 hour'
                        WHERE turn = \(turn.id.text)::uuid
                        """
                    )
                    _ = try await fixture.store.sweepOverdue(grace: .zero, limit: 10)
                }
            ),
        ]
        for (name, end) in endings {
            let (term, turn, _) = try await fixture.hold(name)
            let question = self.question()
            _ = try await self.ask(question, turn, fixture, term.fence)
            try await end(term, turn)
            #expect(try await fixture.tenant.approval(question.id)?.state == .withdrawn, "\(name)")
            let late = try await fixture.tenant.decideApproval(question.id, option: "once", reason: nil, by: freshID())
            #expect(late?.won == false && late?.record.state == .withdrawn, "\(name)")
        }
        let (term, turn, _) = try await fixture.hold("deleted")
        let question = self.question()
        _ = try await self.ask(question, turn, fixture, term.fence)
        _ = try await fixture.tenant.delete(fixture.agent, try ConversationID("deleted"))
        #expect(try await fixture.tenant.approval(question.id) == nil)
        #expect(try await self.ask(self.question(), turn, fixture, term.fence) == nil, "the asker is fenced off")
    }

    @Test("a retried turn that asks the very same gets the question of its dead run, with its decision, once")
    func retrying() async throws {
        let fixture = try await StoreFixture.make()
        let (term, turn, deployment) = try await fixture.hold("c")
        let (first, open) = (self.question(), self.question(["path": "y"]))
        _ = try await self.ask(first, turn, fixture, term.fence)
        _ = try await self.ask(open, turn, fixture, term.fence)
        _ = try await fixture.store.requeue(
            turn: turn.id,
            fence: term.fence,
            events: [],
            code: .workerExited,
            message: "exit 1"
        )
        // The worker is dead and its turn waits; the decision counts all the same.
        let decided = try await fixture.tenant.decideApproval(first.id, option: "once", reason: nil, by: freshID())
        #expect(decided?.won == true)
        let again = try #require(try await fixture.store.arm(fixture.handOver(term, deployment)))
        let answer = try await self.ask(self.question(), again, fixture, term.fence)
        #expect(answer == ApprovalStanding(id: first.id, state: .decided, decision: "once"))
        #expect(try await self.ask(self.question(["path": "y"]), again, fixture, term.fence)?.id == open.id)
        let other = self.question()
        #expect(try await self.ask(other, again, fixture, term.fence)?.id == other.id, "a second use asks again")
        // In the next run a poll, or a try whose answer was lost, asks again what was taken over.
        let third = self.question(["path": "z"])
        _ = try await self.ask(third, again, fixture, term.fence)
        let polled = self.question(["path": "z"])
        _ = try await fixture.store.requeue(
            turn: turn.id,
            fence: term.fence,
            events: [],
            code: .workerExited,
            message: "exit 1"
        )
        let last = try #require(try await fixture.store.arm(fixture.handOver(term, deployment)))
        for _ in 0..<2 { #expect(try await self.ask(polled, last, fixture, term.fence)?.id == third.id) }
        _ = try await fixture.tenant.decideApproval(third.id, option: "once", reason: nil, by: freshID())
        #expect(try await self.ask(polled, last, fixture, term.fence)?.decision == "once")
        #expect(try await fixture.count("SELECT count(*) FROM turnpike.approvals") == 4, "nobody was asked twice")
    }

    @Test("another organization neither sees nor decides a question")
    func isolation() async throws {
        let fixture = try await StoreFixture.make()
        let (term, turn, _) = try await fixture.hold("c")
        let question = self.question()
        _ = try await self.ask(question, turn, fixture, term.fence)
        let other = try OrganizationID("other")
        try await fixture.store.ensureOrganization(other)
        let stranger = fixture.store.tenant(other)
        #expect(try await stranger.approval(question.id) == nil)
        #expect(try await stranger.approvals(state: nil, after: nil, limit: 10).isEmpty)
        #expect(try await stranger.decideApproval(question.id, option: "once", reason: nil, by: freshID()) == nil)
        #expect(try await fixture.tenant.approval(question.id)?.state == .pending)
    }

    @Test("allow and deny pick the first option for this once, never one for always")
    func choosing() {
        #expect(ApprovalWish("allow").choice(of: Self.options) == "once")
        #expect(ApprovalWish("deny").choice(of: Self.options) == "no")
        #expect(ApprovalWish("always").choice(of: Self.options) == "always")
        #expect(ApprovalWish("other").choice(of: Self.options) == nil)
        let odd = [ApprovalOption(id: "allow", name: "Allow", kind: "allow_always")]
        #expect(ApprovalWish("allow").choice(of: odd) == nil)
        #expect(ApprovalWish("deny").choice(of: odd) == "deny")
    }
}
