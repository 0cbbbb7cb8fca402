import Domain
import Postgres
import Runtime
import TestKit

@testable import Store

/// An organization with one of everything, and how a stranger's statements see it.
struct WallFixture {
    let victim: StoreFixture
    let conversation: ConversationID
    let number: ConversationNumber
    let settled: TurnID
    let running: TurnID
    let queued: TurnID
    let approval: ApprovalID
    let token: TokenID
    let thread: ConversationID
    let rule: ApprovalRuleID
    let account: AccountID

    static let label = "theirs"
    static let schedule: ScheduleID = {
        guard let name = try? ScheduleID("s") else { preconditionFailure("a good name") }
        return name
    }()

    static func plan(_ text: String) throws -> Schedule {
        Schedule(
            agent: try AgentID("echo"),
            cron: try CronExpression("0 0 * * *"),
            timeZone: "UTC",
            catchUp: .skip,
            input: TurnInput(text: text),
            isPaused: false
        )
    }

    static let fingerprint = [UInt8](repeating: 5, count: 32)

    /// The organization asks for what is its own.
    var owner: TenantStore { self.victim.tenant }
    /// Another one asks for the same.
    var stranger: TenantStore { self.victim.store.tenant(Self.strangersName) }
    /// Another one asks with statements that have lost every mention of who asks: each names the victim instead. Only
    /// the wall is the stranger's own.
    var forgetful: TenantStore {
        TenantStore(org: self.victim.org, pool: WalledPool(org: Self.strangersName, pool: self.victim.pool))
    }

    private static let strangersName: OrganizationID = {
        guard let name = try? OrganizationID("stranger") else { preconditionFailure("a good name") }
        return name
    }()

    /// On `pool`, or on a database of its own.
    static func make(on pool: ConnectionPool? = nil) async throws -> WallFixture {
        let pool = if let pool { pool } else { try await StoreDatabase.pool(size: 2) }
        let victim = StoreFixture(
            pool: pool,
            store: Store(pool: pool),
            org: try OrganizationID("victim"),
            agent: try AgentID("echo"),
            replica: freshID()
        )
        for org in [victim.org, self.strangersName] { try await victim.store.ensureOrganization(org) }
        let agent = AgentConfiguration(driver: .acp, command: ["agent"], storeMode: .snapshot)
        _ = try await victim.tenant.put(victim.agent, agent)
        let (term, first, deployment) = try await victim.hold("c")
        var running = first
        for parent in 0..<2 {
            try await victim.accept("c")
            let snapshot = SnapshotUpdate(kind: .base, format: .blob, body: [1, 2, 3])
            let settlement = victim.settlement(running, "secret", parent: Int64(parent), snapshot: snapshot)
            let handOver = victim.handOver(term, deployment)
            running = try self.require(
                try await victim.store.settle(settlement, fence: term.fence, next: handOver).value?.next
            )
        }
        let approval = try await self.ask(victim, running, term)
        var submission = try victim.submission("c", text: "more")
        submission.note = DialectNote(fingerprint: self.fingerprint, response: #"{"model":"echo"}"#)
        _ = try await victim.store.accept(submission)
        let thread = try ConversationID("t")
        _ = try await victim.tenant.createThread(thread, metadata: "{}", items: [])
        let token: TokenID = freshID()
        _ = try await victim.tenant.createToken(
            token,
            name: "t",
            hash: [UInt8](repeating: 9, count: 32),
            scopes: [.turns],
            lifetime: nil
        )
        let rule: ApprovalRuleID = freshID()
        _ = try await victim.tenant.makeRule(
            rule,
            agent: nil,
            tool: "touch",
            arguments: nil,
            effect: .ask,
            reason: nil,
            by: token
        )
        let plan = try self.plan("x")
        _ = try await victim.tenant.put(self.schedule, plan, next: 4_000_000_000, submitter: token, atMost: 10)
        return WallFixture(
            victim: victim,
            conversation: try ConversationID("c"),
            number: term.fence.conversation,
            settled: first.id,
            running: running.id,
            queued: submission.id,
            approval: approval,
            token: token,
            thread: thread,
            rule: rule,
            account: try await self.account(victim)
        )
    }

    private static func account(_ victim: StoreFixture) async throws -> AccountID {
        let made = try await victim.tenant.register(
            provider: ProviderID("p"),
            principal: "them",
            label: self.label,
            pool: nil,
            slots: nil
        )
        guard case .made(let record) = made else { throw FixtureError.noTerm }
        return record.id
    }

    private static func ask(_ victim: StoreFixture, _ turn: ArmedTurn, _ term: Term) async throws -> ApprovalID {
        let question = ApprovalQuestion(
            id: freshID(),
            tool: ApprovalTool(id: "t-1", name: "touch"),
            arguments: ["path": "x"],
            options: [ApprovalOption(id: "once", name: "Once", kind: "allow_once")],
            lifetimeSeconds: 600
        )
        _ = try await victim.store.askApproval(
            question,
            turn: turn.id,
            org: victim.org,
            agent: victim.agent,
            policy: .ask,
            fence: term.fence,
            progressSeconds: 300
        )
        return question.id
    }

    private static func require(_ turn: ArmedTurn?) throws -> ArmedTurn {
        guard let turn else { throw FixtureError.noTerm }
        return turn
    }

    /// All that the database holds, as one text a table.
    func content() async throws -> [String: String] {
        let tables = try await self.victim.pool.query(
            "SELECT relname::text AS name FROM pg_class WHERE relnamespace = 'turnpike'::regnamespace AND relkind = 'r'"
        ).map { try $0.get("name", as: String.self) }
        var content: [String: String] = [:]
        for table in tables {
            let rows = try await self.victim.pool.query(
                Query(unescaped: "SELECT string_agg(t::text, E'\\n' ORDER BY t::text) AS text FROM turnpike.\(table) t")
            )
            content[table] = try rows.first?.get("text", as: String?.self)
        }
        return content
    }
}
