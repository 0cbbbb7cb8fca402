import Postgres
import Runtime
import Testing

@Suite("Losing and cancelling", .timeLimit(.minutes(1)))
struct LossTests {
    @Test("a cancelled task stops its statement at the server and leaves the connection usable")
    func cancellation() async throws {
        try await withConnection { connection, bench in
            let watcher = try await bench.connect()
            let task = Task { try await connection.query("SELECT pg_sleep(30)") }
            try await eventually { try await Self.isSleeping(connection, seenBy: watcher) }
            let start = ContinuousClock.now
            task.cancel()
            await #expect(throws: CancellationError.self) { try await task.value }
            #expect(ContinuousClock.now - start < .seconds(1))
            #expect(try await connection.query("SELECT 1 AS one").count == 1)
            #expect(try await Self.isSleeping(connection, seenBy: watcher) == false)
            await watcher.close()
        }
    }

    @Test("a cancelled task leaves the queue without a trace")
    func cancelledInQueue() async throws {
        try await withConnection { connection, _ in
            async let slow = connection.query("SELECT pg_sleep(0.2)")
            let queued = Task { try await connection.query("SELECT 1 / 0") }
            queued.cancel()
            await #expect(throws: CancellationError.self) { try await queued.value }
            _ = try await slow
            #expect(try await connection.query("SELECT 1 AS one").count == 1)
        }
    }

    @Test("a statement is stopped at its deadline, and its outcome is known")
    func deadline() async throws {
        try await withConnection { connection, _ in
            let error = try await failure {
                try await connection.query("SELECT pg_sleep(30)", deadline: .milliseconds(50))
            }
            #expect(error.code == .timedOut && !error.isOutcomeUnknown)
            #expect(try await connection.query("SELECT 1 AS one").count == 1)
        }
    }

    @Test("cancelling storms never stop a request that nobody cancelled")
    func cancellationStorm() async throws {
        try await withConnection { connection, _ in
            for _ in 0..<30 {
                let victim = Task { try await connection.query("SELECT pg_sleep(10)") }
                async let neighbour = connection.query("SELECT pg_sleep(0.001), 1 AS one")
                try await Task.sleep(for: .microseconds(Int.random(in: 0...2000)))
                victim.cancel()
                await #expect(throws: CancellationError.self) { try await victim.value }
                #expect(try await neighbour.count == 1)
            }
        }
    }

    @Test("a session killed during a statement leaves an unknown outcome, and a queued request a known one")
    func killedBusy() async throws {
        try await withConnection { connection, bench in
            let killer = try await bench.connect()
            let running = Task { try await connection.query("SELECT pg_sleep(30)") }
            try await eventually { try await Self.isSleeping(connection, seenBy: killer) }
            let queued = Task { try await connection.query("SELECT 1 AS one") }
            try await Task.sleep(for: .milliseconds(20))
            try await killer.query("SELECT pg_terminate_backend(\(connection.backendPID)::int)")
            let error = try await failure { _ = try await running.value }
            #expect(error.code == .connectionLost && error.isOutcomeUnknown && error.isConnectionTrouble)
            #expect(error.sqlState == "57P01")
            let waiting = try await failure { _ = try await queued.value }
            #expect(waiting.code == .connectionLost && !waiting.isOutcomeUnknown)
            let late = try await failure { try await connection.query("SELECT 1") }
            #expect(late.code == .connectionLost && !late.isOutcomeUnknown)
            await killer.close()
        }
    }

    @Test("a session killed while idle is seen at once")
    func killedIdle() async throws {
        try await withConnection { connection, bench in
            let killer = try await bench.connect()
            try await connection.query("SELECT 1")
            let lostAt = Locked<ContinuousClock.Instant?>(nil)
            connection.whenLost { _ in lostAt.withLock { $0 = ContinuousClock.now } }
            try await killer.query("SELECT pg_terminate_backend(\(connection.backendPID)::int)")
            let answeredAt = ContinuousClock.now
            let error = await connection.whenLost()
            let delay = try #require(lostAt.withLock { $0 }) - answeredAt
            // A loaded machine may delay everything; nothing but a poll or a timeout would take this long.
            #expect(delay < .milliseconds(500))
            #expect(error.code == .connectionLost && error.sqlState == "57P01")
            await killer.close()
        }
    }

    @Test("a closed connection refuses requests and reports its end to late observers")
    func closed() async throws {
        let bench = try Bench()
        let connection = try await bench.connect()
        await connection.close()
        #expect(try await failure { try await connection.query("SELECT 1") }.code == .closed)
        #expect(await connection.whenLost().code == .closed)
    }

    private static func isSleeping(
        _ connection: PostgresConnection,
        seenBy watcher: PostgresConnection
    ) async throws -> Bool {
        let rows = try await watcher.query(
            """
            SELECT count(*) > 0 AS found FROM pg_stat_activity
            WHERE pid = \(connection.backendPID)::int AND wait_event = 'PgSleep'
            """
        )
        return try rows[0].get("found")
    }
}
