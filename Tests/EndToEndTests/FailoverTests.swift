import Domain
import Postgres
import Runtime
import TestKit
import Testing

extension EndToEnd {
    @Suite struct FailoverTests {
        private static let conversations = 4

        @Test("over a failover shorter than the trust window no accepted turn is lost and every worker is kept")
        func shorter() async throws {
            try await Self.failOver(after: .zero) { #expect($0 == Self.conversations, "none was placed anew") }
        }

        @Test("a failover longer than the trust window costs the workers and no accepted turn")
        func longer() async throws {
            try await Self.failOver(after: .seconds(7)) { #expect($0 == 2 * Self.conversations, "each was, once") }
        }

        @Test("what an asynchronous standby had not got is gone, and no worker remembers it")
        func lostPast() async throws {
            try await ServerPair.with(isSynchronous: false) { pair in
                try await Installation.with(pair.conninfo) { installation in
                    let client = installation.client(try await installation.replica().port)
                    try await client.putPaced()
                    #expect(ReplyList.items(try await client.reply("paced", "c", "one")) == ["one"])
                    try await pair.primary.leaveBehind(pair.standby)
                    let lost = try await client.submit("paced", "c", "two")
                    #expect(try await client.outcome(lost).list == ["one", "two"])
                    try await pair.primary.kill()
                    try await pair.standby.promote()
                    try await installation.areReady([client])
                    #expect(try await client.http.send("GET", "/v1/turns/\(lost)").status == 404)
                    #expect(ReplyList.items(try await client.reply("paced", "c", "three")) == ["one", "three"])
                    try await Ledger(installation).check(turns: 2)
                }
            }
        }

        /// Kills the primary under running turns and promotes its standby after `pause`; then the old one comes back.
        /// `look` is told how many workers the conversations have had in all.
        private static func failOver(
            after pause: Duration,
            _ look: @escaping @Sendable (_ workers: Int) -> Void
        ) async throws {
            try await ServerPair.with(isSynchronous: true) { pair in
                try await Installation.with(pair.conninfo) { installation in
                    let replicas = try await installation.replicas(2)
                    let clients = replicas.map { installation.client($0.port) }
                    try await clients[0].putPaced(more: #","retries":1"#)
                    let over = StopSignal()
                    var turns = 0
                    try await withThrowingTaskGroup(of: Int.self) { group in
                        defer { over.raise() }
                        for number in 0..<Self.conversations {
                            let client = clients[number % clients.count]
                            group.addTask { try await client.converse("c-\(number)", until: over) }
                        }
                        try await eventually("every conversation has its worker", within: .seconds(20)) {
                            try await installation.deployments() == Self.conversations
                        }
                        turns += try await Self.fail(pair, over: clients, after: pause)
                        try await installation.areReady(clients)
                        turns += try await Self.bringBack(pair, installation, clients)
                        look(try await installation.deployments())
                        over.raise()
                        for try await told in group { turns += told }
                    }
                    for replica in replicas { #expect(!replica.process.hasEnded) }
                    try await eventually("every accepted turn has ended") {
                        try await Ledger(installation).count(
                            "SELECT count(*) FROM turnpike.turns WHERE state IN ('queued', 'running')"
                        ) == 0
                    }
                    try await Ledger(installation).check(turns: turns)
                    try await installation.expectOneOwnerEach(of: replicas.count)
                }
            }
        }

        /// The failover itself; returns how many turns were accepted beside the conversations'.
        private static func fail(
            _ pair: ServerPair,
            over clients: [Client],
            after pause: Duration
        ) async throws -> Int {
            let killed = ContinuousClock.now
            try await pair.primary.kill()
            async let answers = withThrowingTaskGroup(of: Answer.self) { group in
                for (number, client) in clients.enumerated() {
                    group.addTask {
                        let path = Client.path("paced", "away-\(number)", "turns")
                        return try await client.http.send("POST", path, #"{"input":"x"}"#)
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            if pause > .zero {
                for answer in try await answers { #expect(answer.status == 503, "\(answer.text)") }
                for client in clients { #expect(try await client.http.send("GET", "/livez").status == 200) }
                try await eventually("the primary has been away for \(pause)") { ContinuousClock.now - killed >= pause }
            }
            let start = ContinuousClock.now
            try await pair.standby.promote()
            let promoted = ContinuousClock.now
            let served = try await clients[0].converseOnce("after")
            Figures.report(
                "PostgreSQL failed over \(start - killed) after its primary was killed: promoted in \(promoted - start), "
                    + "a turn served \(ContinuousClock.now - start) after it was told to be"
            )
            var accepted = 0
            for answer in try await answers {
                if answer.status == 202 { accepted += 1 } else { #expect(answer.status == 503, "\(answer.text)") }
                if answer.status == 503 { #expect(answer.headers["retry-after"] != nil) }
            }
            return served + accepted
        }

        /// The old primary comes back with what it had, and every replica has to connect anew; returns the turns of this.
        private static func bringBack(
            _ pair: ServerPair,
            _ installation: Installation,
            _ clients: [Client]
        ) async throws -> Int {
            let stale = try await pair.bringBack()
            let cut = try await Ledger(installation).count(
                """
                SELECT count(*) FILTER (WHERE pg_terminate_backend(pid, 5000)) FROM pg_stat_activity
                WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
                """
            )
            #expect(cut >= 2 * clients.count, "each has a lock session and a pool")
            try await installation.areReady(clients)
            var turns = 0
            for (number, client) in clients.enumerated() {
                turns += try await client.converseOnce("back-\(number)")
            }
            try await eventually("nobody stays with the stale server") {
                try await stale.ask(
                    """
                    SELECT count(*) = 0 FROM pg_stat_activity
                    WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
                    """
                )
            }
            return turns
        }
    }
}

extension Client {
    /// Posts one turn after another until told, then a last one; returns how many. Each reply is the whole list.
    fileprivate func converse(_ name: String, until over: StopSignal) async throws -> Int {
        try await EndToEnd.RollingRestartTests.converse(self, name, until: over, Locked(0))
    }

    /// Posts one turn and reads its reply, however often it has to ask.
    fileprivate func converseOnce(_ name: String) async throws -> Int {
        let over = StopSignal()
        over.raise()
        return try await self.converse(name, until: over)
    }
}

extension Installation {
    /// The placements of workers in the conversations that go on throughout.
    fileprivate func deployments() async throws -> Int {
        try await Ledger(self).count(
            """
            SELECT count(*) FROM turnpike.deployments d JOIN turnpike.conversations c ON c.id = d.conversation_id
            WHERE c.conversation LIKE 'c-%'
            """
        )
    }

    fileprivate func areReady(_ clients: [Client]) async throws {
        for client in clients {
            try await eventually("the replica is ready again", within: .seconds(15)) {
                try await client.http.send("GET", "/readyz").status == 200
            }
        }
    }

    /// Each conversation that is held has one worker, and its lock and each replica's are all that are held.
    fileprivate func expectOneOwnerEach(of replicas: Int) async throws {
        let (owned, placed): (Query, Query) = (
            "SELECT count(*) FROM turnpike.conversations WHERE owner_replica IS NOT NULL",
            "SELECT count(*) FROM turnpike.deployments WHERE ended_at IS NULL"
        )
        try await eventually("one lock and one worker for each conversation that is held") {
            let ledger = Ledger(self)
            let held = try await ledger.count(owned)
            let locks = try await self.lockSessions()
            return try await ledger.count(placed) == held && locks.count == replicas
                && locks.values.reduce(0, +) == held + replicas
        }
    }
}
