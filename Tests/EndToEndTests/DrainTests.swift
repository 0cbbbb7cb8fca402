import Domain
import Glibc
import Postgres
import TestKit
import Testing

extension EndToEnd {
    @Suite struct DrainTests {
        static let conversations = 6
        static let coldStarts = 16

        @Test("a replica told to leave under load finishes its running turns and loses none")
        func drainUnderLoad() async throws {
            try await Installation.with { installation in
                let leaving = try await installation.replica()
                let client = installation.client(leaving.port)
                try await client.putPaced()
                for number in 0..<Self.conversations { _ = try await client.reply("paced", "c-\(number)", "one") }
                let staying = try await installation.replica()
                var running: [String] = []
                for number in 0..<Self.conversations {
                    running.append(try await client.submit("paced", "c-\(number)", "two 40 0.05"))
                    _ = try await client.submit("paced", "c-\(number)", "three")
                }
                for turn in running { try await installation.says(turn, atLeast: 2) }

                leaving.process.signal(SIGTERM)
                try await eventually("the leaving replica is not ready", within: .seconds(2)) {
                    try await client.http.send("GET", "/readyz").status == 503
                }
                // What reaches a replica that is leaving is still accepted, and served by another.
                var last: [String] = []
                for number in 0..<Self.conversations {
                    last.append(try await client.submit("paced", "c-\(number)", "four"))
                }
                let start = ContinuousClock.now
                let code = try await leaving.process.end(within: .seconds(20))
                #expect(code == 0)
                Figures.report(
                    "a replica with \(running.count) running turns left after \(ContinuousClock.now - start)"
                )

                let survivor = installation.client(staying.port)
                for turn in running { #expect(try await survivor.outcome(turn).state == "completed") }
                for turn in last {
                    #expect(try await survivor.outcome(turn).list == ["one", "two", "three", "four"])
                }
                try await Ledger(installation).check(turns: 4 * Self.conversations)
                #expect(try await Ledger(installation).count("SELECT count(*) FROM turnpike.replicas") == 1)
            }
        }

        @Test("a replica told to leave hands over turns whose workers are still to be started, and none of them fails")
        func drainOfColdStarts() async throws {
            try await Installation.with { installation in
                let leaving = try await installation.replica(["drain_seconds": "1"])
                let client = installation.client(leaving.port)
                // More than start at once, each later than the replica may stay.
                let boot = "sleep 3; exec /usr/bin/python3 -S \(Places.worker("paced_agent.py"))"
                try await client.put("paced", ["/bin/sh", "-c", boot])
                var turns: [String] = []
                for number in 0..<Self.coldStarts {
                    turns.append(try await client.submit("paced", "c-\(number)", "one"))
                }
                let ledger = Ledger(installation)
                try await eventually("the replica has them all") {
                    try await ledger.count("SELECT count(*) FROM turnpike.markers") == Self.coldStarts
                }
                let staying = try await installation.replica()
                leaving.process.signal(SIGTERM)
                #expect(try await leaving.process.end(within: .seconds(15)) == 0)
                let survivor = installation.client(staying.port)
                for turn in turns { #expect(try await survivor.outcome(turn).state == "completed") }
                try await ledger.check(turns: Self.coldStarts)
                let again = "SELECT count(*) FROM turnpike.turns WHERE attempt <> 1" as Query
                #expect(try await ledger.count(again) == 0, "no worker had got one, so none was tried again")
                #expect(leaving.process.text.contains(#""ending":"draining""#))
            }
        }

        @Test("turnpike drain empties a replica through another, with hints and without", arguments: ["on", "off"])
        func drainByCommand(hints: String) async throws {
            try await Installation.with { installation in
                let leaving = try await installation.replica(["hints": hints])
                let client = installation.client(leaving.port)
                try await client.putPaced()
                _ = try await client.reply("paced", "idle", "one")
                let running = try await client.submit("paced", "busy", "one 30 0.05")
                try await installation.says(running, atLeast: 2)
                let staying = try await installation.replica(["hints": hints])
                let words = ["drain", "--url", "http://127.0.0.1:\(staying.port)", "--token", installation.token]
                let drain: @Sendable (String, String) async throws -> Program.Ended = { replica, seconds in
                    try await Program.run(
                        words + ["--replica", replica, "--timeout", seconds],
                        installation.environment(),
                        in: installation.folder
                    )
                }
                let early = try await drain(leaving.id, "0")
                #expect(early.status == 1 && early.text.contains("goes on draining"), "\(early.text)")
                let drained = try await drain(leaving.id, "20")
                #expect(drained.status == 0 && drained.text.contains("is empty"), "\(drained.text)")
                let outcome = try #require(try await client.turn(running)["outcome"])
                #expect(outcome["state"]?.text == "completed", "the running turn ended first")
                let held: Query = """
                    SELECT count(*) FROM turnpike.conversations WHERE owner_replica = \(leaving.id)::uuid
                    """
                #expect(try await Ledger(installation).count(held) == 0)

                // It is not ready, answers on, and the other one serves what it accepts.
                #expect(try await client.http.send("GET", "/readyz").status == 503)
                #expect(ReplyList.items(try await client.reply("paced", "idle", "two")) == ["one", "two"])
                #expect(try await Ledger(installation).count(held) == 0)
                #expect(try await drain(leaving.id, "5").status == 0)
                #expect(try await drain("0198a1b2-0000-7000-8000-000000000001", "5").status == 1)
                #expect(staying.process.text.contains("a replica is asked to drain"))
                leaving.process.signal(SIGTERM)
                #expect(try await leaving.process.end(within: .seconds(15)) == 0)
                try await Ledger(installation).check(turns: 3)
            }
        }
    }
}
