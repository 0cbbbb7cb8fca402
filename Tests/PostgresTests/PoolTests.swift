import Glibc
import Postgres
import Runtime
import Testing

@Suite("A pool", .timeLimit(.minutes(1)))
struct PoolTests {
    @Test("serves two hundred tasks with four connections")
    func concurrency() async throws {
        let pool = try Bench().pool(size: 4)
        try await withThrowingTaskGroup(of: Int.self) { group in
            for number in 0..<200 {
                group.addTask {
                    let query: Query = "SELECT \(number)::int AS n, pg_backend_pid() AS pid, pg_sleep(0.002)"
                    let row = try await pool.query(query)[0]
                    #expect(try row.get("n", as: Int.self) == number)
                    return try row.get("pid")
                }
            }
            let backends = try await group.reduce(into: Set<Int>()) { $0.insert($1) }
            #expect(backends.count <= 4)
        }
        #expect(pool.roundTrips == 200)
        await pool.close()
    }

    @Test("counts one round trip for a query, one for a pipeline")
    func roundTrips() async throws {
        let pool = try Bench().pool(size: 2)
        try await pool.query("SELECT 1")
        #expect(pool.roundTrips == 1)
        try await pool.pipeline(["SELECT 1", "SELECT 2", "SELECT 3"])
        #expect(pool.roundTrips == 2)
        await pool.close()
    }

    @Test("never lends a connection with an open or failed transaction")
    func dirtyReturn() async throws {
        let pool = try Bench().pool(size: 1)
        try await pool.withConnection { connection in
            try await connection.query("CREATE TEMP TABLE dirt (n int)")
            try await connection.query("BEGIN")
            try await connection.query("INSERT INTO dirt VALUES (1)")
        }
        #expect(try await pool.query("SELECT count(*) AS c FROM dirt")[0].get("c", as: Int.self) == 0)
        _ = try await failure {
            try await pool.withConnection { connection in
                try await connection.query("BEGIN")
                try await connection.query("SELECT broken")
            }
        }
        #expect(try await pool.query("SELECT 1 AS one").count == 1)
        try await pool.query("BEGIN")
        try await pool.query("CREATE TABLE clean_return (n int)")
        let other = try await Bench().connect()
        #expect(try await other.query("SELECT n FROM clean_return").isEmpty)
        await other.close()
        await pool.close()
    }

    @Test("rolls back the transaction of a cancelled task")
    func cancelledTransaction() async throws {
        let pool = try Bench().pool(size: 1)
        try await pool.query("CREATE TABLE cancelled_transaction (n int)")
        let isInside = StopSignal()
        let task = Task {
            try await pool.withTransaction { connection in
                try await connection.query("INSERT INTO cancelled_transaction VALUES (1)")
                isInside.raise()
                try await connection.query("SELECT pg_sleep(30)")
            }
        }
        await isInside.wait()
        task.cancel()
        await #expect(throws: CancellationError.self) { _ = try await task.value }
        let rows = try await pool.query("SELECT count(*) AS c FROM cancelled_transaction")
        #expect(try rows[0].get("c", as: Int.self) == 0)
        await pool.close()
    }

    @Test("a transaction that falls silent lets go of what it has locked")
    func silentTransaction() async throws {
        let pool = try Bench().pool(size: 2) { $0.transactionIdleLimit = .milliseconds(100) }
        try await pool.query("CREATE TABLE silent_transaction (n int)")
        try await pool.query("INSERT INTO silent_transaction VALUES (1)")
        let error = try await failure {
            try await pool.withTransaction { connection in
                try await connection.query("UPDATE silent_transaction SET n = 2")
                // Waits for the row lock of the transaction that says nothing meanwhile.
                try await pool.query("UPDATE silent_transaction SET n = 3", deadline: .seconds(10))
                try await connection.query("UPDATE silent_transaction SET n = 4")
            }
        }
        #expect(error.code == .connectionLost, "\(error)")
        #expect(try await pool.query("SELECT n FROM silent_transaction")[0].get("n", as: Int.self) == 3)
        await pool.close()
    }

    @Test("refuses when too many wait, when the wait is too long, and after it was closed")
    func refusals() async throws {
        let pool = try Bench().pool(size: 1) { configuration in
            configuration.waiterLimit = 1
            configuration.waitDeadline = .seconds(3)
        }
        try await pool.withConnection { _ in
            // Whichever comes first may wait; the other finds the only place taken.
            async let one = failure { try await pool.query("SELECT 1") }
            async let other = failure { try await pool.query("SELECT 1") }
            let codes = try await [one.code, other.code]
            #expect(Set(codes) == [.poolExhausted, .timedOut])
        }
        await pool.close()
        #expect(try await failure { try await pool.query("SELECT 1") }.code == .closed)
    }

    @Test("says that the server is away, not that the wait was long")
    func away() async throws {
        var bench = try Bench()
        bench = Bench(bench, conninfo: "host=/tmp/nowhere")
        let pool = bench.pool(size: 1) { $0.waitDeadline = .seconds(2) }
        #expect(try await failure { try await pool.query("SELECT 1") }.code == .connectFailed)
        await pool.close()
    }

    @Test("waits out a restart of the server and sends again only what was never sent")
    func restart() async throws {
        let server = try await PrivateServer.make(label: "r")
        defer { server.remove() }
        let pool = try Bench(server).pool(size: 4)
        try await pool.query("SELECT 1")
        for signal in [SIGINT, SIGQUIT] {
            try await BlockingPool(threads: 1).run { try server.restart(signal) }
            #expect(try await pool.query("SELECT 1 AS one").count == 1)
        }
        await pool.close()
    }

    @Test("stops as a service and shows its gauges")
    func service() async throws {
        let metrics = Metrics()
        let bench = try Bench()
        let pool = ConnectionPool(
            configuration: .init(conninfo: bench.conninfo, size: 2),
            reactor: bench.reactor,
            blocking: bench.blocking,
            log: bench.log,
            metrics: metrics
        )
        let stop = StopSignal()
        async let run: Void = pool.run(until: stop)
        try await pool.query("SELECT 1")
        #expect(metrics.render().contains(#"postgres_pool_connections{pool="main",state="idle"} 1"#))
        stop.raise()
        try await run
        #expect(try await failure { try await pool.query("SELECT 1") }.code == .closed)
    }
}
