import Domain
import Postgres
import Testing

@testable import Store

@Suite("The audit log")
struct AuditTests {
    private static let actor = Actor(name: "token:someone", request: "r-1")

    /// The actions of the fixture's organization, oldest first.
    private func actions(_ fixture: WallFixture) async throws -> [String] {
        try await fixture.owner.audit(before: .max, limit: 100).map(\.action).reversed()
    }

    /// Changes what is configured beside agents, everything twice.
    private func configure(_ fixture: WallFixture, _ tenant: TenantStore) async throws {
        for _ in 0..<2 { _ = try await tenant.deleteRule(fixture.rule) }
        for slots in [nil, nil, 3, 3] {
            let provider = try ProviderID("p")
            _ = try await tenant.register(provider: provider, principal: "us", label: "ours", pool: nil, slots: slots)
        }
        for _ in 0..<2 { _ = try await tenant.deleteLabel(WallFixture.label, of: fixture.account) }
        for _ in 0..<2 { _ = try await tenant.deleteAccount(fixture.account) }
        try await tenant.set(Quota(organizationTurns: 7))
        try await tenant.setCeiling(Quota(organizationTurns: 9))
        for isPaused in [true, true, false, false] {
            let next: Int64? = isPaused ? nil : 4_000_000_000
            _ = try await tenant.pause(WallFixture.schedule, isPaused, next: next)
        }
        let plan = try WallFixture.plan("y")
        _ = try await tenant.put(WallFixture.schedule, plan, next: 4_000_000_000, submitter: fixture.token, atMost: 10)
        for _ in 0..<2 { _ = try await tenant.deleteSchedule(WallFixture.schedule) }
    }

    private func redrive(_ fixture: WallFixture) async throws {
        let (intake, store) = (try await fixture.victim.accept("lost"), fixture.victim.store)
        let lost = try #require(intake.turn)
        _ = try await store.failQueued(intake.number, turn: lost, code: .guardRefused, message: "no")
        for _ in 0..<2 { _ = try await store.redrive(lost, as: freshID(), queueLimit: 10, by: Self.actor) }
    }

    @Test("every change is there with who, what and when; what changes nothing is not")
    func changes() async throws {
        let fixture = try await WallFixture.make()
        let (store, agent) = (fixture.victim.store, fixture.victim.agent)
        let tenant = store.tenant(fixture.victim.org, by: Self.actor)
        let before = try await self.actions(fixture)
        #expect(
            before == [
                "organization.create", "agent.put", "token.create", "rule.create", "schedule.put", "account.register",
            ]
        )
        try await store.ensureOrganization(fixture.victim.org)
        let other = AgentConfiguration(driver: .acp, command: ["other"], storeMode: .snapshot)
        for _ in 0..<2 { _ = try await tenant.put(agent, other) }
        let session: TokenID = freshID()
        let hashes = (UInt8(20)..<23).map { [UInt8](repeating: $0, count: 32) }
        _ = try await tenant.createToken(
            session,
            name: "s",
            hash: hashes[0],
            scopes: [.turns],
            lifetime: .seconds(60),
            parent: fixture.token
        )
        _ = try await tenant.rotateToken(fixture.token, hash: hashes[1], overlap: .seconds(60), within: everything)
        for _ in 0..<2 { #expect(try await tenant.revokeToken(fixture.token)) }
        let late = try await tenant.rotateToken(fixture.token, hash: hashes[2], overlap: .zero, within: everything)
        #expect(late == .missing)
        for _ in 0..<2 {
            _ = try await tenant.decideApproval(fixture.approval, option: "once", reason: nil, by: fixture.token)
        }
        let copy = try ConversationID("copy")
        for _ in 0..<2 { _ = try await tenant.fork(agent, fixture.conversation, from: nil, to: copy) }
        for _ in 0..<2 {
            let turn = ImportedTurn(id: freshID(), input: TurnInput(text: "x"), reply: "y")
            _ = try await tenant.importConversation(agent, try ConversationID("old"), turns: [turn], owner: nil)
        }
        for _ in 0..<2 { _ = try await tenant.pruneSnapshots(agent, fixture.conversation, keepTurns: 0) }
        for _ in 0..<2 { _ = try await tenant.deleteResponse(fixture.queued) }
        for _ in 0..<2 { _ = try await tenant.deleteThread(fixture.thread) }
        for _ in 0..<2 { _ = try await tenant.delete(agent, fixture.conversation) }
        for _ in 0..<2 { _ = try await tenant.deleteAgent(agent) }
        try await self.configure(fixture, tenant)
        try await store.beat(fixture.victim.replica, label: "r", version: "1", workers: 0, draining: false)
        try await self.redrive(fixture)
        #expect(try await store.askToDrain(fixture.victim.replica, by: Self.actor))
        let entries = try await tenant.audit(before: .max, limit: 100)
        #expect(
            entries.map(\.action).reversed().dropFirst(before.count) == [
                "agent.put", "session.open", "token.rotate", "token.revoke", "approval.decide", "conversation.fork",
                "conversation.import", "snapshots.prune", "response.delete", "thread.delete", "conversation.delete",
                "agent.delete",
                "rule.delete", "account.register", "account.register", "label.delete", "account.delete", "quota.set",
                "ceiling.set", "schedule.pause", "schedule.resume", "schedule.put", "schedule.delete",
            ]
        )
        let mine = entries.prefix(entries.count - before.count)
        #expect(mine.allSatisfy { $0.actor == "token:someone" && $0.request == "r-1" && $0.org == "victim" })
        #expect(mine.first { $0.action == "conversation.fork" }?.subject == "echo/c")
        #expect(mine.first { $0.action == "conversation.import" }?.subject == "echo/old")
        #expect(mine.first { $0.action == "conversation.fork" }?.details == #"{"conversation":"copy"}"#)
        let all = try await store.audit(of: nil, before: .max, limit: 100)
        #expect(all.first?.action == "replica.drain" && all.first?.org == nil)
        #expect(all.count { $0.action == "dead_letter.redrive" && $0.org == nil } == 1)
        #expect(Set(all.map(\.action)) == Set(AuditAction.allCases.map(\.rawValue)))
        #expect(all.map(\.id) == all.map(\.id).sorted(by: >))
        let page = try await store.audit(of: nil, before: all[2].id, limit: 2)
        #expect(page.map(\.id) == all[3...4].map(\.id))
    }

    @Test("a change that cannot be noted is not made")
    func together() async throws {
        let fixture = try await WallFixture.make()
        try await fixture.victim.pool.query("REVOKE INSERT ON turnpike.audit FROM turnpike_tenant")
        let agent = try AgentID("new")
        let configuration = AgentConfiguration(driver: .acp, command: ["x"], storeMode: .none)
        await #expect(throws: PostgresError.self) { try await fixture.owner.put(agent, configuration) }
        #expect(try await fixture.owner.agent(agent) == nil)
        await #expect(throws: PostgresError.self) {
            try await fixture.owner.delete(fixture.victim.agent, fixture.conversation)
        }
        #expect(try await fixture.owner.log(fixture.victim.agent, fixture.conversation)?.isDeleted == false)
    }

    @Test(
        "the log is added to and read; neither a tenant nor the gateway changes it",
        arguments: ["tenant", "gateway"]
    )
    func appendOnly(_ role: String) async throws {
        let fixture = try await WallFixture.make()
        for statement in [
            "DELETE FROM turnpike.audit", "UPDATE turnpike.audit SET actor = 'me'", "TRUNCATE turnpike.audit",
        ] {
            let error = await #expect(throws: PostgresError.self) {
                try await fixture.victim.pool.pipeline([
                    Query(
                        unescaped:
                            "SELECT set_config('role', 'turnpike_\(role)', true), set_config('turnpike.org', 'x', true)"
                    ),
                    Query(unescaped: statement),
                ])
            }
            #expect(error?.sqlState == "42501")
        }
    }
}

/// Of a token that allows everything and does not end.
let everything = TokenBounds(scopes: Set(Scope.allCases))

@Suite("Tokens and organizations")
struct TokenTests {
    private static func hash(_ number: UInt8) -> [UInt8] { [UInt8](repeating: number, count: 32) }

    @Test("a rotated token has two secrets until the overlap is over, and its sessions go with the old one")
    func rotation() async throws {
        let fixture = try await StoreFixture.make()
        let (store, tenant) = (fixture.store, fixture.tenant)
        let (token, session): (TokenID, TokenID) = (freshID(), freshID())
        _ = try await tenant.createToken(token, name: "t", hash: Self.hash(1), scopes: [.turns], lifetime: nil)
        _ = try await tenant.createToken(
            session,
            name: "s",
            hash: Self.hash(2),
            scopes: [.turns],
            lifetime: .seconds(600),
            parent: token
        )
        let none = try await tenant.rotateToken(session, hash: Self.hash(9), overlap: .zero, within: everything)
        #expect(none == .missing)
        let rotated = try await tenant.rotateToken(
            token,
            hash: Self.hash(3),
            overlap: .seconds(600),
            within: everything
        )
        guard case .rotated(let record) = rotated else { throw FixtureError.noTerm }
        #expect(record.id == token && record.expiresAt == nil)
        let both = try await store.grants(hashes: [Self.hash(1), Self.hash(3), Self.hash(4)])
        #expect(both.mapValues(\.token) == [Self.hash(1): token, Self.hash(3): token])
        #expect(try await store.grant(hash: Self.hash(2))?.token == session)
        // Only the newest two are good, and without an overlap one.
        _ = try await tenant.rotateToken(token, hash: Self.hash(4), overlap: .zero, within: everything)
        #expect(try await store.grant(hash: Self.hash(1)) == nil)
        #expect(try await store.grant(hash: Self.hash(3)) == nil)
        #expect(try await store.grant(hash: Self.hash(4))?.token == token)
        #expect(try await store.grant(hash: Self.hash(2)) == nil)
        #expect(try await tenant.revokeToken(token))
        #expect(try await store.grant(hash: Self.hash(4)) == nil)
    }

    @Test("a token beyond its caller's bounds keeps its secret, its scopes and its end")
    func bounds() async throws {
        let fixture = try await StoreFixture.make()
        let (store, tenant) = (fixture.store, fixture.tenant)
        let (lasting, brief): (TokenID, TokenID) = (freshID(), freshID())
        _ = try await tenant.createToken(
            lasting,
            name: "l",
            hash: Self.hash(1),
            scopes: [.turns, .operator],
            lifetime: nil
        )
        _ = try await tenant.createToken(
            brief,
            name: "b",
            hash: Self.hash(2),
            scopes: [.turns],
            lifetime: .seconds(600)
        )
        let end = try #require(try await store.grant(hash: Self.hash(2))?.expiresAt)
        func rotate(_ token: TokenID, _ hash: UInt8, _ bounds: TokenBounds) async throws -> TokenRotation {
            try await tenant.rotateToken(token, hash: Self.hash(hash), overlap: .zero, within: bounds)
        }
        let administrators: Set<Scope> = [.turns, .agents, .admin]
        #expect(try await rotate(lasting, 8, TokenBounds(scopes: administrators)) == .allowsMore)
        let brieflyAll = TokenBounds(scopes: Set(Scope.allCases), notAfter: end)
        #expect(try await rotate(lasting, 8, brieflyAll) == .outlives)
        #expect(try await rotate(brief, 8, TokenBounds(scopes: administrators, notAfter: end - 1)) == .outlives)
        let grants = try await store.grants(hashes: [1, 2, 8].map(Self.hash))
        #expect(grants.mapValues(\.token) == [Self.hash(1): lasting, Self.hash(2): brief])
        #expect(grants[Self.hash(1)]?.expiresAt == nil)
        // A token may be given another secret by somebody who lasts exactly as long: itself, for one.
        _ = try await rotate(brief, 3, TokenBounds(scopes: administrators, notAfter: end))
        #expect(try await store.grant(hash: Self.hash(3))?.expiresAt == end)
        _ = try await rotate(lasting, 4, everything)
        let grant = try await store.grant(hash: Self.hash(4))
        #expect(grant?.expiresAt == nil && grant?.scopes == [.turns, .operator])
        let entries = try await tenant.audit(before: .max, limit: 10).map(\.action)
        #expect(entries.count { $0 == "token.rotate" } == 2)
    }

    @Test("32 callers that make one organization at the same moment make one, with one default agent")
    func organizations() async throws {
        let fixture = try await StoreFixture.make(poolSize: 16)
        let (org, agent) = (try OrganizationID("fresh"), try AgentID("default"))
        // Half-made: there was nothing to copy yet.
        try await fixture.store.ensureOrganization(try OrganizationID("early"))
        let configuration = AgentConfiguration(driver: .acp, command: ["standard"], storeMode: .snapshot)
        _ = try await fixture.tenant.put(agent, configuration)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<32 {
                group.addTask {
                    for name in [org, try OrganizationID("early")] { try await fixture.store.ensureOrganization(name) }
                }
            }
            try await group.waitForAll()
        }
        for name in [org, try OrganizationID("early")] {
            let agents = try await fixture.store.tenant(name).agents()
            #expect(agents.map(\.agent) == [agent] && agents.first?.version == 1)
            #expect(agents.first?.configuration == configuration)
            let actions = try await fixture.store.tenant(name).audit(before: .max, limit: 10).map(\.action)
            #expect(actions == ["organization.create"])
        }
        // What an organization has made of it stays.
        let own = AgentConfiguration(driver: .acp, command: ["own"], storeMode: .none)
        _ = try await fixture.store.tenant(org).put(agent, own)
        try await fixture.store.ensureOrganization(org)
        #expect(try await fixture.store.tenant(org).agent(agent)?.configuration == own)
    }
}
