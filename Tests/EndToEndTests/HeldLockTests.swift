import Domain
import Postgres
import Runtime
import TestKit
import Testing

extension EndToEnd {
    @Suite struct HeldLockTests {
        @Test(
            "a turn whose conversation is held elsewhere waits without an attempt, then runs or ends in lease_timeout"
        )
        func lockHeldElsewhere() async throws {
            try await Installation.with { installation in
                let replicas = try await installation.replicas(2, ["lease_wait_seconds": "5"])
                let client = installation.client(replicas[0].port)
                try await client.putPaced()
                let session = try await PostgresConnection.connect(
                    installation.conninfo,
                    on: try TestPlatform.reactor(),
                    blocking: TestPlatform.blocking,
                    deadline: .seconds(5),
                    log: .silent
                )
                for conversation in ["released", "kept"] {
                    try await session.query(
                        "SELECT pg_advisory_lock(turnpike.lock_key('default', 'paced', \(conversation)::text))::text"
                    )
                }
                let released = try await client.submit("paced", "released", "one")
                let kept = try await client.submit("paced", "kept", "one")
                for turn in [released, kept] {
                    try await eventually("turn \(turn) waits", within: .seconds(5)) {
                        try await client.turn(turn)["waiting_for"]?.text?.contains("held elsewhere") == true
                    }
                    let row = try #require(try await installation.turn(turn))
                    #expect(try row.get("state", as: String.self) == "queued")
                    #expect(try row.get("attempt", as: Int.self) == 0)
                }
                #expect(try await Ledger(installation).count("SELECT count(*) FROM turnpike.deployments") == 0)
                try await session.query(
                    "SELECT pg_advisory_unlock(turnpike.lock_key('default', 'paced', 'released'))::text"
                )
                let served = try await client.outcome(released)
                #expect(served.list == ["one"], "\(served)")
                let timedOut = try await client.outcome(kept)
                #expect(timedOut.code == "lease_timeout", "\(timedOut)")
                let row = try #require(try await installation.turn(kept))
                #expect(try row.get("dead", as: String?.self) == "lease_timeout")
                #expect(try row.get("attempt", as: Int.self) == 0)
                await session.close()
                // Free again: the next turn runs.
                #expect(ReplyList.items(try await client.reply("paced", "kept", "two")) == ["two"])
                try await Ledger(installation).check(turns: 3)
            }
        }
    }
}
