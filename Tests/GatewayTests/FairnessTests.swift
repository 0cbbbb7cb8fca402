import Domain
import Postgres
import Store
import TestKit
import Testing

@testable import Gateway

@Suite("Fairness between organizations")
struct FairnessTests {
    /// How long each turn takes.
    private static let turn = 0.2

    @Test("one turn of another organization does not wait behind 200 conversations")
    func backlogOfConversations() async throws {
        try await Self.withTwo(places: 3) { fixture, busy, quiet in
            for index in 0..<200 { _ = try await busy.submit(Self.request("c\(index)")) }
            try await Self.measure(fixture, busy, quiet, backlog: 200)
        }
    }

    @Test("one turn of another organization does not wait behind conversations that never let go of their places")
    func backlogOfTurns() async throws {
        try await Self.withTwo(places: 2) { fixture, busy, quiet in
            for index in 0..<2 {
                for _ in 0..<60 { _ = try await busy.submit(Self.request("c\(index)")) }
            }
            try await Self.measure(fixture, busy, quiet, backlog: 120)
        }
    }

    @Test("who is alone has all places, and keeps them")
    func alone() async throws {
        try await Self.withTwo(places: 3) { fixture, busy, _ in
            for index in 0..<12 { _ = try await busy.submit(Self.request("c\(index % 3)")) }
            try await eventually("all places to be taken") { fixture.replica.gateway.liveSessions == 3 }
            try await eventually("the turns to end", within: .seconds(20)) {
                try await fixture.openTurns(of: "busy") == 0
            }
            #expect(try await fixture.deployments() == 3, "no session was ended for nobody")
        }
    }

    /// Waits until the busy organization's turns are under way, submits one of the quiet one, and looks how much of the
    /// backlog was done when it has ended.
    private static func measure(
        _ fixture: GatewayFixture,
        _ busy: Tenant,
        _ quiet: Tenant,
        backlog: Int
    ) async throws {
        try await eventually("the places to be taken") { fixture.replica.gateway.liveSessions >= 2 }
        let start = ContinuousClock.now
        let turn = try await quiet.submit(Self.request("c"))
        let ended = try await quiet.turn(turn.id, waitingAtMost: .seconds(30))
        let wait = ContinuousClock.now - start
        let open = try await fixture.openTurns(of: "busy")
        print("figure: a turn beside a backlog of \(backlog) ended after \(wait), \(open) of them were still open")
        #expect(ended.state == .completed)
        #expect(open > backlog / 2, "it waited for the backlog")
        #expect(wait < .seconds(10))
        try await Self.deleteAll(fixture, busy)
    }

    private static func withTwo(
        places: Int,
        _ body: @Sendable (GatewayFixture, Tenant, Tenant) async throws -> Void
    ) async throws {
        try await GatewayFixture.with({ $0.limits.workersPerReplica = places }) { fixture in
            let program = ["/bin/sh", "-c", "sleep \(Self.turn); cat"]
            let tenants = try await ["busy", "quiet"].map { try OrganizationID($0) }.asyncMap { org in
                try await fixture.gateway.ensureOrganization(org)
                let tenant = fixture.gateway.tenant(org)
                _ = try await tenant.putAgent(
                    try AgentID("slow"),
                    AgentConfiguration(driver: .command, command: program, storeMode: .none)
                )
                return tenant
            }
            try await body(fixture, tenants[0], tenants[1])
        }
    }

    private static func request(_ conversation: String) throws -> TurnRequest {
        TurnRequest(
            agent: try AgentID("slow"),
            conversation: try ConversationID(conversation),
            input: TurnInput(text: "hello")
        )
    }

    /// Nobody waits for the rest.
    private static func deleteAll(_ fixture: GatewayFixture, _ tenant: Tenant) async throws {
        let agent = try AgentID("slow")
        for conversation in try await tenant.conversations(agent: agent, after: nil, limit: 1_000) {
            try await tenant.deleteConversation(agent, ConversationID(conversation.conversation))
        }
    }
}

extension GatewayFixture {
    fileprivate func openTurns(of org: String) async throws -> Int {
        try await self.count("SELECT count(*) FROM turnpike.turns WHERE org = \(org) AND ended_at IS NULL")
    }
}

extension Sequence {
    fileprivate func asyncMap<Value>(_ transform: (Element) async throws -> Value) async throws -> [Value] {
        var values: [Value] = []
        for element in self { values.append(try await transform(element)) }
        return values
    }
}
