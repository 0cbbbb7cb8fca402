import Glibc
import Postgres
import TestKit
import Testing

extension EndToEnd {
    @Suite struct TakeoverTests {
        @Test(
            "a replica killed in the middle of a turn leaves no process, and the others go on from the last settled turn"
        )
        func replicaKilled() async throws {
            try await Installation.with { installation in
                let doomed = try await installation.replica()
                let client = installation.client(doomed.port)
                try await client.putPaced("once")
                try await client.putPaced("again", more: #","retries":1"#)
                for agent in ["once", "again"] {
                    #expect(ReplyList.items(try await client.reply(agent, "c", "one")) == ["one"])
                }
                let heir = try await installation.replica()
                let fails = try await client.submit("once", "c", "two 400 0.05")
                let waits = try await client.submit("once", "c", "three")
                let retried = try await client.submit("again", "c", "two 30 0.05")
                try await installation.says(fails, atLeast: 3)
                try await installation.says(retried, atLeast: 3)

                let tree = ProcessTable.descendants(of: doomed.pid)
                #expect(tree.count >= 2)
                let start = ContinuousClock.now
                try await doomed.kill()
                try await eventually("nothing of the killed replica runs", within: .seconds(1)) {
                    !tree.contains(where: ProcessTable.runs)
                }
                Figures.report(
                    "\(tree.count) processes of a killed replica were gone \(ContinuousClock.now - start) later"
                )

                let survivor = installation.client(heir.port)
                let outcome = try await survivor.outcome(fails)
                #expect(ContinuousClock.now - start < .seconds(4))
                Figures.report("a turn of a killed replica was failed after \(ContinuousClock.now - start)")
                #expect(outcome.state == "failed" && outcome.code == "replica_lost", "\(outcome)")
                #expect(outcome.reply.hasPrefix("1 2 3 "), "the text so far: \(outcome.reply)")
                #expect(try await survivor.outcome(waits).list == ["one", "three"])
                let second = try await survivor.outcome(retried)
                #expect(second.state == "completed" && second.list == ["one", "two"], "\(second)")
                try await Ledger(installation).check(turns: 5)
            }
        }
    }
}

extension Installation {
    /// Waits until the log has so many deltas of a turn.
    func says(_ turn: String, atLeast count: Int) async throws {
        try await eventually("turn \(turn) says something", within: .seconds(30)) {
            let rows = try await self.pool.query(
                """
                SELECT count(*) FROM turnpike.events WHERE turn = \(turn)::uuid AND type = 'delta'
                """
            )
            return try rows.first?.get("count", as: Int.self) ?? 0 >= count
        }
    }
}
