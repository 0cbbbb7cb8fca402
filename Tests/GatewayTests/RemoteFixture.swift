import Domain
import Postgres
import TestKit
import Testing

@testable import Gateway

extension GatewayFixture {
    /// Configures a remote agent; its workers act as accounts of the provider `example`.
    @discardableResult
    func remoteAgent(
        _ name: String,
        store: StoreMode = .snapshot,
        _ change: (inout AgentConfiguration) -> Void = { _ in }
    ) async throws -> AgentID {
        var configuration = AgentConfiguration(driver: .remote, command: [], storeMode: store)
        configuration.account = AccountNeed(provider: "example")
        change(&configuration)
        let agent = try AgentID(name)
        _ = try await self.gateway.tenant(self.org).putAgent(agent, configuration)
        return agent
    }

    /// What a worker that acts as this account can do.
    func remoteDesk(_ principal: String = "seat") async throws -> RemoteDesk {
        let tenant = self.gateway.tenant(self.org)
        let account = try await tenant.registerAccount(
            provider: try ProviderID("example"),
            principal: principal,
            label: nil,
            pool: nil,
            slots: nil
        ).account
        let secret = try await tenant.enrol(account.id, name: "machine", lifetime: nil, notAfter: nil).secret
        let principal = try #require(try await self.gateway.authenticate(secret))
        return try #require(self.gateway.remoteDesk(for: principal))
    }
}

extension RemoteDesk {
    /// Claims once under a key of its own.
    func take(patience: Duration = .zero) async throws -> RemoteAssignment? {
        try await self.claim("\(UInt64.random(in: 0 ... .max))", leaseSeconds: 30, patience: patience)
    }

    /// Ends the turn of an assignment.
    @discardableResult
    func end(_ assignment: RemoteAssignment, _ outcome: Outcome) async throws -> Ending {
        try await self.settle(try #require(assignment.run.ticket), outcome, state: nil)
    }
}
