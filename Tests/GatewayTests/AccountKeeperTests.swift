import Domain
import Postgres
import TestKit
import Testing

@testable import Gateway

@Suite("Hosting accounts, and missing them")
struct AccountKeeperTests {
    private func waits(_ fixture: GatewayFixture) async throws -> Int {
        try await fixture.count("SELECT count(*) FROM turnpike.events WHERE type = 'waiting_account'")
    }

    private func failed(_ fixture: GatewayFixture) async throws -> Int {
        try await fixture.count("SELECT count(*) FROM turnpike.outcomes WHERE code = 'account_unavailable'")
    }

    @Test("an entry whose organization does not exist keeps no other account from being hosted")
    func badEntry() async throws {
        try await GatewayFixture.with({ $0.works = false }) { fixture in
            try await eventually("the replica's record") {
                try await fixture.count("SELECT count(*) FROM turnpike.replicas") == 1
            }
            let provider = try ProviderID("p")
            var configuration = GatewayConfiguration(replica: fixture.replica.id, label: "test", version: "test")
            configuration.accounts = [try OrganizationID("nowhere"), fixture.org].map { org in
                AccountHosting(identity: AccountIdentity(org: org, provider: provider, principal: "seat"))
            }
            let tools = fixture.gateway.dispatcher.tools
            try await AccountKeeper(tools: tools, configuration: configuration).host()
            #expect(tools.accounts.withRoom(or: { _ in false }).count == 1)
            #expect(try await fixture.count("SELECT count(*) FROM turnpike.account_hosts") == 1)
        }
    }

    @Test("a look sees to all conversations, however few it reads at once, and each wait is told once")
    func batches() async throws {
        try await GatewayFixture.with({ $0.works = false }) { fixture in
            let agent = try await fixture.agent("a", "echo") {
                $0.account = AccountNeed(provider: "p")
                $0.account?.graceSeconds = 0
            }
            for number in 0..<5 { _ = try await fixture.submit(agent, "c-\(number)") }
            let keeper = AccountKeeper(
                tools: fixture.gateway.dispatcher.tools,
                configuration: GatewayConfiguration(replica: fixture.replica.id, label: "test", version: "test"),
                atOnce: 2
            )
            try await keeper.look()
            #expect(try await self.waits(fixture) == 5)
            // Nobody looked for a while: the count begins anew, and nobody is told the same again.
            try await fixture.pool.query("UPDATE turnpike.conversations SET absent_at = absent_at - interval '1 hour'")
            try await keeper.look()
            #expect(try await self.failed(fixture) == 0)
            for ended in [2, 4, 5] {
                try await keeper.look()
                #expect(try await self.failed(fixture) == ended)
            }
            #expect(try await self.waits(fixture) == 5)
        }
    }
}
