import Glibc
import Postgres
import Runtime
import Testing

@Suite("The direct session", .timeLimit(.minutes(1)))
struct DirectSessionTests {
    @Test("takes locks that exclude other sessions and gives them back")
    func exclusion() async throws {
        try await withTwoSessions { first, second in
            #expect(try await first.tryLock([11, 12]) == [true, true])
            #expect(try await second.tryLock([12, 13]) == [false, true])
            try await first.unlock([11, 12])
            #expect(try await second.tryLock([12]) == [true])
            try await second.unlock([12, 13])
        }
    }

    @Test("is granted its own lock again, and then holds it until it is given back twice")
    func reentrancy() async throws {
        try await withTwoSessions { first, second in
            #expect(try await first.tryLock([21]) == [true])
            #expect(try await first.tryLock([21]) == [true])
            try await first.unlock([21])
            #expect(try await second.tryLock([21]) == [false])
            try await first.unlock([21])
            #expect(try await second.tryLock([21]) == [true])
        }
    }

    @Test("shares one statement among callers that come together, and tells each its own answer")
    func coalescing() async throws {
        try await withTwoSessions { first, second in
            #expect(try await second.tryLock([(1000...1099).randomElement() ?? 1000]).count == 1)
            let before = first.roundTrips
            let answers = try await withThrowingTaskGroup(of: [Bool].self) { group in
                for key in 1000..<1100 {
                    group.addTask { try await first.tryLock([Int64(key), Int64(key) + 1000]) }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(answers.count == 100 && answers.allSatisfy { $0.count == 2 && $0[1] })
            #expect(answers.count { !$0[0] } == 1)
            #expect(first.roundTrips - before < 50)
        }
    }

    @Test("reports a killed session within 100 ms, connects again under a new number, and holds nothing then")
    func loss() async throws {
        let bench = try Bench()
        let events = Events()
        let session = bench.directSession()
        events.observe(session)
        try await running(session) {
            try await eventually { events.connected == [1] }
            #expect(session.isTrusted && session.sessionNumber == 1)
            #expect(try await session.tryLock([31]) == [true])
            let killer = try await bench.connect()
            try await killer.query(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = 31"
            )
            let start = ContinuousClock.now
            try await eventually(within: .milliseconds(500)) { events.lostAt != nil }
            let lostAt = try #require(events.lostAt)
            #expect(lostAt - start < .milliseconds(100))
            try await eventually { events.connected == [1, 2] }
            #expect(session.isTrusted)
            let granted = try await killer.query("SELECT pg_try_advisory_lock(31) AS granted")
            #expect(try granted[0].get("granted", as: Bool.self))
            #expect(try await session.tryLockInSession([31]).session == 2)
            await killer.close()
        }
        #expect(!session.isTrusted)
    }

    @Test("hears notifications, also after it was reconnected")
    func notifications() async throws {
        let bench = try Bench()
        let heard = Locked<[String]>([])
        let events = Events()
        let session = bench.directSession { $0.channels = ["direct one"] }
        session.onNotification { channel, payload in heard.withLock { $0.append("\(channel)=\(payload)") } }
        events.observe(session)
        try await running(session) {
            try await eventually { events.connected.count == 1 }
            try await session.listen(["two"])
            let other = try await bench.connect()
            try await other.pipeline(["SELECT pg_notify('direct one', 'a')", "SELECT pg_notify('two', 'b')"])
            try await eventually { heard.withLock { $0 } == ["direct one=a", "two=b"] }
            #expect(try await session.tryLock([41]) == [true])
            try await other.query(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = 41"
            )
            try await eventually { events.connected.count == 2 }
            try await other.pipeline(["SELECT pg_notify('direct one', 'c')", "SELECT pg_notify('two', 'd')"])
            try await eventually { heard.withLock { $0.count } == 4 }
            await other.close()
        }
    }

    @Test("stops trusting a server that no longer answers, before the trust window ends")
    func silence() async throws {
        let server = try await PrivateServer.make(label: "f")
        defer { server.remove() }
        let bench = try Bench(server)
        let events = Events()
        let session = bench.directSession { configuration in
            configuration.heartbeatInterval = .milliseconds(50)
            configuration.heartbeatDeadline = .milliseconds(200)
            configuration.trustWindow = .milliseconds(600)
            configuration.connectDeadline = .milliseconds(200)
        }
        events.observe(session)
        try await running(session) {
            try await eventually { events.connected.count == 1 }
            let row = try await bench.connect().query(
                """
                SELECT pid FROM pg_stat_activity
                WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() LIMIT 1
                """
            )
            let pid = try #require(row.first).get("pid", as: Int32.self)
            let start = ContinuousClock.now
            kill(pid, SIGSTOP)
            defer { kill(pid, SIGCONT) }
            try await eventually { events.lostAt != nil }
            let lostAt = try #require(events.lostAt)
            #expect(lostAt - start < .milliseconds(600) && lostAt - start > .milliseconds(100))
        }
    }

    @Test("refuses a trust window that the server could outrun")
    func budget() async throws {
        let session = try Bench().directSession { $0.trustWindow = .seconds(4) }
        let error = try await failure { try await session.run(until: StopSignal()) }
        #expect(error.message.contains("trust window"))
    }

    @Test("has no answer while it is not connected")
    func disconnected() async throws {
        let session = try Bench().directSession()
        let error = try await failure { _ = try await session.tryLock([1]) }
        #expect(error.code == .connectionLost && !error.isOutcomeUnknown && session.sessionNumber == nil)
    }

    private func withTwoSessions(_ body: (DirectSession, DirectSession) async throws -> Void) async throws {
        let bench = try Bench()
        let (first, second) = (bench.directSession(), bench.directSession())
        try await running(first) {
            try await running(second) {
                try await eventually { first.isTrusted && second.isTrusted }
                try await body(first, second)
            }
        }
    }

    /// Runs `session` around `body`.
    private func running(_ session: DirectSession, _ body: () async throws -> Void) async throws {
        let stop = StopSignal()
        async let run: Void = session.run(until: stop)
        defer { stop.raise() }
        try await body()
        stop.raise()
        try await run
    }
}

/// What a session told its owner.
private final class Events: Sendable {
    private struct State {
        var connected: [Int] = []
        var lostAt: ContinuousClock.Instant?
    }

    private let state = Locked(State())

    var connected: [Int] { self.state.withLock { $0.connected } }
    var lostAt: ContinuousClock.Instant? { self.state.withLock { $0.lostAt } }

    func observe(_ session: DirectSession) {
        session.onConnected { number in self.state.withLock { $0.connected.append(number) } }
        session.onLost { self.state.withLock { $0.lostAt = $0.lostAt ?? ContinuousClock.now } }
    }
}

extension Bench {
    fileprivate func directSession(
        _ configure: (inout DirectSession.Configuration) -> Void = { _ in }
    ) -> DirectSession {
        var configuration = DirectSession.Configuration(conninfo: self.conninfo)
        configure(&configuration)
        return DirectSession(
            configuration: configuration,
            reactor: self.reactor,
            blocking: self.blocking,
            log: self.log
        )
    }
}
