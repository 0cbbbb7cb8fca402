import Glibc
import Postgres
import Runtime
import Testing

import enum TestKit.LocalSocket

@Suite("Several hosts", .timeLimit(.minutes(1)))
struct SeveralHostsTests {
    @Test("the pool and the lock session pass over the one that takes no writes, and follow when it changes")
    func readWrite() async throws {
        let first = try await PrivateServer.make(label: "h1", settings: ["default_transaction_read_only = on"])
        let second = try await PrivateServer.make(label: "h2")
        let hosts = "host=\(first.directory),\(second.directory) user=postgres dbname=postgres application_name=hosts"
        let bench = Bench(try Bench(second), conninfo: hosts + " target_session_attrs=read-write")
        let pool = bench.pool(size: 2)
        // The lock session asks for a server that takes writes by itself.
        let session = DirectSession(
            configuration: .init(conninfo: hosts),
            reactor: bench.reactor,
            blocking: bench.blocking,
            log: bench.log
        )
        let stop = StopSignal()
        async let run: Void = session.run(until: stop)
        defer { stop.raise() }
        try await eventually { session.isTrusted }
        try await pool.query("CREATE TEMP TABLE here (n int)")
        #expect(try await Self.sessions(on: first) == 0)
        #expect(try await Self.sessions(on: second) == 2)

        try await Self.setReadOnly(first, false)
        try await Self.setReadOnly(second, true)
        try await eventually {
            do {
                try await pool.query("CREATE TABLE IF NOT EXISTS written (n int)")
                return try await Self.sessions(on: first) >= 1
            } catch let error as PostgresError {
                #expect(error.sqlState == "25006" && error.isWorthRepeating, "\(error)")
                return false
            }
        }
        // The lock session writes nothing: its heartbeat asks.
        try await eventually {
            guard session.isTrusted else { return false }
            return try await Self.sessions(on: first) == 2
        }
        try await eventually { try await Self.sessions(on: second) == 0 }
        stop.raise()
        try await run
        await pool.close()
    }

    @Test("a host that is silent, as one whose machine is gone, does not keep anybody from the next")
    func silentHost() async throws {
        // The kernel lets clients in here, and nobody ever answers them.
        let (descriptor, port) = try LocalSocket.listen()
        defer { close(descriptor) }
        let live = try PrivateServer.shared.get().directory
        let bench = try Bench()
        for hosts in ["127.0.0.1,\(live) port=\(port),5432", "\(live),127.0.0.1 port=,\(port)"] {
            let start = ContinuousClock.now
            let connection = try await bench.connect("host=\(hosts) user=postgres dbname=postgres")
            #expect(try await connection.query("SELECT 1 AS one").count == 1)
            #expect(ContinuousClock.now - start < .seconds(3), "of the 5 it may take")
            await connection.close()
        }
    }

    @Test("of several hosts the one that takes writes is meant, and a string that names none of these says why")
    func unasked() async throws {
        let bench = try Bench()
        let standby = try await PrivateServer.make(label: "h3", settings: ["default_transaction_read_only = on"])
        let live = try PrivateServer.shared.get().directory
        let connection = try await bench.connect("host=\(standby.directory),\(live) user=postgres dbname=postgres")
        try await connection.query("CREATE TEMP TABLE here (n int)")
        await connection.close()
        let error = try await failure {
            _ = try await bench.connect("host=\(standby.directory),/tmp/nowhere user=postgres dbname=postgres")
        }
        #expect(error.code == .connectFailed && error.isConnectionTrouble)
        #expect(error.message.contains("read-only") && error.message.contains("/tmp/nowhere"), "\(error)")
    }

    private static func sessions(on server: PrivateServer) async throws -> Int {
        let connection = try await Bench(server).connect()
        let rows = try await connection.query(
            "SELECT count(*) AS n FROM pg_stat_activity WHERE application_name = 'hosts'"
        )
        await connection.close()
        return try rows[0].get("n")
    }

    private static func setReadOnly(_ server: PrivateServer, _ isOn: Bool) async throws {
        let connection = try await Bench(server).connect()
        try await connection.simple("ALTER SYSTEM SET default_transaction_read_only = \(isOn ? "on" : "off")")
        try await connection.simple("SELECT pg_reload_conf()")
        await connection.close()
    }
}
