import Domain
import Foundation
import Gateway
import Postgres
import Store

/// What `dev` has in its database before it serves: the schema, an organization, a token, an agent to talk to.
struct DevSetUp: Sendable {
    let folder: DevFolder
    let configuration: Configuration

    /// Does what is not done yet and returns the token.
    func run() async throws -> String {
        let conninfo = try self.configuration.requireDatabase().direct
        let database = try DatabaseAccess()
        try await database.withConnection(conninfo) { connection in
            _ = try await Schema.migrator.apply(on: connection, log: database.log)
        }
        return try await database.withStore(conninfo) { store in
            try await store.ensureOrganization(self.configuration.organization, by: .commandLine)
            try await self.ensureAgents(store)
            return try await self.token(store)
        }
    }

    private func ensureAgents(_ store: Store) async throws {
        let tenant = store.tenant(self.configuration.organization, by: .commandLine)
        var echo = AgentConfiguration(
            driver: .acp,
            command: [Self.python(), self.folder.agent],
            storeMode: .snapshot
        )
        // Its `/ask` shows what a worker's question looks like.
        echo.permissions = .ask
        _ = try await tenant.put(try AgentID("echo"), echo)
        let standard = try AgentID("default")
        // The user's own default agent stays; an example that has moved with its folder is put right.
        let current = try await tenant.agent(standard)?.configuration.command.last
        guard current?.hasSuffix("/echo_agent.py") ?? true else { return }
        _ = try await tenant.put(standard, echo)
    }

    /// The system's own Python before others: version switchers depend on an environment that workers do not get.
    private static func python() -> String {
        let system = "/usr/bin/python3"
        if FileManager.default.isExecutableFile(atPath: system) { return system }
        Console.warn("turnpike: \(system) is missing, so the example agent may not start; install python3\n")
        return "python3"
    }

    /// The token of the last run if it still works, else a fresh one.
    private func token(_ store: Store) async throws -> String {
        if let kept = self.folder.token, let secret = TokenSecret(kept),
            let grant = try await store.grant(hash: secret.hash), grant.org == self.configuration.organization
        {
            return kept
        }
        let fresh = try await DirectTokenCommand.create(
            TokenCommands.Wish(name: "turnpike dev", scopes: Set(Scope.allCases), days: nil),
            in: self.configuration.organization,
            store
        )
        try self.folder.writeToken(fresh)
        return fresh
    }
}
