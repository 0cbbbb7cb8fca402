import Postgres
import Runtime
import Testing

@Suite("A connection", .timeLimit(.minutes(1)))
struct ConnectionTests {
    @Test("answers a query with binds")
    func query() async throws {
        try await withConnection { connection, _ in
            let rows = try await connection.query("SELECT \(40)::int + \(2)::int AS sum, \("x")::text AS letter")
            #expect(try rows[0].get("sum", as: Int.self) == 42)
            #expect(try rows[0].get("letter", as: String.self) == "x")
        }
    }

    @Test("runs requests of many tasks in the order in which they came")
    func concurrentQueries() async throws {
        try await withConnection { connection, _ in
            try await withThrowingTaskGroup(of: Bool.self) { group in
                for number in 0..<200 {
                    group.addTask {
                        try await connection.query("SELECT \(number)::int AS n")[0].get("n", as: Int.self) == number
                    }
                }
                for try await isRight in group { #expect(isRight) }
            }
        }
    }

    @Test("sends a pipeline in one round trip and one transaction")
    func pipeline() async throws {
        try await withConnection { connection, _ in
            try await connection.simple("CREATE TEMP TABLE p (n int PRIMARY KEY); INSERT INTO p VALUES (1)")
            let before = connection.options.roundTrips.value
            let answers = try await connection.pipeline([
                "INSERT INTO p VALUES (\(2)::int)", "SELECT count(*) AS c, 'a' AS x FROM p", "SELECT 1 AS one",
            ])
            #expect(connection.options.roundTrips.value == before + 1)
            #expect(try answers.map(\.count) == [0, 1, 1] && answers[1][0].get("c", as: Int.self) == 2)

            let error = try await failure {
                try await connection.pipeline([
                    "INSERT INTO p VALUES (\(3)::int)", "INSERT INTO p VALUES (\(1)::int)", "SELECT nonsense",
                ])
            }
            #expect(error.sqlState == "23505" && error.isUniqueViolation(of: "p_pkey"))
            #expect(error.statement?.hasPrefix("INSERT INTO p") == true)
            #expect(try await connection.query("SELECT count(*) AS c FROM p")[0].get("c", as: Int.self) == 2)
        }
    }

    @Test("prepares a statement once, forgets the least used, and survives a change of its result")
    func preparedStatements() async throws {
        try await withConnection { connection, _ in
            let count: Query = "SELECT count(*) AS c FROM pg_prepared_statements"
            for _ in 0..<3 { try await connection.query("SELECT \(1)::int AS same") }
            #expect(try await connection.query(count)[0].get("c", as: Int.self) == 2)
            for number in 0..<300 { try await connection.query(Query(unescaped: "SELECT \(number) AS n")) }
            #expect(try await connection.query(count)[0].get("c", as: Int.self) <= 256)

            try await connection.simple("CREATE TEMP TABLE shape (a int); INSERT INTO shape VALUES (1)")
            #expect(try await connection.query("SELECT * FROM shape").count == 1)
            try await connection.simple("ALTER TABLE shape ADD b int")
            #expect(try await connection.query("SELECT * FROM shape")[0].get("b", as: Int?.self) == nil)
        }
    }

    @Test("a transaction outlives a statement that the server has forgotten")
    func forgottenInTransaction() async throws {
        try await withConnection { connection, _ in
            let add: Query = "SELECT \(1)::int + \(2)::int AS n"
            _ = try await connection.query(add)
            try await connection.simple("DEALLOCATE ALL")
            let rows = try await connection.withTransaction { try await $0.query(add) }
            #expect(try rows.first?.get("n", as: Int.self) == 3)
        }
    }

    @Test("keeps no prepared statement when told so")
    func unprepared() async throws {
        try await withConnection {
            $0.preparesStatements = false
        } _: { connection, _ in
            let rows = try await connection.query("SELECT count(*) AS c FROM pg_prepared_statements")
            #expect(try rows[0].get("c", as: Int.self) == 0)
        }
    }

    @Test("runs a statement again, unprepared, when the server has forgotten it")
    func forgottenStatement() async throws {
        try await withConnection { connection, _ in
            try await connection.query("SELECT \(1)::int AS n")
            try await connection.simple("DEALLOCATE ALL")
            #expect(try await connection.query("SELECT \(2)::int AS n")[0].get("n", as: Int.self) == 2)
            let rows = try await connection.query("SELECT count(*) AS c FROM pg_prepared_statements")
            #expect(try rows[0].get("c", as: Int.self) == 0)
        }
    }

    @Test("says what is wrong with a statement")
    func errors() async throws {
        try await withConnection { connection, _ in
            let error = try await failure { try await connection.query("SELECT   *\n FROM nowhere") }
            #expect(error.code == .server && error.sqlState == "42P01" && !error.isConnectionTrouble)
            #expect(error.statement == "SELECT * FROM nowhere")
            let script = try await failure { try await connection.simple("SELECT 1; SELECT broken") }
            #expect(script.sqlState == "42703")
            #expect(try await connection.query("SELECT 1 AS one").count == 1)
        }
    }

    @Test("cannot be opened where no server is, and says so")
    func noServer() async throws {
        let bench = try Bench()
        let error = try await failure { _ = try await bench.connect("host=/tmp/nowhere dbname=x") }
        #expect(error.code == .connectFailed && error.isConnectionTrouble)
    }

    @Test("finds the one live host among several")
    func severalHosts() async throws {
        let bench = try Bench()
        let directory = try PrivateServer.shared.get().directory
        let hosts = "host=/tmp/nowhere,127.0.0.1,\(directory) port=5432,1,5432 user=postgres dbname=postgres"
        let connection = try await bench.connect(hosts + " target_session_attrs=read-write")
        #expect(try await connection.query("SELECT 1 AS one").count == 1)
        await connection.close()
    }

    @Test("commits what a transaction did, and nothing of one that threw")
    func transactions() async throws {
        struct Regret: Error {}
        try await withConnection { connection, _ in
            try await connection.simple("CREATE TEMP TABLE t (n int)")
            try await connection.withTransaction { try await $0.query("INSERT INTO t VALUES (1)") }
            await #expect(throws: Regret.self) {
                try await connection.withTransaction { connection in
                    try await connection.query("INSERT INTO t VALUES (2)")
                    throw Regret()
                }
            }
            let swallowed = try await failure {
                try await connection.withTransaction { connection in
                    try await connection.query("INSERT INTO t VALUES (3)")
                    _ = try await failure { try await connection.query("SELECT broken") }
                }
            }
            #expect(swallowed.message.contains("rolled back"))
            #expect(try await connection.query("SELECT n FROM t").map { try $0.get("n", as: Int.self) } == [1])
        }
    }

    @Test("delivers notifications while it is idle")
    func notifications() async throws {
        let heard = Locked<[String]>([])
        try await withConnection { options in
            options.onNotification = { channel, payload in heard.withLock { $0.append("\(channel):\(payload)") } }
        } _: { connection, bench in
            try await connection.query("LISTEN bell")
            let other = try await bench.connect()
            for number in 1...3 { try await other.query("SELECT pg_notify('bell', \("ring \(number)"))") }
            try await eventually { heard.withLock { $0 } == ["bell:ring 1", "bell:ring 2", "bell:ring 3"] }
            await other.close()
        }
    }
}
