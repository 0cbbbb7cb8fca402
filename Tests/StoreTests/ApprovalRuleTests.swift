import Domain
import Postgres
import Store
import Testing

@Suite("Standing rules for questions")
struct ApprovalRuleTests {
    private static let options = [
        ApprovalOption(id: "always", name: "Always", kind: "allow_always"),
        ApprovalOption(id: "once", name: "Once", kind: "allow_once"),
        ApprovalOption(id: "no", name: "No", kind: "reject_once"),
        ApprovalOption(id: "never", name: "Never", kind: "reject_always"),
    ]

    private func question(
        _ arguments: JSONValue? = ["path": "x"],
        tool: String = "touch",
        options: [ApprovalOption] = Self.options
    ) -> ApprovalQuestion {
        ApprovalQuestion(
            id: freshID(),
            tool: ApprovalTool(id: "t-1", name: tool),
            arguments: arguments,
            options: options,
            lifetimeSeconds: 60
        )
    }

    private func rule(
        _ fixture: StoreFixture,
        _ effect: ApprovalEffect,
        _ tool: String,
        _ arguments: JSONValue? = nil,
        agent: AgentID? = nil
    ) async throws -> ApprovalRule {
        try await fixture.tenant.makeRule(
            freshID(),
            agent: agent,
            tool: tool,
            arguments: arguments,
            effect: effect,
            reason: "because",
            by: freshID()
        )
    }

    private func always(
        _ fixture: StoreFixture,
        _ question: ApprovalQuestion,
        _ effect: ApprovalEffect
    ) async throws -> ApprovalDecision? {
        try await fixture.store.tenant(fixture.org).decideApproval(
            question.id,
            option: effect == .allow ? "always" : "never",
            always: effect,
            rule: freshID(),
            of: fixture.agent.text,
            tool: question.tool.name,
            reason: nil,
            by: freshID()
        )
    }

    @Test("a rule decides what it fits and is recorded with it; everything else is for people, or the agent's policy")
    func deciding() async throws {
        let fixture = try await StoreFixture.make()
        let (term, turn, _) = try await fixture.hold("c")
        let allow = try await self.rule(fixture, .allow, "touch", ["path": "x"])
        _ = try await self.rule(fixture, .deny, "rm*")
        let allowed = self.question()
        #expect(try await fixture.ask(allowed, turn, term.fence)?.decision == "once")
        let record = try #require(try await fixture.tenant.approval(allowed.id))
        #expect(record.state == .decided && record.rule == allow.id && record.decidedBy == nil)
        #expect(record.decidedAt != nil)
        let denied = try await fixture.ask(self.question(tool: "rm -rf"), turn, term.fence, policy: .allow)
        #expect(denied?.decision == "no", "a rule comes before the policy")
        #expect(try await fixture.ask(self.question(["path": "y"]), turn, term.fence)?.state == .pending)
        #expect(try await fixture.ask(self.question(["path": "y"]), turn, term.fence, policy: .allow) == nil)
        let bare = self.question(options: [Self.options[0], Self.options[2]])
        #expect(try await fixture.ask(bare, turn, term.fence)?.state == .pending, "nothing for this once is offered")
        let events = try await fixture.tenant.events(
            term.fence.conversation,
            after: 0,
            turn: nil,
            limit: 100,
            bytes: 1 << 20
        )
        let resolved = try #require(events.first { $0.type == "approval.resolved" })
        #expect(resolved.data.contains(allow.id.text) && resolved.data.contains(#""path":"x""#))
        #expect(events.filter { $0.type == "approval.requested" }.count == 2, "what is decided is put to nobody")
        #expect(try await fixture.tenant.deleteRule(allow.id))
        #expect(try await !fixture.tenant.deleteRule(allow.id))
        #expect(try await fixture.ask(self.question(), turn, term.fence)?.state == .pending)
        #expect(try await fixture.tenant.approval(allowed.id)?.rule == allow.id, "the record outlives the rule")
    }

    @Test("a tool that a rule leaves to people is asked for each time, whatever is allowed")
    func humanOnly() async throws {
        let fixture = try await StoreFixture.make()
        let (term, turn, _) = try await fixture.hold("c")
        _ = try await self.rule(fixture, .allow, "*")
        _ = try await self.rule(fixture, .ask, "touch", agent: fixture.agent)
        let question = self.question()
        #expect(try await fixture.ask(question, turn, term.fence, policy: .allow)?.state == .pending)
        let record = try #require(try await fixture.tenant.approval(question.id))
        #expect(try await fixture.tenant.asksPeople(record))
        #expect(try await fixture.ask(self.question(tool: "read"), turn, term.fence)?.state == .decided)
    }

    @Test("a rule that cannot be read asks people, and never allows")
    func unreadable() async throws {
        let fixture = try await StoreFixture.make()
        let (term, turn, _) = try await fixture.hold("c")
        let rule = try await self.rule(fixture, .allow, "touch")
        _ = try await fixture.pool.query(
            "ALTER TABLE turnpike.approval_rules DROP CONSTRAINT approval_rules_effect_check"
        )
        _ = try await fixture.pool.query("UPDATE turnpike.approval_rules SET effect = 'maybe'")
        for policy in [PermissionPolicy.ask, .allow] {
            #expect(try await fixture.ask(self.question(), turn, term.fence, policy: policy)?.state == .pending)
        }
        // Whole to PostgreSQL, and too large a number for this program.
        _ = try await fixture.pool.query(
            """
            UPDATE turnpike.approval_rules SET effect = 'allow', arguments = '{"path":1e999}'
            WHERE rule = \(rule.id.text)::uuid
            """
        )
        #expect(try await fixture.ask(self.question(), turn, term.fence, policy: .allow)?.state == .pending)
    }

    @Test(
        "an option for always makes one rule and decides all open questions like it in the same transaction, no others"
    )
    func siblings() async throws {
        let fixture = try await StoreFixture.make()
        let (first, turn, _) = try await fixture.hold("c")
        let (second, other, _) = try await fixture.hold("d")
        let question = self.question()
        let (twin, sibling) = (self.question(), self.question())
        let (unlike, bare) = (self.question(["path": "y"]), self.question(options: [Self.options[0]]))
        for one in [question, twin] { _ = try await fixture.ask(one, turn, first.fence) }
        for one in [sibling, unlike, bare] { _ = try await fixture.ask(one, other, second.fence) }
        let decided = try #require(try await self.always(fixture, question, .allow))
        #expect(decided.won && decided.record.decision == "always")
        #expect(Set(decided.others.map(\.id)) == [twin.id, sibling.id])
        for one in [twin, sibling] {
            let record = try #require(try await fixture.tenant.approval(one.id))
            #expect(record.decision == "once" && record.rule == decided.record.rule && record.decidedBy != nil)
        }
        for one in [unlike, bare] {
            #expect(try await fixture.tenant.approval(one.id)?.state == .pending)
        }
        let rules = try await fixture.tenant.rules(after: nil, limit: 10)
        #expect(rules.map(\.effect) == [.allow] && rules.first?.argumentsHash == decided.record.argumentsHash)
        #expect(try await fixture.ask(self.question(), other, second.fence)?.decision == "once")
        #expect(try await fixture.ask(self.question(["path": "z"]), other, second.fence)?.state == .pending)
        let late = try await self.always(fixture, question, .deny)
        #expect(late?.won == false && late?.record.decision == "always", "the loser learns the winner")
        #expect(try await fixture.tenant.rules(after: nil, limit: 10).map(\.effect) == [.allow], "and makes no rule")
        let noted = try await fixture.tenant.audit(before: .max, limit: 100).filter { $0.action == "rule.create" }
        #expect(noted.map(\.subject) == rules.map(\.id.text))
        #expect(
            try await fixture.count(
                """
                SELECT count(*) FROM (
                    SELECT c.id FROM turnpike.conversations c JOIN turnpike.events e ON e.conversation_id = c.id
                    GROUP BY c.id HAVING count(*) <> c.last_event
                ) gaps
                """
            ) == 0
        )
    }

    @Test("no question stays open beside a rule that is made of a decision at the same moment, 50 times")
    func racing() async throws {
        let fixture = try await StoreFixture.make(poolSize: 8)
        let (first, turn, _) = try await fixture.hold("c")
        let (second, other, _) = try await fixture.hold("d")
        for round in 0..<50 {
            let arguments: JSONValue = ["round": .integer(Int64(round))]
            let (question, late) = (self.question(arguments), self.question(arguments))
            _ = try await fixture.ask(question, turn, first.fence)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    let decided = try await self.always(fixture, question, .allow)
                    #expect(decided?.won == true)
                }
                group.addTask { _ = try await fixture.ask(late, other, second.fence) }
                try await group.waitForAll()
            }
            let record = try await fixture.tenant.approval(late.id)
            #expect(record?.state == .decided && record?.decision == "once", "round \(round)")
        }
    }

    @Test("rules are one organization's, and another's are as good as none")
    func isolation() async throws {
        let fixture = try await StoreFixture.make()
        let (term, turn, _) = try await fixture.hold("c")
        let other = try OrganizationID("other")
        try await fixture.store.ensureOrganization(other)
        let stranger = fixture.store.tenant(other)
        let theirs = try await stranger.makeRule(
            freshID(),
            agent: nil,
            tool: "*",
            arguments: nil,
            effect: .allow,
            reason: nil,
            by: freshID()
        )
        #expect(try await fixture.ask(self.question(), turn, term.fence)?.state == .pending)
        #expect(try await fixture.tenant.rules(after: nil, limit: 10).isEmpty)
        #expect(try await !fixture.tenant.deleteRule(theirs.id))
        #expect(try await !fixture.store.hasRules(org: fixture.org, agent: fixture.agent))
        #expect(try await fixture.store.hasRules(org: other, agent: fixture.agent))
    }
}
