import Domain
import Gateway
import HTTP
import Postgres
import Runtime
import Store
import Subprocess
import TestKit
import Workers

@testable import API

/// A whole replica on a database of its own: real PostgreSQL, real sockets, real workers.
struct APIFixture: Sendable {
    let gateway: Gateway
    let api: API
    let metrics: Metrics
    /// Lines of the log.
    let lines: Locked<[String]>
    let port: Int
    /// The replica's database.
    let conninfo: String
    /// The organization of `client`.
    let org: OrganizationID

    /// Sends requests with a token that may do everything.
    let client: Probe
    /// Sends requests without a token.
    var stranger: Probe { Probe(port: self.port) }

    /// Runs `body` against a replica with the agent `default`, a program that repeats its input.
    static func with(
        limits: Limits = Limits(),
        usesHints: Bool = true,
        crossOrigin: CrossOrigin = CrossOrigin(),
        provider: IdentityProvider? = nil,
        _ body: @Sendable (APIFixture) async throws -> Void
    ) async throws {
        let folder = try ScratchDirectory()
        let (metrics, lines) = (Metrics(), Locked<[String]>([]))
        let log = Logger(threshold: .info) { line in lines.withLock { $0.append(line) } }
        let conninfo = try await StoreDatabase.fresh()
        let (gateway, pool) = try await self.gateway(
            on: conninfo,
            limits: limits,
            usesHints: usesHints,
            workspaces: folder.file("work"),
            log: log,
            metrics: metrics
        )
        let api = API(
            gateway: gateway,
            log: log,
            metrics: metrics,
            version: "test",
            crossOrigin: crossOrigin,
            provider: provider
        )
        let reactor = try Reactor(name: "api-test")
        let server = HTTPServer(
            configuration: HTTPConfiguration(),
            router: api.router(),
            reactor: reactor,
            log: .silent,
            metrics: metrics,
            renderError: { api.renderError($0, $1) }
        )
        let port = try server.bind()
        let stop = StopSignal()
        let services = ServiceGroup(
            [pool] + gateway.sharedServices + [server] + gateway.workingServices,
            patience: .seconds(10),
            log: .silent
        )
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await services.run(until: stop) }
            defer { stop.raise() }
            try await eventually("the replica to be ready") { await gateway.readiness() == nil }
            let org = try OrganizationID("acme")
            let token = try await self.provision(gateway, org, scopes: Set(Scope.allCases))
            _ = try await gateway.tenant(org).putAgent(
                try AgentID("default"),
                AgentConfiguration(driver: .command, command: ["cat"], storeMode: .none)
            )
            let client = Probe(port: port, token: token)
            try await body(
                APIFixture(
                    gateway: gateway,
                    api: api,
                    metrics: metrics,
                    lines: lines,
                    port: port,
                    conninfo: conninfo,
                    org: org,
                    client: client
                )
            )
        }
        // The folder outlives the workers that live in it.
        withExtendedLifetime(folder) {}
    }

    /// Runs `body` with another replica's gateway on the same database: one that answers clients and has no workers.
    func withPeer(usesHints: Bool, _ body: @Sendable (Gateway) async throws -> Void) async throws {
        let folder = try ScratchDirectory()
        let (peer, pool) = try await Self.gateway(
            on: self.conninfo,
            limits: Limits(),
            usesHints: usesHints,
            workspaces: folder.file("work"),
            log: .silent,
            metrics: Metrics()
        )
        let stop = StopSignal()
        let services = ServiceGroup([pool] + peer.sharedServices, patience: .seconds(10), log: .silent)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await services.run(until: stop) }
            defer { stop.raise() }
            try await eventually("the peer to be ready") { await peer.readiness() == nil }
            try await body(peer)
        }
        withExtendedLifetime(folder) {}
    }

    private static func gateway(
        on conninfo: String,
        limits: Limits,
        usesHints: Bool,
        workspaces: String,
        log: Logger,
        metrics: Metrics
    ) async throws -> (Gateway, ConnectionPool) {
        let reactor = try TestPlatform.reactor()
        let pool = ConnectionPool(
            configuration: .init(conninfo: conninfo, size: 4),
            reactor: reactor,
            blocking: TestPlatform.blocking,
            log: .silent,
            metrics: metrics
        )
        let replica = try NewID.make(ReplicaID.self)
        var direct = DirectSession.Configuration(conninfo: conninfo)
        direct.channels = [Hint.channel(replica)]
        let session = DirectSession(
            configuration: direct,
            reactor: reactor,
            blocking: TestPlatform.blocking,
            log: .silent
        )
        let spawner = Spawner(
            launcher: try Spawner.findLauncher(),
            reactor: reactor,
            blocking: TestPlatform.blocking,
            log: .silent,
            metrics: nil
        )
        let workers = WorkerPool(
            spawner: spawner,
            limits: limits,
            workspaces: workspaces,
            log: log,
            metrics: metrics
        )
        let platform = GatewayPlatform(
            pool: pool,
            session: session,
            workers: workers,
            reactor: reactor,
            lockCapacity: 1_000,
            log: log,
            metrics: metrics
        )
        var configuration = GatewayConfiguration(replica: replica, label: "test", version: "test")
        configuration.limits = limits
        configuration.usesHints = usesHints
        return (Gateway(configuration, on: platform), pool)
    }

    /// A token of `org`, which is created if it is missing.
    static func provision(_ gateway: Gateway, _ org: OrganizationID, scopes: Set<Scope>) async throws -> String {
        try await gateway.ensureOrganization(org)
        return try await gateway.tenant(org).createToken(name: "test", scopes: scopes, lifetime: nil).secret
    }

    /// Sends requests with a token of `org` that has these scopes.
    func client(of org: String, _ scopes: Set<Scope>) async throws -> Probe {
        let token = try await Self.provision(self.gateway, try OrganizationID(org), scopes: scopes)
        return Probe(port: self.port, token: token)
    }
}
