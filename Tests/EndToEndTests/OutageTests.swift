import Domain
import EmbeddedPostgres
import Glibc
import Postgres
import TestKit
import Testing

extension EndToEnd {
    @Suite struct OutageTests {
        @Test("a turn goes on when its replica's lock session is cut, and the locks are taken again")
        func lockSessionCut() async throws {
            try await Installation.with { installation in
                let client = installation.client(try await installation.replica().port)
                try await client.putPaced()
                let turn = try await client.submit("paced", "c", "one 60 0.05")
                try await installation.says(turn, atLeast: 3)
                let before = try await installation.lockSessions()
                #expect(before.count == 1)
                try await installation.pool.query("SELECT pg_terminate_backend(\(before.keys.first ?? 0)::integer)")
                try await eventually("the locks are held by another session", within: .seconds(3)) {
                    let now = try await installation.lockSessions()
                    return now.count == 1 && now.keys.first != before.keys.first && now.values.first == 2
                }
                let outcome = try await client.outcome(turn)
                #expect(outcome.state == "completed" && outcome.list == ["one"], "\(outcome)")
                #expect(ReplyList.items(try await client.reply("paced", "c", "two")) == ["one", "two"])
                // The worker stayed: there was nothing to hydrate.
                #expect(try await Ledger(installation).count("SELECT count(*) FROM turnpike.deployments") == 1)
                try await Ledger(installation).check(turns: 2)
            }
        }

        @Test("events whose commit was not heard of are in the log once")
        func eventsInDoubt() async throws {
            try await Installation.with { installation in
                let faults = (1...4).map { "appendCommitted:error@\($0)" }.joined(separator: ",")
                let replica = try await installation.replica(["fault": faults])
                let client = installation.client(replica.port)
                try await client.putPaced()
                let turn = try await client.submit("paced", "c", "one 20 0.05")
                let outcome = try await client.outcome(turn)
                #expect(outcome.state == "completed", "\(outcome)")
                let said = try await installation.pool.query(
                    """
                    SELECT string_agg(data ->> 'text', '' ORDER BY seq) AS said FROM turnpike.events
                    WHERE turn = \(turn)::uuid AND type = 'delta'
                    """
                )
                #expect(try said.first?.get("said") == outcome.reply)
                #expect(replica.process.text.split(separator: "\n").count { $0.contains(#""message":"fault""#) } == 4)
                try await Ledger(installation).check(turns: 1)
            }
        }

        @Test("an acceptance whose answer was lost is found out about, handed over or not, and is one turn")
        func acceptanceInDoubt() async throws {
            try await Installation.with { installation in
                // The first turn is queued, the second is handed over to the idle worker in the same transaction.
                for hit in 1...2 {
                    let replica = try await installation.replica(["fault": "acceptCommitted:error@\(hit)"])
                    let client = installation.client(replica.port)
                    try await client.putPaced()
                    _ = try await client.reply("paced", "c-\(hit)", "one")
                    _ = try await client.reply("paced", "c-\(hit)", "two")
                    #expect(
                        ReplyList.items(try await client.reply("paced", "c-\(hit)", "three")) == [
                            "one", "two", "three",
                        ]
                    )
                    #expect(replica.process.text.contains(#""message":"fault","point":"acceptCommitted""#))
                    #expect(try await replica.leave(within: .seconds(10)) == 0)
                }
                try await Ledger(installation).check(turns: 6)
            }
        }

        @Test("PostgreSQL may restart under a running turn, and while it is away clients are told to come again")
        func serverRestarted() async throws {
            let folder = try ScratchDirectory()
            let data = folder.file("cluster")
            let first = try await EmbeddedPostgres.start(in: data, mode: .throwaway)
            let environment = Installation.environment(first.conninfo, folder)
            #expect(try await Program.run(["migrate"], environment, in: folder).status == 0)
            try await Installation.with(first.conninfo) { installation in
                let client = installation.client(try await installation.replica().port)
                try await client.putPaced()
                let running = try await client.submit("paced", "c", "one 60 0.05")
                let queued = try await client.submit("paced", "c", "two")
                try await installation.says(running, atLeast: 3)
                async let completion = client.complete("d", "three 60 0.05")
                try await eventually("the completion's turn runs") {
                    try await Ledger(installation).count("SELECT count(*) FROM turnpike.markers") == 2
                }
                await first.stop()
                let second = try await EmbeddedPostgres.start(in: data, mode: .throwaway)
                let outcome = try await client.outcome(running)
                #expect(outcome.state == "completed" && outcome.list == ["one"], "\(outcome)")
                #expect(try await client.outcome(queued).list == ["one", "two"])
                let whole = try await completion
                #expect(whole.status == 200 && whole.text.contains("three"), "it waits for its turn: \(whole.text)")

                await second.stop()
                let refused = try await client.http.send("POST", Client.path("paced", "c", "turns"), #"{"input":"x"}"#)
                #expect(refused.status == 503 && refused.headers["retry-after"] != nil, "\(refused.text)")
                // Its next try could be given the reply to an earlier request of the same words.
                let first = try await client.complete("d", "three", try: 0)
                #expect(first.status == 503 && first.headers["x-should-retry"] == "false", "\(first.text)")
                #expect(try await client.http.send("GET", "/livez").status == 200)
                #expect(try await client.http.send("GET", "/readyz").status == 503)
                let third = try await EmbeddedPostgres.start(in: data, mode: .throwaway)
                try await eventually("the replica is ready again", within: .seconds(15)) {
                    try await client.http.send("GET", "/readyz").status == 200
                }
                #expect(ReplyList.items(try await client.reply("paced", "c", "three")) == ["one", "two", "three"])
                try await Ledger(installation).check(turns: 4)
                await installation.end()
                await third.stop()
            }
        }
    }
}

extension Client {
    /// A completion, not streamed, in a conversation of the agent whose turns take their time.
    fileprivate func complete(_ conversation: String, _ text: String, try count: Int? = nil) async throws -> Answer {
        var headers = ["X-Conversation-Id": conversation]
        if let count { headers["x-stainless-retry-count"] = String(count) }
        let body = #"{"model":"paced","messages":[{"role":"user","content":"\#(text)"}]}"#
        return try await self.http.send("POST", "/v1/chat/completions", body, headers: headers)
    }
}

extension Installation {
    /// The sessions that hold advisory locks in this database, and how many each holds.
    func lockSessions() async throws -> [Int: Int] {
        let rows = try await self.pool.query(
            """
            SELECT l.pid, count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
            WHERE l.locktype = 'advisory' AND l.granted AND d.datname = current_database() GROUP BY l.pid
            """
        )
        return Dictionary(
            uniqueKeysWithValues: try rows.map { (try $0.get("pid", as: Int.self), try $0.get("count", as: Int.self)) }
        )
    }
}
