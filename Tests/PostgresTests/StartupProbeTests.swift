import Foundation
import Glibc
import Postgres
import Runtime
import Testing

@Suite("The startup probe", .timeLimit(.minutes(1)))
struct StartupProbeTests {
    @Test("reads a good server's facts")
    func good() async throws {
        let server = try await PrivateServer.make(
            label: "g",
            settings: ["fsync = on", "max_prepared_transactions = 7"]
        )
        defer { server.remove() }
        let facts = try await self.probe(server.conninfo)
        #expect(facts.version >= 150_000 && facts.maxConnections == 300 && facts.maxPreparedTransactions == 7)
        #expect(facts.lockTableSize == facts.maxLocksPerTransaction * 307)
        #expect(facts.systemIdentifier?.isEmpty == false)
        let role = "CREATE ROLE plain LOGIN; REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC"
        let connection = try await Bench(server).connect()
        try await connection.simple(role)
        await connection.close()
        #expect(try await self.probe(server.conninfo + " user=plain").systemIdentifier == nil)
    }

    @Test("refuses a server that loses data, unless told to, loudly")
    func durability() async throws {
        // The shared server runs with fsync=off.
        let conninfo = try PrivateServer.shared.get().conninfo
        await #expect(throws: StartupProbe.Refusal.fsyncOff) { try await self.probe(conninfo) }
        let lines = Locked<[String]>([])
        let log = Logger(threshold: .warning) { line in lines.withLock { $0.append(line) } }
        _ = try await self.probe(conninfo, log: log, allowUnsafeDurability: true)
        #expect(lines.withLock { $0.count == 1 && $0[0].contains("UNSAFE") })
        let server = try await PrivateServer.make(label: "c", settings: ["fsync = on", "synchronous_commit = off"])
        defer { server.remove() }
        await #expect(throws: StartupProbe.Refusal.synchronousCommitOff) { try await self.probe(server.conninfo) }
    }

    @Test("refuses a standby, even a safe one")
    func standby() async throws {
        let server = try await PrivateServer.make(label: "b", settings: ["fsync = on"])
        defer { server.remove() }
        try await BlockingPool(threads: 1).run {
            server.stop()
            // A standby that waits for archived changes which never come.
            try server.configure(["hot_standby = on", "restore_command = '/bin/false'"])
            let signal = "\(server.directory)/data/standby.signal"
            close(try SystemError.check("open", open(signal, O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)))
            try server.start()
        }
        await #expect(throws: StartupProbe.Refusal.standby) { try await self.probe(server.conninfo) }
    }

    @Test("refuses a connection pooler in either mode", arguments: ["transaction", "session"])
    func pooler(_ mode: String) async throws {
        let server = try PrivateServer.shared.get()
        let pooler = try await BlockingPool(threads: 1).run { try PgBouncer(mode: mode, before: server) }
        defer { pooler.stop() }
        try await eventually { PostgresServer.ping(pooler.conninfo) }
        await #expect(throws: StartupProbe.Refusal.pooled) { try await self.probe(pooler.conninfo) }
    }

    @Test("a pool works behind a transaction pooler, where prepared statements do not")
    func poolBehindPooler() async throws {
        let server = try PrivateServer.shared.get()
        let pooler = try await BlockingPool(threads: 1).run { try PgBouncer(mode: "transaction", before: server) }
        defer { pooler.stop() }
        try await eventually { PostgresServer.ping(pooler.conninfo) }
        let bench = try Bench(Bench(), conninfo: pooler.conninfo)
        let pool = bench.pool(size: 6)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<300 {
                group.addTask {
                    let rows = try await pool.query("SELECT \(number)::int + \(1)::int AS n, pg_sleep(0.001)")
                    #expect(try rows[0].get("n", as: Int.self) == number + 1)
                    _ = try await pool.pipeline(["SELECT \(number)::int AS a", "SELECT \(number)::bigint AS b"])
                    // What is set for a pipeline's transaction is there in all of it, and gone after it.
                    let set = try await pool.pipeline([
                        "SELECT set_config('role', 'pg_monitor', true), set_config('a.b', \(String(number)), true)",
                        "SELECT current_user::text || current_setting('a.b') AS both",
                    ])
                    #expect(try set[1][0].get("both") == "pg_monitor\(number)")
                    let after = try await pool.query("SELECT current_user || current_setting('a.b', true) AS both")
                    #expect(try after[0].get("both", as: String?.self).map { $0.contains("pg_monitor") } != true)
                }
            }
            try await group.waitForAll()
        }
        await pool.close()
    }

    @discardableResult
    private func probe(
        _ conninfo: String,
        log: Logger = .silent,
        allowUnsafeDurability: Bool = false
    ) async throws -> ServerFacts {
        let bench = try Bench()
        return try await StartupProbe.run(
            conninfo: conninfo,
            on: bench.reactor,
            blocking: bench.blocking,
            log: log,
            allowUnsafeDurability: allowUnsafeDurability
        )
    }
}

/// A pooler in front of a server, with fewer server sessions than clients so that it must swap.
private final class PgBouncer: Sendable {
    static let binary = "/usr/sbin/pgbouncer"

    let directory: String
    private let processID: Int32

    init(mode: String, before server: PrivateServer) throws {
        guard FileManager.default.isExecutableFile(atPath: Self.binary) else {
            throw PrivateServer.Failure(description: "package pgbouncer is missing: no \(Self.binary)")
        }
        self.directory = "\(server.directory)/pooler-\(mode)-\(UInt32.random(in: 0...UInt32.max))"
        try FileManager.default.createDirectory(atPath: self.directory, withIntermediateDirectories: false)
        let file = """
            [databases]
            * = host=\(server.directory) user=postgres
            [pgbouncer]
            listen_addr =
            unix_socket_dir = \(self.directory)
            listen_port = 6432
            auth_type = any
            pool_mode = \(mode)
            default_pool_size = 3
            """
        try file.write(toFile: "\(self.directory)/ini", atomically: true, encoding: .utf8)
        if geteuid() == 0 {
            guard let user = getpwnam("postgres") else { throw PrivateServer.Failure(description: "no user postgres") }
            for path in [self.directory, "\(self.directory)/ini"] {
                try SystemError.check("chown", chown(path, user.pointee.pw_uid, user.pointee.pw_gid))
            }
        }
        let command = asUser([Self.binary, "\(self.directory)/ini"], dieWithParent: "TERM")
        self.processID = try OnePlainThread.start(command, log: "\(self.directory)/log")
    }

    var conninfo: String { "host=\(self.directory) port=6432 user=postgres dbname=postgres" }

    func stop() {
        kill(self.processID, SIGTERM)
        OnePlainThread.waitUntilEnded(self.processID)
    }
}
