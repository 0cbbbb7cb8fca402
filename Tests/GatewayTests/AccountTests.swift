import Domain
import Postgres
import Runtime
import Store
import TestKit
import Testing

@testable import Gateway

@Suite("Accounts on one replica")
struct AccountTests {
    private static func hosting(_ seat: String, slots: Int) throws -> AccountHosting {
        AccountHosting(
            identity: AccountIdentity(
                org: try OrganizationID("default"),
                provider: try ProviderID("example"),
                principal: seat
            ),
            slots: slots,
            environment: ["SEAT": seat]
        )
    }

    private static func with(
        _ seats: [(String, Int)],
        _ body: @Sendable (GatewayFixture, AgentID) async throws -> Void
    ) async throws {
        let hostings = try seats.map { try Self.hosting($0.0, slots: $0.1) }
        try await GatewayFixture.with({ $0.accounts = hostings }) { fixture in
            let agent = try await fixture.agent("seated", "environment", store: .none) {
                $0.account = AccountNeed(provider: "example")
            }
            try await body(fixture, agent)
        }
    }

    /// Whose environment the worker had; it says all of it.
    private static func seat(_ turn: TurnRecord) -> String? {
        turn.outcome?.reply.split(separator: #""SEAT": ""#).dropFirst().first?.split(separator: "\"").first.map(
            String.init
        )
    }

    @Test("a turn for which a worker has no capacity is performed on another account, and spends no attempt")
    func reroute() async throws {
        try await Self.with([("full", 20), ("free", 10)]) { fixture, agent in
            for number in 0..<3 {
                let turn = try await fixture.ask(agent, "c-\(number)")
                #expect(Self.seat(turn) == "free" && turn.attempt == 1, "\(turn)")
            }
            // The first choice is the account with most slots free.
            #expect(fixture.replica.metrics.value("turnpike_reroutes_total") == 3)
            let told: Query = """
                SELECT count(*) FROM turnpike.events WHERE type = 'turn.retried' AND data ->> 'code' = 'no_capacity'
                """
            #expect(try await fixture.count(told) == 3)
        }
    }

    @Test("without another account, a turn for which there is no capacity fails and says so")
    func noOther() async throws {
        try await Self.with([("full", 2)]) { fixture, agent in
            let turn = try await fixture.ask(agent, "c")
            #expect(turn.outcome?.code == "no_capacity")
            #expect(
                try await fixture.count("SELECT count(*) FROM turnpike.conversations WHERE owner_account IS NOT NULL")
                    == 0
            )
        }
    }

    @Test(
        "an account's slots bound what is held on it; an idle session makes room, and nobody is kept waiting for good"
    )
    func slots() async throws {
        try await Self.with([("a", 2)]) { fixture, agent in
            var most = 0
            var turns: [SubmittedTurn] = []
            for number in 0..<8 { turns.append(try await fixture.submit(agent, "c-\(number)")) }
            let held: Query = """
                SELECT count(*) FROM turnpike.conversations
                WHERE acting_account IS NOT NULL AND owner_nonce IS NOT NULL
                """
            try await eventually("all turns to end", within: .seconds(20)) {
                most = max(most, try await fixture.count(held))
                return try await fixture.count("SELECT count(*) FROM turnpike.outcomes WHERE state = 'completed'") == 8
            }
            #expect(most == 2)
            for turn in turns { #expect(Self.seat(try await fixture.ended(turn)) == "a") }
        }
    }

    @Test(
        "an account that its organization removes ends its idle sessions, and hosts nothing until the replica starts anew"
    )
    func removed() async throws {
        try await Self.with([("a", 2)]) { fixture, agent in
            let first = try await fixture.submit(agent, "c")
            #expect(try await fixture.ended(first).state == .completed)
            let tenant = fixture.gateway.tenant(fixture.org)
            let account = try #require(try await tenant.accounts().first)
            #expect(account.held == 1)
            try await tenant.deleteAccount(account.id)
            try await eventually("its session to end") { try await fixture.isFree(first.number) }
            #expect(try await tenant.conversation(agent, ConversationID("c")).account == account.id)
        }
    }
}
