import Domain
import Glibc
import Postgres
import TestKit
import Testing

extension EndToEnd {
    @Suite struct BalancedTests {
        static let conversations = 50
        static let turns = 20
        /// Turns that are posted before the last of them is waited for.
        static let burst = 4

        @Test("fifty conversations of twenty turns finish in order behind a balancer though workers are killed")
        func conversationsThroughABalancer() async throws {
            try await Installation.with { installation in
                let replicas = try await installation.replicas(3, ["max_workers": "30"])
                let balancer = try await Balancer.start(to: replicas.map(\.port), in: installation.folder)
                let client = installation.client(balancer.port)
                let command = [try Places.sdkPython(), Places.worker("sdk_agent.py")]
                try await client.put("list", command, more: #","limits":{"start_seconds":120,"snapshot_deltas":6}"#)
                let start = ContinuousClock.now
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for number in 0..<Self.conversations {
                        group.addTask { try await Self.converse(number, client, installation) }
                    }
                    try await group.waitForAll()
                }
                let total = Self.conversations * Self.turns
                Figures.report("\(total) turns of SDK workers through nginx took \(ContinuousClock.now - start)")
                try await Self.check(installation)
                try await balancer.stop()
            }
        }

        /// Posts one conversation's turns in bursts. Half of the bursts are followed as a stream, half are waited for.
        /// Some conversations lose their worker between two bursts.
        private static func converse(_ number: Int, _ client: Client, _ installation: Installation) async throws {
            let name = "c-\(number)"
            for first in stride(from: 0, to: Self.turns, by: Self.burst) {
                for index in first..<(first + Self.burst - 1) {
                    _ = try await client.submit("list", name, "t\(index)")
                }
                let last = "t\(first + Self.burst - 1)"
                if (number + first / Self.burst).isMultiple(of: 2) {
                    let reply = try await client.reply("list", name, last)
                    #expect(ReplyList.items(reply).count == first + Self.burst)
                } else {
                    try await Self.follow(client, name, last)
                }
                if number.isMultiple(of: 6), first == Self.burst * (number % 4) {
                    try await Self.killWorker(of: name, installation)
                }
            }
        }

        /// Posts a turn and reads its events through the balancer to the terminal one.
        private static func follow(_ client: Client, _ name: String, _ text: String) async throws {
            let answer = try await client.http.send(
                "POST",
                Client.path("list", name, "turns"),
                #"{"input":"\#(text)"}"#,
                headers: ["Accept": "text/event-stream"]
            )
            let types = answer.events.map(\.type)
            #expect(types.first == "turn.queued" && types.last == "turn.completed", "\(types)")
            let ids = answer.events.map(\.id)
            #expect(ids == ids.sorted() && Set(ids).count == ids.count)
        }

        /// Kills the conversation's worker as the kernel would, and waits until its replica has seen it.
        private static func killWorker(of name: String, _ installation: Installation) async throws {
            let live: Query = """
                SELECT d.deployment::text, d.pid FROM turnpike.deployments d
                JOIN turnpike.conversations c ON c.id = d.conversation_id
                WHERE c.conversation = \(name)::text AND d.ended_at IS NULL
                """
            let row = try #require(try await installation.pool.query(live).first)
            let pid = try row.get("pid", as: Int32.self)
            let deployment = try row.get("deployment", as: String.self)
            #expect(kill(pid, SIGKILL) == 0)
            try await eventually("the replica sees the end of \(pid)") {
                let rows = try await installation.pool.query(
                    """
                    SELECT 1 FROM turnpike.deployments
                    WHERE deployment = \(deployment)::uuid AND ended_at IS NOT NULL
                    """
                )
                return !rows.isEmpty
            }
        }

        private static func check(_ installation: Installation) async throws {
            let ledger = Ledger(installation)
            try await ledger.check(turns: Self.conversations * Self.turns)
            #expect(try await ledger.count("SELECT count(*) FROM turnpike.outcomes WHERE state <> 'completed'") == 0)
            let snapshots = try await ledger.count("SELECT count(*) FROM turnpike.snapshots")
            #expect(snapshots == Self.conversations * Self.turns)
            // Each reply is the list of all turns so far, in order.
            let replies = try await installation.pool.query(
                """
                SELECT t.seq, o.reply FROM turnpike.turns t JOIN turnpike.outcomes o USING (turn)
                """
            )
            for row in replies {
                let expected = (0..<(try row.get("seq", as: Int.self))).map { "t\($0)" }
                #expect(ReplyList.items(try row.get("reply")) == expected)
            }
            let moved = try await ledger.count(
                """
                SELECT count(*) FROM (
                    SELECT conversation_id FROM turnpike.deployments GROUP BY conversation_id
                    HAVING count(DISTINCT replica) > 1
                ) moved
                """
            )
            #expect(moved >= 1, "a conversation came up on another replica")
            let rows = try await installation.pool.query(
                "SELECT replica::text, count(*) FROM turnpike.deployments GROUP BY replica ORDER BY 2"
            )
            #expect(rows.count == 3, "every replica had workers")
            let shares = try rows.map { try $0.get("count", as: Int.self) }
            Figures.report("deployments on the replicas: \(shares); conversations that moved: \(moved)")
        }
    }
}
