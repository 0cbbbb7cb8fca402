package import Runtime

/// A bounded set of connections that are lent out and come back clean.
///
/// Connections open when first needed. A connection that was lost is replaced, with a jittered backoff while the server
/// is away; whoever waits keeps waiting up to the wait deadline, so a restart of the server is a delay and not a failure.
package final class ConnectionPool: Service, Sendable {
    /// How a pool behaves.
    package struct Configuration: Sendable {
        /// The connection string; may lead through a transaction pooler.
        package var conninfo: String
        /// Most connections at once.
        package var size: Int
        /// The pool's name in logs and metrics.
        package var name = "main"
        /// Most tasks that may wait for a connection at once.
        package var waiterLimit = 1024
        /// How long a task may wait for a connection.
        package var waitDeadline: Duration = .seconds(5)
        /// How long opening a connection may take.
        package var connectDeadline: Duration = .seconds(3)
        /// How long a request may take.
        package var requestDeadline: Duration = .seconds(15)
        /// How long the server waits for the next statement of a transaction before it rolls it back.
        package var transactionIdleLimit: Duration = .seconds(5)
        /// Whether connections keep prepared statements.
        package var preparesStatements = true
        /// The delay between attempts to reach a server that is away.
        package var backoff = Backoff(first: .milliseconds(20), longest: .milliseconds(500))
        /// libpq parameters that override those of the connection string.
        package var settings: [(name: String, value: String)] = []

        /// Six connections suffice for one replica; statements are folded and pipelined rather than spread.
        package init(conninfo: String, size: Int = 6) {
            self.conninfo = conninfo
            self.size = size
        }
    }

    struct State {
        var machine: PoolStateMachine
        var connections: [Int: PostgresConnection] = [:]
        var waiters: [Int: CheckedContinuation<Lease, any Error>] = [:]
        var lastWaiter = 0
        var lastOpenError: PostgresError?
    }

    /// A connection on loan.
    struct Lease: Sendable {
        let id: Int
        let connection: PostgresConnection
    }

    /// A name for people.
    package let name: String
    let configuration: Configuration
    let reactor: Reactor
    let blocking: BlockingPool
    let log: Logger
    let metrics: Metrics
    let state: Locked<State>
    let counter = RoundTripCounter()

    /// Creates the pool; it opens nothing yet.
    package init(
        configuration: Configuration,
        reactor: Reactor,
        blocking: BlockingPool,
        log: Logger,
        metrics: Metrics
    ) {
        self.configuration = configuration
        self.name = "postgres pool \(configuration.name)"
        self.reactor = reactor
        self.blocking = blocking
        self.log = log.with(["pool": .text(configuration.name)])
        self.metrics = metrics
        let machine = PoolStateMachine(size: configuration.size, waiterLimit: configuration.waiterLimit)
        self.state = Locked(State(machine: machine))
        metrics.collect { [weak self] in self?.report(to: $0) }
    }

    /// Requests that the pool's connections have sent: one for each Sync.
    package var roundTrips: Int {
        self.counter.value
    }

    /// Keeps the pool until `stop` is raised, then closes it.
    package func run(until stop: StopSignal) async throws {
        await stop.wait()
        await self.close()
    }

    /// Closes idle connections now and lent ones when they return; who waits gets `closed`.
    package func close() async {
        self.advance { $0.close() }
    }

    /// Runs one statement; see `PostgresConnection.query`.
    @discardableResult
    package func query(_ query: Query, deadline: Duration? = nil) async throws -> [Row] {
        try await self.perform([query], deadline: deadline).first?.rows ?? []
    }

    /// Runs one statement and returns how many rows it touched; see `PostgresConnection.query`.
    @discardableResult
    package func execute(_ query: Query, deadline: Duration? = nil) async throws -> Int {
        try await self.perform([query], deadline: deadline).first?.affectedRows ?? 0
    }

    /// Runs statements in one round trip and one transaction; see `PostgresConnection.pipeline`.
    @discardableResult
    package func pipeline(_ queries: [Query], deadline: Duration? = nil) async throws -> [[Row]] {
        guard !queries.isEmpty else { return [] }
        return try await self.perform(queries, deadline: deadline).map(\.rows)
    }

    /// Lends one connection to `body`. Don't let it escape. What the body leaves open is rolled back; session state
    /// that it sets (LISTEN, SET, session locks) is not undone, so it must not.
    @discardableResult
    package func withConnection<Value: Sendable>(
        _ body: (PostgresConnection) async throws -> Value
    ) async throws -> Value {
        let lease = try await self.acquire()
        let result: Result<Value, any Error>
        do {
            result = .success(try await body(lease.connection))
        } catch {
            result = .failure(error)
        }
        self.giveBack(lease, isHealthy: await lease.connection.settle())
        return try result.get()
    }

    /// Lends one connection in a transaction; see `PostgresConnection.withTransaction`.
    @discardableResult
    package func withTransaction<Value: Sendable>(
        _ body: (PostgresConnection) async throws -> Value
    ) async throws -> Value {
        let idleLimit = self.configuration.transactionIdleLimit
        return try await self.withConnection { try await $0.withTransaction(idleLimit: idleLimit, body) }
    }

    /// Sends a pipeline on any connection. When the connection turns out to have died before the request was sent,
    /// another one is tried: nothing has happened yet.
    private func perform(_ queries: [Query], deadline: Duration?) async throws -> [ResultSet] {
        var attemptsLeft = self.configuration.size + 1
        while true {
            attemptsLeft -= 1
            let lease = try await self.acquire()
            do {
                let reply = try await lease.connection.perform(.statements(queries), deadline: deadline)
                let isHealthy = reply.isIdle ? true : await lease.connection.settle()
                self.giveBack(lease, isHealthy: isHealthy)
                return reply.results
            } catch {
                // A server that has become read-only is left: the next connection finds the one that is not.
                let leadsNowhere = (error as? PostgresError)?.sqlState == SQLState.readOnly
                self.giveBack(lease, isHealthy: await lease.connection.settle() && !leadsNowhere)
                guard let failure = error as? PostgresError, failure.code == .connectionLost,
                    !failure.isOutcomeUnknown, attemptsLeft > 0
                else { throw error }
            }
        }
    }

    private func report(to metrics: Metrics) {
        let (idle, lent, opening, waiters) = self.state.withLock {
            ($0.machine.idleCount, $0.machine.lentCount, $0.machine.openingCount, $0.machine.waiterCount)
        }
        let pool = self.configuration.name
        for (state, count) in [("idle", idle), ("lent", lent), ("opening", opening)] {
            let labels = ["pool": pool, "state": state]
            metrics.set("postgres_pool_connections", "Connections by state.", labels: labels, to: Double(count))
        }
        metrics.set("postgres_pool_waiters", "Tasks that wait.", labels: ["pool": pool], to: Double(waiters))
        let help = "Requests sent to the server."
        metrics.set("postgres_round_trips", help, labels: ["pool": pool], to: Double(self.roundTrips))
    }
}
