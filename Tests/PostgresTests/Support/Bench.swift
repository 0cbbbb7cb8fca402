import Postgres
import Runtime
import Testing

/// What a test needs around a connection.
struct Bench: Sendable {
    let reactor: Reactor
    let blocking = BlockingPool(threads: 4)
    let log = Logger.silent
    let conninfo: String

    /// A bench at the shared server, or at `server`.
    init(_ server: PrivateServer? = nil) throws {
        self.reactor = try Reactor(name: "test")
        self.conninfo = try (server ?? PrivateServer.shared.get()).conninfo
    }

    /// The same bench pointed elsewhere.
    init(_ other: Bench, conninfo: String) {
        self.reactor = other.reactor
        self.conninfo = conninfo
    }

    func connect(
        _ conninfo: String? = nil,
        _ configure: (inout PostgresConnection.Options) -> Void = { _ in }
    ) async throws -> PostgresConnection {
        var options = PostgresConnection.Options()
        configure(&options)
        return try await PostgresConnection.connect(
            conninfo ?? self.conninfo,
            on: self.reactor,
            blocking: self.blocking,
            deadline: .seconds(5),
            log: self.log,
            options: options
        )
    }

    func pool(
        size: Int,
        _ configure: (inout ConnectionPool.Configuration) -> Void = { _ in }
    ) -> ConnectionPool {
        var configuration = ConnectionPool.Configuration(conninfo: self.conninfo, size: size)
        configure(&configuration)
        return ConnectionPool(
            configuration: configuration,
            reactor: self.reactor,
            blocking: self.blocking,
            log: self.log,
            metrics: Metrics()
        )
    }
}

/// Runs `body` with a connection that is closed afterwards.
func withConnection(
    _ configure: (inout PostgresConnection.Options) -> Void = { _ in },
    _ body: (PostgresConnection, Bench) async throws -> Void
) async throws {
    let bench = try Bench()
    let connection = try await bench.connect(nil, configure)
    do {
        try await body(connection, bench)
    } catch {
        await connection.close()
        throw error
    }
    await connection.close()
}

/// Polls `condition` until it holds; fails the test after `bound`.
func eventually(
    within bound: Duration = .seconds(5),
    _ condition: () async throws -> Bool,
    sourceLocation: SourceLocation = #_sourceLocation
) async throws {
    let deadline = ContinuousClock.now + bound
    while ContinuousClock.now < deadline {
        if try await condition() { return }
        try await Task.sleep(for: .milliseconds(2))
    }
    Issue.record("did not happen within \(bound)", sourceLocation: sourceLocation)
}

/// The error that `body` throws, which must be a `PostgresError`.
func failure(
    sourceLocation: SourceLocation = #_sourceLocation,
    of body: () async throws -> Void
) async throws -> PostgresError {
    try #require(
        await #expect(throws: PostgresError.self, sourceLocation: sourceLocation) { try await body() },
        sourceLocation: sourceLocation
    )
}
