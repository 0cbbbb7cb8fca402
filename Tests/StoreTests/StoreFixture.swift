import Domain
import Foundation
import Migrations
import Postgres
import Runtime
import Store
import TestKit

/// A store on a migrated database of its own, and shortcuts that make the tests readable.
struct StoreFixture {
    let pool: ConnectionPool
    let store: Store
    let org: OrganizationID
    let agent: AgentID
    let replica: ReplicaID

    static func make(poolSize: Int = 4) async throws -> StoreFixture {
        try await self.make(on: StoreDatabase.pool(size: poolSize))
    }

    /// On a migrated database that is reached in a way of the test's own.
    static func make(on pool: ConnectionPool) async throws -> StoreFixture {
        let fixture = StoreFixture(
            pool: pool,
            store: Store(pool: pool),
            org: try OrganizationID("default"),
            agent: try AgentID("echo"),
            replica: freshID()
        )
        _ = try await fixture.tenant.put(
            fixture.agent,
            AgentConfiguration(driver: .acp, command: ["agent"], storeMode: .snapshot)
        )
        return fixture
    }

    var tenant: TenantStore { self.store.tenant(self.org) }

    func submission(
        _ conversation: String?,
        text: String = "hello",
        clientKey: String? = nil,
        run: Bool = true
    ) throws -> TurnSubmission {
        var submission = TurnSubmission(
            id: freshID(),
            org: self.org,
            agent: self.agent,
            conversation: try conversation.map { try ConversationID($0) },
            run: run ? freshID() : nil,
            input: TurnInput(text: text),
            queueLimit: 100
        )
        submission.clientKey = clientKey
        submission.bodyHash = clientKey == nil ? nil : Array(repeating: UInt8(text.utf8.count % 256), count: 32)
        return submission
    }

    @discardableResult
    func accept(_ conversation: String?, text: String = "hello") async throws -> Intake {
        try await self.store.accept(self.submission(conversation, text: text))
    }

    /// Claims everything that is ready.
    func claimAll() async throws -> [Claim] {
        try await self.store.claim(limit: 1_000, hold: .seconds(10))
    }

    /// Accepts one turn in a fresh conversation and begins a term with it.
    func hold(_ conversation: String, replica: ReplicaID? = nil) async throws -> (Term, ArmedTurn, DeploymentID) {
        let intake = try await self.accept(conversation)
        let deployment: DeploymentID = freshID()
        let term = try await self.store.beginTerm(
            intake.number,
            nonce: freshID(),
            replica: replica ?? self.replica,
            deployment: deployment,
            limits: AgentLimits()
        )
        guard let term, let armed = term.armed else { throw FixtureError.noTerm }
        return (term, armed, deployment)
    }

    func handOver(_ term: Term, _ deployment: DeploymentID) -> HandOver {
        HandOver(
            fence: term.fence,
            deployment: deployment,
            replica: self.replica,
            turnSeconds: 600,
            progressSeconds: 300
        )
    }

    func settlement(
        _ turn: ArmedTurn,
        _ text: String,
        parent: Int64 = 0,
        snapshot: SnapshotUpdate? = nil,
        events: [TurnEvent] = []
    ) -> Settlement {
        Settlement(
            turn: turn.id,
            seq: turn.seq,
            outcome: .completed(Reply(text: text, stopReason: "end_turn")),
            parent: parent,
            snapshot: snapshot,
            events: events
        )
    }

    /// Asks as an agent whose policy is to ask; nil when fenced, or when nobody is to be asked.
    func ask(
        _ question: ApprovalQuestion,
        _ turn: ArmedTurn,
        _ fence: Fence,
        policy: PermissionPolicy = .ask
    ) async throws -> ApprovalStanding? {
        try await self.store.askApproval(
            question,
            turn: turn.id,
            org: self.org,
            agent: self.agent,
            policy: policy,
            fence: fence,
            progressSeconds: 300
        ).value ?? nil
    }

    /// A single number out of a query.
    func count(_ query: Query) async throws -> Int {
        try await self.pool.query(query).first?.get("count") ?? -1
    }
}

enum FixtureError: Error {
    case noTerm
}

/// A random identity.
func freshID<Kind>() -> UniqueID<Kind> {
    guard let id = UniqueID<Kind>(UUID().uuidString) else { preconditionFailure("Foundation made an odd UUID") }
    return id
}
