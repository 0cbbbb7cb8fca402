import Glibc
import Postgres
import TestKit
import Testing

extension EndToEnd {
    @Suite struct DrainTests {
        static let conversations = 6

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
    }
}
