import Glibc
import Postgres
import TestKit
import Testing

extension EndToEnd {
    @Suite struct OpenAITests {
        @Test("the official SDK of OpenAI, unmodified, works behind a balancer, and no retry of it is a second turn")
        func officialSDK() async throws {
            try await Installation.with { installation in
                let replicas = try await installation.replicas(3)
                let balancer = try await Balancer.start(to: replicas.map(\.port), in: installation.folder)
                let client = installation.client(balancer.port)
                try await client.putPaced("list")
                let plain = #","driver":"command","store_mode":"none""#
                try await client.put("echo", ["cat"], more: plain)
                try await client.put("broken", ["false"], more: plain)
                let double = "\(Places.repository)/Tests/Doubles/worker_double.py"
                let asks = #","store_mode":"none","permissions":"ask""#
                try await client.put("careful", ["/usr/bin/python3", "-S", double, "ask"], more: asks)
                let output = installation.folder.file("sdk.log")
                let start = ContinuousClock.now
                let run = try await Spawned.start(
                    [try Places.sdkPython(), "\(Places.repository)/Tests/EndToEndTests/clients/openai_sdk.py"]
                        + ([balancer.port] + replicas.map(\.port)).map { "http://127.0.0.1:\($0)" },
                    environment: ["PATH": "/usr/bin:/bin", "TURNPIKE_TOKEN": installation.token],
                    output: output
                )
                let status = try await run.end(within: .seconds(90))
                #expect(status == 0, "\(run.text)")
                Figures.report("the OpenAI SDK's checks took \(ContinuousClock.now - start)\n\(run.text)")
                try await Self.checkRetries(installation)
                try await balancer.stop()
            }
        }

        /// The impatient client tried several times each, and each of its messages is one turn.
        private static func checkRetries(_ installation: Installation) async throws {
            let rows = try await installation.pool.query(
                """
                SELECT c.last_turn, (SELECT count(*) FROM turnpike.openai_turns n JOIN turnpike.turns t USING (turn)
                    WHERE t.conversation_id = c.id AND n.fingerprint IS NOT NULL) AS marked
                FROM turnpike.conversations c WHERE c.conversation = 'sdk-retry'
                """
            )
            let row = try #require(rows.first)
            #expect(try row.get("last_turn", as: Int.self) == 2)
            #expect(try row.get("marked", as: Int.self) == 2)
        }
    }
}
