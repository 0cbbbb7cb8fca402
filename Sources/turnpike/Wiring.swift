import API
import Crypto
import Domain
import Faults
import Gateway
import Glibc
import HTTP
import Postgres
import Runtime
import Store
import Subprocess
import Workers

/// Constructs a replica from its configuration and runs it: the one place that knows every module.
enum Wiring {
    /// The threads and pools that everything shares.
    struct Platform {
        let reactor: Reactor
        let httpReactor: Reactor
        let blocking: BlockingPool
        let metrics = Metrics()
        let log: Logger

        init(log: Logger) throws {
            _ = Signals.prepareProcess()
            self.reactor = try Reactor(name: "reactor")
            self.httpReactor = try Reactor(name: "http")
            self.blocking = BlockingPool(threads: 4)
            self.log = log
        }
    }

    /// Serves until SIGTERM or SIGINT. `ready` is told the port once requests can come. Throws when the database is
    /// unfit or away, its schema is not this program's, the port is taken, or a part of the replica failed.
    static func serve(
        _ configuration: Configuration,
        ready: @Sendable (Int) async throws -> Void
    ) async throws {
        let log = Logger(threshold: configuration.logLevel)
        do {
            try Faults.prepare()
        } catch {
            throw CommandFailure(.usage, "\(error)")
        }
        let platform = try Platform(log: log)
        let stop = StopSignal()
        let signals = try self.watchSignals(on: platform, stop: stop)
        defer { signals.watch.cancel(thenClose: true) }
        let limits = try self.limits(configuration)
        let replica = try NewID.make(ReplicaID.self)
        let database = try await self.openDatabase(configuration, limits: limits, replica: replica, platform: platform)
        let workers = WorkerPool(
            spawner: Spawner(
                launcher: try Spawner.findLauncher(),
                reactor: platform.reactor,
                blocking: platform.blocking,
                log: log,
                metrics: platform.metrics
            ),
            limits: limits,
            workspaces: configuration.workspaces,
            floor: try self.floor(configuration),
            log: log,
            metrics: platform.metrics
        )
        var settings = GatewayConfiguration(replica: replica, label: configuration.label, version: Version.text)
        settings.limits = limits
        settings.usesHints = configuration.usesHints
        settings.accounts = try configuration.accounts.map { try AccountFile.read($0) } ?? []
        let gateway = Gateway(
            settings,
            on: GatewayPlatform(
                pool: database.pool,
                session: database.session,
                workers: workers,
                reactor: platform.reactor,
                lockCapacity: database.lockCapacity,
                log: log.with(["replica": .text(replica.text)]),
                metrics: platform.metrics
            )
        )
        signals.whenTold(gateway.beginDraining, again: gateway.leaveAtOnce)
        let server = try self.server(configuration, gateway: gateway, platform: platform)
        let port = try server.bind()
        let models = try ModelListener.open(
            configuration,
            gateway: gateway,
            log: log,
            metrics: platform.metrics
        )
        let group = ServiceGroup(
            self.services(gateway, servers: [server] + (models.map { [$0.server] } ?? []), pool: database.pool),
            patience: limits.drainGrace + .seconds(5),
            log: log
        )
        log.info("replica starts", ["replica": .text(replica.text), "port": .count(port)])
        try await ready(port)
        try await group.run(until: stop)
        await workers.endAll()
        await models?.close()
        log.info("replica ended", ["replica": .text(replica.text)])
    }

    /// The services in dependency order; they stop in reverse. The dispatcher goes first, so that running turns end
    /// while clients can still read their streams; the server goes before what its answers are read from.
    private static func services(
        _ gateway: Gateway,
        servers: [HTTPServer],
        pool: ConnectionPool
    ) -> [any Service] {
        [pool] + gateway.sharedServices + servers + gateway.workingServices
    }

    private static func server(
        _ configuration: Configuration,
        gateway: Gateway,
        platform: Platform
    ) throws -> HTTPServer {
        let api = API(
            gateway: gateway,
            log: platform.log,
            metrics: platform.metrics,
            version: Version.text,
            crossOrigin: CrossOrigin(configuration.corsOrigins),
            provider: try configuration.identity.map { try IdentityFile(path: $0).provider(log: platform.log) }
        )
        var http = HTTPConfiguration()
        http.host = configuration.listen.host
        http.port = UInt16(clamping: configuration.listen.port)
        http.bodyMemory = configuration.bodyMemory
        return HTTPServer(
            configuration: http,
            router: api.router(),
            reactor: platform.httpReactor,
            log: platform.log,
            metrics: platform.metrics,
            renderError: { error, request in api.renderError(error, request) }
        )
    }

    /// What workers are not shown: the files that configure this program, and those that these name.
    private static func floor(_ configuration: Configuration) throws -> IsolationFloor {
        var floor = configuration.floor
        floor.hidden += try ModelListener.upstreams(configuration)?.values.compactMap(\.upstream.keyFile) ?? []
        floor.hidden += try configuration.accounts.map { try AccountFile.secrets($0) } ?? []
        return floor
    }

    private static func limits(_ configuration: Configuration) throws -> Limits {
        var limits = Limits()
        limits.workersPerReplica = configuration.maxWorkers
        limits.drainGrace = configuration.drainGrace
        limits.leaseWait = configuration.leaseWait
        limits.trustLocks(for: configuration.lockTrust)
        if PlantedBug.pollsOff.isPlanted {
            (limits.pollInterval, limits.feedPoll) = (.seconds(86_400), .seconds(86_400))
        }
        if let contradiction = limits.contradictions.first {
            throw CommandFailure(.usage, "the settings contradict each other: \(contradiction)")
        }
        return limits
    }

    // MARK: - Database

    struct Database {
        let pool: ConnectionPool
        let session: DirectSession
        let lockCapacity: Int
    }

    /// A replica may use this part of the cluster's lock table; the rest is for its peers and everybody else.
    private static let lockShare = 8

    /// How many conversations a replica may hold locks for on such a server.
    static func lockCapacity(_ facts: ServerFacts) -> Int {
        facts.lockTableSize / self.lockShare
    }

    private static func openDatabase(
        _ configuration: Configuration,
        limits: Limits,
        replica: ReplicaID,
        platform: Platform
    ) async throws -> Database {
        let (pooled, direct) = try configuration.requireDatabase()
        let facts = try await StartupProbe.run(
            conninfo: direct,
            on: platform.reactor,
            blocking: platform.blocking,
            log: platform.log,
            allowUnsafeDurability: configuration.allowsUnsafeDurability
        )
        let pool = ConnectionPool(
            configuration: .init(conninfo: pooled, size: configuration.poolSize),
            reactor: platform.reactor,
            blocking: platform.blocking,
            log: platform.log,
            metrics: platform.metrics
        )
        let applied = try await pool.withConnection { try await Schema.migrator.appliedCount(on: $0) }
        guard applied == Schema.version else {
            throw CommandFailure(
                .failure,
                "the database has \(applied) of this program's \(Schema.version) migrations",
                remedy: "Run \"turnpike migrate\" first."
            )
        }
        try await DatabaseAccess.checkWalls(Store(pool: pool))
        var lockSession = DirectSession.Configuration(conninfo: direct)
        if configuration.usesHints { lockSession.channels = [Hint.channel(replica)] }
        lockSession.heartbeatInterval = limits.heartbeatInterval
        lockSession.trustWindow = limits.lockTrust
        lockSession.idleSessionTimeout = limits.lockRelease
        let session = DirectSession(
            configuration: lockSession,
            reactor: platform.reactor,
            blocking: platform.blocking,
            log: platform.log
        )
        return Database(pool: pool, session: session, lockCapacity: self.lockCapacity(facts))
    }

    // MARK: - Signals

    /// SIGTERM and SIGINT: the first asks to leave, the second to wait for no turn, the third ends the process, and its
    /// workers die with it.
    final class SignalWatch: Sendable {
        let watch: Watch
        private let told: Locked<Told>

        struct Told: Sendable {
            var times = 0
            var bodies: [@Sendable () -> Void] = []
        }

        init(watch: Watch, told: Locked<Told>) {
            self.watch = watch
            self.told = told
        }

        /// Calls `first` when the process is asked to leave, before anything stops, and `again` when it is asked again.
        func whenTold(_ first: @escaping @Sendable () -> Void, again: @escaping @Sendable () -> Void) {
            self.told.withLock { $0.bodies = [first, again] }
        }
    }

    private static func watchSignals(on platform: Platform, stop: StopSignal) throws -> SignalWatch {
        let told = Locked(SignalWatch.Told())
        let log = platform.log
        let watch = try Signals.watch([SIGTERM, SIGINT], on: platform.reactor) { number in
            let (times, bodies) = told.withLock { told in
                told.times += 1
                return (told.times, told.bodies)
            }
            log.warning("told to leave", ["signal": .number(Int64(number)), "times": .count(times)])
            // Before there is anything to wind up, the second time is the last.
            guard times <= max(1, bodies.count) else { exit(130) }
            if times <= bodies.count { bodies[times - 1]() }
            stop.raise()
        }
        return SignalWatch(watch: watch, told: told)
    }
}
