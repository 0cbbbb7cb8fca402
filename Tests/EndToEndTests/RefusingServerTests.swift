import Postgres
import TestKit
import Testing

extension EndToEnd {
    @Suite struct RefusingServerTests {
        @Test("a server without write access or without a connection left is away, and turns go on after it")
        func refused() async throws {
            try await Installation.with { installation in
                // Limits do not bind superusers.
                try await installation.pool.query("CREATE ROLE limited LOGIN IN ROLE turnpike_gateway")
                let replica = try await installation.replica(["database_url": installation.conninfo + " user=limited"])
                let client = installation.client(replica.port)
                try await client.putPaced()
                #expect(ReplyList.items(try await client.reply("paced", "c", "one")) == ["one"])
                let refusals: [(begin: Query, end: Query, turn: String)] = [
                    (
                        "ALTER ROLE limited SET default_transaction_read_only = on",
                        "ALTER ROLE limited RESET default_transaction_read_only", "two"
                    ),
                    ("ALTER ROLE limited CONNECTION LIMIT 0", "ALTER ROLE limited CONNECTION LIMIT -1", "three"),
                ]
                var done = ["one"]
                for refusal in refusals {
                    try await installation.pool.query(refusal.begin)
                    try await installation.pool.query(
                        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'limited'"
                    )
                    let path = Client.path("paced", "c", "turns")
                    let refused = try await client.http.send("POST", path, #"{"input":"lost"}"#)
                    #expect(refused.status == 503 && refused.headers["retry-after"] != nil, "\(refused.text)")
                    #expect(refused.code == "unavailable")
                    #expect(try await client.http.send("GET", "/livez").status == 200)
                    #expect(try await Ledger(installation).count("SELECT count(*) FROM turnpike.turns") == done.count)

                    try await installation.pool.query(refusal.end)
                    // Sessions keep what they began with.
                    try await installation.pool.query(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'limited'"
                    )
                    try await eventually("the replica is ready again", within: .seconds(15)) {
                        try await client.http.send("GET", "/readyz").status == 200
                    }
                    done.append(refusal.turn)
                    #expect(ReplyList.items(try await client.reply("paced", "c", refusal.turn)) == done)
                }
                try await Ledger(installation).check(turns: done.count)
            }
        }
    }
}
