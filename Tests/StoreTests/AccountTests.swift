import Domain
import Postgres
import Store
import TestKit
import Testing

@Suite("Accounts in PostgreSQL")
struct AccountTests {
    private static let provider = "example"

    /// A fixture whose agent needs an account.
    private static func fixture(_ policy: AbsencePolicy = .fail, grace: Int = 60) async throws -> StoreFixture {
        let fixture = try await StoreFixture.make()
        try await Self.need(fixture, policy, grace: grace)
        return fixture
    }

    private static func need(_ fixture: StoreFixture, _ policy: AbsencePolicy, grace: Int = 60) async throws {
        var configuration = AgentConfiguration(driver: .acp, command: ["agent"], storeMode: .snapshot)
        var need = AccountNeed(provider: Self.provider)
        (need.onAbsence, need.graceSeconds) = (policy, grace)
        configuration.account = need
        _ = try await fixture.tenant.put(fixture.agent, configuration)
    }

    private func register(
        _ fixture: StoreFixture,
        _ principal: String,
        label: String? = nil,
        slots: Int? = nil
    ) async throws -> AccountRegistration {
        try await fixture.tenant.register(
            provider: ProviderID(Self.provider),
            principal: principal,
            label: label,
            pool: nil,
            slots: slots
        )
    }

    private func account(_ fixture: StoreFixture, _ principal: String, slots: Int? = nil) async throws -> AccountID {
        switch try await self.register(fixture, principal, slots: slots) {
        case .made(let record), .known(let record): record.id
        case .labelTaken: throw FixtureError.noTerm
        }
    }

    private func hosting(_ fixture: StoreFixture, _ principal: String, slots: Int = 1) throws -> AccountHosting {
        AccountHosting(
            identity: AccountIdentity(
                org: fixture.org,
                provider: try ProviderID(Self.provider),
                principal: principal
            ),
            slots: slots
        )
    }

    /// A replica with a record, as after its first beat.
    private func replica(_ fixture: StoreFixture) async throws -> ReplicaID {
        let replica: ReplicaID = freshID()
        try await fixture.store.beat(replica, label: "r", version: "t", workers: 0, draining: false)
        return replica
    }

    private func hold(
        _ fixture: StoreFixture,
        _ claim: Claim,
        as account: AccountID?
    ) async throws -> (term: Term, deployment: DeploymentID)? {
        let deployment: DeploymentID = freshID()
        let term = try await fixture.store.beginTerm(
            claim.number,
            nonce: freshID(),
            replica: fixture.replica,
            deployment: deployment,
            account: account,
            limits: AgentLimits()
        )
        return term.map { ($0, deployment) }
    }

    /// Claims as a replica with room for these accounts does.
    private func claim(_ fixture: StoreFixture, _ accounts: AccountID...) async throws -> [Claim] {
        try await fixture.store.claim(limit: 100, hold: .zero, acting: accounts)
    }

    /// Performs the conversation's next turn as `account` to this outcome, and lets the conversation go.
    private func perform(
        _ fixture: StoreFixture,
        _ conversation: String,
        as account: AccountID,
        _ outcome: Outcome = .completed(Reply(text: "done", stopReason: "end_turn"))
    ) async throws {
        try await fixture.accept(conversation)
        let claim = try #require(
            try await self.claim(fixture, account).first { $0.conversation?.text == conversation },
            "\(conversation) is claimed"
        )
        let (term, deployment) = try #require(try await self.hold(fixture, claim, as: account))
        let armed = try #require(term.armed)
        let settlement = Settlement(
            turn: armed.id,
            seq: armed.seq,
            outcome: outcome,
            parent: term.head,
            snapshot: nil,
            events: []
        )
        #expect(try await fixture.store.settle(settlement, fence: term.fence).value != nil)
        #expect(try await fixture.store.release(term.fence, deployment: deployment, ending: "finished"))
    }

    private func owner(_ fixture: StoreFixture, _ conversation: String) async throws -> AccountID? {
        try await fixture.tenant.conversation(fixture.agent, ConversationID(conversation))?.account
    }

    // MARK: - Identity

    @Test("one identity under two labels is one account, and one label for two identities is refused")
    func identity() async throws {
        let fixture = try await Self.fixture()
        guard case .made(let first) = try await self.register(fixture, "seat-1", label: "one") else {
            Issue.record("the first registration makes the account")
            return
        }
        guard case .known(let again) = try await self.register(fixture, "seat-1", label: "uno") else {
            Issue.record("the second finds it")
            return
        }
        #expect(again.id == first.id && again.labels == ["one", "uno"])
        #expect(try await self.register(fixture, "seat-2", label: "one") == .labelTaken)
        #expect(try await fixture.tenant.accounts().map(\.identity.principal) == ["seat-1"])
        // A label of another organization is another label.
        let other = try OrganizationID("other")
        try await fixture.store.ensureOrganization(other)
        let there = try await fixture.store.tenant(other).register(
            provider: ProviderID(Self.provider),
            principal: "seat-1",
            label: "one",
            pool: nil,
            slots: nil
        )
        guard case .made(let foreign) = there else {
            Issue.record("another organization has accounts of its own")
            return
        }
        #expect(foreign.id != first.id)
        #expect(try await fixture.tenant.account(foreign.id) == nil)
        // Removed and registered again it is the same account.
        #expect(try await fixture.tenant.deleteAccount(first.id))
        #expect(try await self.account(fixture, "seat-1") == first.id)
        #expect(try await self.register(fixture, "seat-2", label: "one") != .labelTaken, "the label is free again")
    }

    @Test("of 16 registrations of two identities under one label at once, exactly one identity gets it")
    func labelRace() async throws {
        let fixture = try await StoreFixture.make(poolSize: 8)
        let won = try await withThrowingTaskGroup(of: String?.self) { group in
            for number in 0..<16 {
                group.addTask {
                    let principal = "seat-\(number % 2)"
                    switch try await self.register(fixture, principal, label: "shared") {
                    case .labelTaken: return nil
                    case .made(let record), .known(let record): return record.identity.principal
                    }
                }
            }
            return try await group.reduce(into: Set<String>()) { if let name = $1 { $0.insert(name) } }
        }
        #expect(won.count == 1)
        #expect(try await fixture.count("SELECT count(*) FROM turnpike.account_labels") == 1)
    }

    // MARK: - Affinity

    @Test("the first completed turn stamps the owner; a failed one counts and does not")
    func stamp() async throws {
        let fixture = try await Self.fixture()
        let (a, b) = (try await self.account(fixture, "a"), try await self.account(fixture, "b"))
        try await self.perform(fixture, "c", as: a, .failed(.workerExited, message: "m", partial: ""))
        #expect(try await self.owner(fixture, "c") == nil)
        #expect(try await fixture.tenant.conversation(fixture.agent, ConversationID("c"))?.lastTurn == 1)
        try await self.perform(fixture, "c", as: b)
        #expect(try await self.owner(fixture, "c") == b)
        // Only there from now on, and never another's, even if somebody tries.
        try await fixture.accept("c")
        #expect(try await self.claim(fixture, a).isEmpty)
        let claim = try #require(try await self.claim(fixture, a, b).first)
        #expect(claim.owner == b)
        #expect(try await self.hold(fixture, claim, as: a) == nil)
        #expect(try await self.hold(fixture, claim, as: b) != nil)
        #expect(try await self.owner(fixture, "c") == b)
    }

    @Test("a turn that was submitted before its conversation had an owner runs on the owner's account too")
    func earlySecondTurn() async throws {
        let fixture = try await Self.fixture()
        let (a, b) = (try await self.account(fixture, "a"), try await self.account(fixture, "b"))
        try await fixture.accept("c", text: "one")
        try await fixture.accept("c", text: "two")
        let claim = try #require(try await self.claim(fixture, a).first)
        let (term, deployment) = try #require(try await self.hold(fixture, claim, as: a))
        let first = try #require(term.armed)
        #expect(try await fixture.store.settle(fixture.settlement(first, "1"), fence: term.fence).value != nil)
        #expect(try await fixture.store.release(term.fence, deployment: deployment, ending: "finished"))
        #expect(try await self.claim(fixture, b).isEmpty)
        #expect(try await self.claim(fixture, a).map(\.owner) == [a])
    }

    @Test("nothing queues behind a pinned turn, and fresh turns and pinned ones take turns by their age")
    func order() async throws {
        let fixture = try await Self.fixture()
        let (a, b) = (try await self.account(fixture, "a"), try await self.account(fixture, "b"))
        for number in 0..<5 { try await self.perform(fixture, "a-\(number)", as: a) }
        try await self.perform(fixture, "b-0", as: b)
        for number in 0..<5 { try await fixture.accept("a-\(number)") }
        try await fixture.accept("fresh-1")
        try await fixture.accept("b-0")
        try await fixture.accept("fresh-2")
        var order: [String] = []
        for _ in 0..<4 {
            let claims = try await fixture.store.claim(limit: 1, hold: .seconds(60), acting: [b])
            order += claims.compactMap(\.conversation?.text)
        }
        #expect(order == ["fresh-1", "b-0", "fresh-2"])
    }

    @Test("an agent without an account is claimed by everybody, whatever accounts there are")
    func unaffected() async throws {
        let fixture = try await StoreFixture.make()
        try await fixture.accept("c")
        let claims = try await self.claim(fixture)
        #expect(claims.count == 1 && claims.first?.owner == nil)
        let (term, _) = try #require(try await self.hold(fixture, claims[0], as: nil))
        let armed = try #require(term.armed)
        #expect(try await fixture.store.settle(fixture.settlement(armed, "1"), fence: term.fence).value != nil)
        #expect(try await self.owner(fixture, "c") == nil)
    }

    @Test("a fork belongs to the account of the conversation it was made of")
    func fork() async throws {
        let fixture = try await Self.fixture()
        let a = try await self.account(fixture, "a")
        try await fixture.accept("c")
        let claim = try #require(try await self.claim(fixture, a).first)
        let (term, _) = try #require(try await self.hold(fixture, claim, as: a))
        let settlement = fixture.settlement(
            try #require(term.armed),
            "1",
            snapshot: SnapshotUpdate(kind: .base, format: .blob, body: [1])
        )
        #expect(try await fixture.store.settle(settlement, fence: term.fence).value != nil)
        let made = try await fixture.tenant.fork(
            fixture.agent,
            ConversationID("c"),
            from: nil,
            to: ConversationID("d")
        )
        #expect(made == .made)
        #expect(try await self.owner(fixture, "d") == a)
    }

    @Test("of 24 terms on an account with 3 slots that begin at once, exactly 3 do, on whatever replicas")
    func slots() async throws {
        let fixture = try await StoreFixture.make(poolSize: 8)
        try await Self.need(fixture, .fail)
        let account = try await self.account(fixture, "a", slots: 3)
        for number in 0..<24 { try await fixture.accept("c-\(number)") }
        let claims = try await self.claim(fixture, account)
        #expect(claims.count == 24)
        let held = try await withThrowingTaskGroup(of: (Term, DeploymentID)?.self) { group in
            for claim in claims {
                group.addTask { try await self.hold(fixture, claim, as: account).map { ($0.term, $0.deployment) } }
            }
            return try await group.reduce(into: [(Term, DeploymentID)]()) { if let one = $1 { $0.append(one) } }
        }
        #expect(held.count == 3)
        #expect(try await !fixture.store.hasFreeSlot(account))
        // A slot is free again once its conversation is.
        let (term, deployment) = held[0]
        let armed = try #require(term.armed)
        #expect(try await fixture.store.settle(fixture.settlement(armed, "1"), fence: term.fence).value != nil)
        #expect(try await fixture.store.release(term.fence, deployment: deployment, ending: "finished"))
        #expect(try await fixture.store.hasFreeSlot(account))
        #expect(try await fixture.tenant.account(account)?.held == 2)
    }

    @Test("an account serves its own organization's conversations only, owner or not")
    func foreign() async throws {
        let fixture = try await Self.fixture()
        let other = try OrganizationID("other")
        try await fixture.store.ensureOrganization(other)
        let tenant = fixture.store.tenant(other)
        let provider = try ProviderID(Self.provider)
        _ = try await tenant.register(provider: provider, principal: "seat-1", label: nil, pool: nil, slots: nil)
        let foreign = try #require(try await tenant.accounts().first)
        let own = try await self.account(fixture, "seat-1")
        try await fixture.accept("c")
        #expect(try await self.claim(fixture, foreign.id).isEmpty)
        let claim = try #require(try await self.claim(fixture, own).first)
        #expect(try await self.hold(fixture, claim, as: foreign.id) == nil)
        // Not even where the row says that it is theirs.
        try await fixture.pool.query("UPDATE turnpike.conversations SET owner_account = \(foreign.id.text)::uuid")
        #expect(try await self.claim(fixture, foreign.id, own).isEmpty)
        #expect(try await self.hold(fixture, claim, as: foreign.id) == nil)
        try await fixture.pool.query("UPDATE turnpike.conversations SET owner_account = NULL")
        #expect(try await self.hold(fixture, claim, as: own) != nil)
    }

    // MARK: - Presence and absence

    @Test("a dead replica hosts nothing, a draining one as little, and one that comes back says it again")
    func presence() async throws {
        let fixture = try await Self.fixture()
        _ = try await self.account(fixture, "a")
        let replica = try await self.replica(fixture)
        let hosted = try await fixture.store.host(
            [self.hosting(fixture, "a", slots: 2), self.hosting(fixture, "unknown")],
            on: replica
        )
        #expect(hosted.map(\.identity.principal) == ["a"] && hosted.map(\.slots) == [2])
        try await fixture.accept("c")
        #expect(try await fixture.store.absences(limit: 10).isEmpty)
        try await fixture.store.beat(replica, label: "r", version: "t", workers: 0, draining: true)
        #expect(try await fixture.store.absences(limit: 10).count == 1)
        try await fixture.store.beat(replica, label: "r", version: "t", workers: 0, draining: false)
        #expect(try await fixture.store.absences(limit: 10).isEmpty)
        #expect(try await fixture.store.forget(replica))
        #expect(try await fixture.count("SELECT count(*) FROM turnpike.account_hosts") == 0)
        #expect(try await fixture.store.absences(limit: 10).count == 1)
        try await fixture.store.beat(replica, label: "r", version: "t", workers: 0, draining: false)
        _ = try await fixture.store.host([self.hosting(fixture, "a", slots: 3)], on: replica)
        #expect(try await fixture.store.absences(limit: 10).isEmpty)
        _ = try await fixture.store.host([], on: replica)
        #expect(try await fixture.store.absences(limit: 10).count == 1)
    }

    @Test("a wait is told once with its deadline, counts only from look to look, and ends when a term begins")
    func waiting() async throws {
        let fixture = try await Self.fixture(.fail, grace: 60)
        let a = try await self.account(fixture, "a")
        try await self.perform(fixture, "c", as: a)
        try await fixture.accept("c")
        let seen = try #require(try await fixture.store.absences(limit: 10).first)
        #expect(seen.owner == a && seen.absence.sinceLook == nil && !seen.hasOther)
        let begin = AbsenceNote(conversation: seen, counted: .zero, begins: true)
        #expect(try await fixture.store.note([begin]).count == 1)
        // Another replica that had looked at the same time is late.
        #expect(try await fixture.store.note([begin]).isEmpty)
        let again = try #require(try await fixture.store.absences(limit: 10).first)
        #expect(!seen.isTold && again.isTold)
        #expect(again.absence.sinceLook.map { $0 < .seconds(20) } == true)
        let more = AbsenceNote(conversation: again, counted: .seconds(7), begins: false)
        #expect(try await fixture.store.note([more]).isEmpty)
        #expect(try await fixture.store.absences(limit: 10).first?.absence.counted == .seconds(7))
        let deadline: Query = """
            SELECT count(*) FROM turnpike.events
            WHERE type = 'waiting_account' AND (data ->> 'deadline')::timestamptz BETWEEN at + interval '59 s'
                AND at + interval '61 s' AND data ->> 'account' = \(a.text)::text
            """
        #expect(try await fixture.count(deadline) == 1)
        let waiting = try await fixture.tenant.turns(seen.number, before: .max, limit: 1, bytes: 1 << 20)
        #expect(waiting.first?.deferredFor?.contains("waiting_account") == true)
        let claim = try #require(try await self.claim(fixture, a).first)
        #expect(try await self.hold(fixture, claim, as: a) != nil)
        let left: Query = "SELECT count(*) FROM turnpike.conversations WHERE absent_at IS NOT NULL"
        #expect(try await fixture.count(left) == 0)
    }

    @Test("a migration frees the conversation for another account, says so, and the next success stamps that one")
    func migration() async throws {
        let fixture = try await Self.fixture(.migrate)
        let (a, b) = (try await self.account(fixture, "a"), try await self.account(fixture, "b"))
        try await self.perform(fixture, "c", as: a)
        let intake = try await fixture.accept("c")
        let turn = try #require(intake.turn)
        let replica = try await self.replica(fixture)
        _ = try await fixture.store.host([self.hosting(fixture, "b")], on: replica)
        #expect(try await fixture.store.absences(limit: 10).map(\.hasOther) == [true])
        #expect(try await fixture.store.migrate(intake.number, turn: turn, from: b) == false, "it is not b's")
        #expect(try await fixture.store.migrate(intake.number, turn: turn, from: a))
        #expect(try await fixture.store.migrate(intake.number, turn: turn, from: a) == false, "once")
        let told: Query = """
            SELECT count(*) FROM turnpike.events WHERE type = 'account.migrated' AND data ->> 'from' = \(a.text)::text
            """
        #expect(try await fixture.count(told) == 1)
        let claim = try #require(try await self.claim(fixture, b).first)
        let (term, _) = try #require(try await self.hold(fixture, claim, as: b))
        let armed = try #require(term.armed)
        #expect(try await fixture.store.settle(fixture.settlement(armed, "2"), fence: term.fence).value != nil)
        #expect(try await self.owner(fixture, "c") == b)
    }
}
