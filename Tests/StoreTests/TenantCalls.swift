import Domain
import Testing

@testable import Store

/// A call of `TenantStore`, by its name as the compiler would write it, made on what a `WallFixture` holds. What it
/// says is compared as text.
struct TenantCall: Sendable, CustomTestStringConvertible {
    let name: String
    private let perform: @Sendable (TenantStore, WallFixture) async throws -> Any

    var testDescription: String { self.name }

    private init(
        _ name: String,
        _ perform: @escaping @Sendable (TenantStore, WallFixture) async throws -> Any
    ) {
        self.name = name
        self.perform = perform
    }

    func answer(_ store: TenantStore, _ fixture: WallFixture) async throws -> String {
        String(reflecting: try await self.perform(store, fixture))
    }

    /// Every call that there is; a test compares the names with the sources.
    static let all: [TenantCall] = [
        turns, conversations, agents, approvals, rules, accounts, quotas, schedules, snapshots, dialect,
    ]
    .flatMap { $0 }

    private static let turns: [TenantCall] = [
        TenantCall("turn(_:)") { try await $0.turn($1.settled) as Any },
        TenantCall("turns(_:before:limit:bytes:)") {
            try await $0.turns($1.number, before: .max, limit: 10, bytes: 1 << 20)
        },
        TenantCall("cancel(_:)") { try await $0.cancel($1.queued) },
    ]

    private static let conversations: [TenantCall] = [
        TenantCall("conversations(agent:after:limit:)") {
            try await $0.conversations(agent: $1.victim.agent, after: nil, limit: 10)
        },
        TenantCall("conversation(_:_:)") { try await $0.conversation($1.victim.agent, $1.conversation) as Any },
        TenantCall("log(_:_:)") { try await $0.log($1.victim.agent, $1.conversation) as Any },
        TenantCall("isDeleted(_:)") { try await $0.isDeleted($1.number) },
        TenantCall("events(_:after:turn:limit:bytes:)") {
            try await $0.events($1.number, after: 0, turn: nil, limit: 10, bytes: 1 << 20)
        },
        TenantCall("delete(_:_:)") { try await $0.delete($1.victim.agent, $1.conversation) as Any },
    ]

    private static let agents: [TenantCall] = [
        TenantCall("agents()") { store, _ in try await store.agents() },
        TenantCall("agent(_:)") { try await $0.agent($1.victim.agent) as Any },
        TenantCall("put(_:_:)") {
            let other = AgentConfiguration(driver: .acp, command: ["theirs"], storeMode: .none)
            return try await $0.put($1.victim.agent, other)
        },
        TenantCall("deleteAgent(_:)") { try await $0.deleteAgent($1.victim.agent) },
        TenantCall("createToken(_:name:hash:scopes:lifetime:notAfter:parent:account:)") {
            let hash = [UInt8](repeating: $0.org == $1.victim.org ? 1 : 2, count: 32)
            return try await $0.createToken(freshID(), name: "x", hash: hash, scopes: [.admin], lifetime: nil)
        },
        TenantCall("tokens()") { store, _ in try await store.tokens() },
        TenantCall("revokeToken(_:)") { try await $0.revokeToken($1.token) },
        TenantCall("rotateToken(_:hash:overlap:within:)") {
            let hash = [UInt8](repeating: 3, count: 32)
            return try await $0.rotateToken($1.token, hash: hash, overlap: .zero, within: everything)
        },
        TenantCall("audit(before:limit:)") { store, fixture in
            // The other organization has entries of its own.
            try await store.audit(before: .max, limit: 10).filter { $0.org == fixture.victim.org.text }
        },
    ]

    private static let approvals: [TenantCall] = [
        TenantCall("approvals(state:after:limit:)") { store, _ in
            try await store.approvals(state: .pending, after: nil, limit: 10)
        },
        TenantCall("approval(_:)") { try await $0.approval($1.approval) as Any },
        TenantCall("decideApproval(_:option:reason:by:)") {
            try await $0.decideApproval($1.approval, option: "once", reason: nil, by: $1.token) as Any
        },
    ]

    private static let rules: [TenantCall] = [
        TenantCall("decideApproval(_:option:always:rule:of:tool:reason:by:)") {
            try await $0.decideApproval(
                $1.approval,
                option: "once",
                always: .allow,
                rule: freshID(),
                of: $1.victim.agent.text,
                tool: "touch",
                reason: nil,
                by: $1.token
            ) as Any
        },
        TenantCall("rules(after:limit:)") { store, _ in try await store.rules(after: nil, limit: 10) },
        TenantCall("makeRule(_:agent:tool:arguments:effect:reason:by:)") {
            let made = try await $0.makeRule(
                freshID(),
                agent: nil,
                tool: "x",
                arguments: nil,
                effect: .deny,
                reason: nil,
                by: $1.token
            )
            return made.tool + $0.org.text
        },
        TenantCall("asksPeople(_:)") {
            guard let asked = try await $1.owner.approval($1.approval) else { throw FixtureError.noTerm }
            return try await $0.asksPeople(asked)
        },
        TenantCall("deleteRule(_:)") { try await $0.deleteRule($1.rule) },
    ]

    private static let accounts: [TenantCall] = [
        TenantCall("accounts()") { store, _ in try await store.accounts() },
        TenantCall("account(_:)") { try await $0.account($1.account) as Any },
        TenantCall("register(provider:principal:label:pool:slots:)") { store, _ in
            try await store.register(
                provider: ProviderID("p"),
                principal: "other",
                label: "other",
                pool: nil,
                slots: nil
            )
        },
        TenantCall("deleteAccount(_:)") { try await $0.deleteAccount($1.account) },
        TenantCall("deleteLabel(_:of:)") { try await $0.deleteLabel(WallFixture.label, of: $1.account) },
    ]

    private static let quotas: [TenantCall] = [
        TenantCall("quota()") { store, _ in try await store.quota()?.openTurns ?? 0 },
        TenantCall("set(_:)") { store, _ in
            try await store.set(Quota(organizationTurns: 7))
            return store.org.text
        },
        TenantCall("setCeiling(_:)") { store, _ in
            try await store.setCeiling(Quota(organizationTurns: 7))
            return store.org.text
        },
    ]

    private static let schedules: [TenantCall] = [
        TenantCall("schedules(after:limit:)") { store, _ in try await store.schedules(after: nil, limit: 10) },
        TenantCall("schedule(_:)") { store, _ in try await store.schedule(WallFixture.schedule) as Any },
        TenantCall("put(_:_:next:submitter:atMost:)") {
            let plan = try WallFixture.plan("theirs")
            let put = try await $0.put(WallFixture.schedule, plan, next: nil, submitter: $1.token, atMost: 10)
            return $0.org.text + (put?.schedule.cron.text ?? "")
        },
        TenantCall("pause(_:_:next:)") { store, _ in
            try await store.pause(WallFixture.schedule, true, next: nil)?.schedule.isPaused as Any
        },
        TenantCall("deleteSchedule(_:)") { store, _ in try await store.deleteSchedule(WallFixture.schedule) },
    ]

    private static let snapshots: [TenantCall] = [
        TenantCall("snapshots(_:_:after:limit:)") {
            try await $0.snapshots($1.victim.agent, $1.conversation, after: 0, limit: 10)
        },
        TenantCall("snapshotBody(_:_:seq:)") {
            try await $0.snapshotBody($1.victim.agent, $1.conversation, seq: 1) as Any
        },
        TenantCall("pruneSnapshots(_:_:keepTurns:)") {
            try await $0.pruneSnapshots($1.victim.agent, $1.conversation, keepTurns: 0)
        },
        TenantCall("fork(_:_:from:to:)") {
            try await $0.fork($1.victim.agent, $1.conversation, from: nil, to: ConversationID("copy"))
        },
        TenantCall("importConversation(_:_:turns:owner:)") {
            let turn = ImportedTurn(id: freshID(), input: TurnInput(text: "x"), reply: "y")
            return try await $0.importConversation(
                $1.victim.agent,
                ConversationID("imported"),
                turns: [turn],
                owner: $1.account
            )
        },
    ]

    private static let dialect: [TenantCall] = [
        TenantCall("turn(of:within:)") { store, _ in
            try await store.turn(of: WallFixture.fingerprint, within: .seconds(600)) as Any
        },
        TenantCall("response(_:)") { try await $0.response($1.queued) as Any },
        TenantCall("deleteResponse(_:)") { try await $0.deleteResponse($1.queued) },
        TenantCall("createThread(_:metadata:items:)") { store, _ in
            try await store.createThread(ConversationID("new"), metadata: "{}", items: []).id.text
                + store.org.text
        },
        TenantCall("thread(_:)") { try await $0.thread($1.thread) as Any },
        TenantCall("changeThread(_:metadata:adding:atMost:bytes:)") {
            try await $0.changeThread($1.thread, metadata: #"{"theirs":1}"#, atMost: 9, bytes: 999) as Any
        },
        TenantCall("deleteThread(_:)") { try await $0.deleteThread($1.thread) as Any },
    ]
}
