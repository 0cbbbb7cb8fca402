import Domain
import Glibc
import Postgres
import TestKit
import Testing

extension EndToEnd {
    /// The reference worker of `deploy/examples`, killed and cut off.
    @Suite struct RemoteTests {
        private static let worker = "\(Places.repository)/deploy/examples/remote_worker.py"

        /// An account's token, and an agent that its workers serve.
        private static func enrol(_ client: Client) async throws -> String {
            let agent = #"{"driver":"remote","account":{"provider":"example"},"retries":2}"#
            let put = try await client.http.send("PUT", "/v1/agents/far", agent)
            #expect(put.status == 200, "\(put.text)")
            let body = #"{"provider":"example","principal":"seat-1"}"#
            let account = try await client.http.send("POST", "/v1/accounts", body).json()["account"]
            let id = try #require(account?["id"]?.text)
            let made = try await client.http.send("POST", "/v1/accounts/\(id)/tokens", #"{"name":"machine"}"#)
            return try #require(try made.json()["token"]?["secret"]?.text, "\(made.text)")
        }

        private static func start(
            _ installation: Installation,
            _ token: String,
            port: Int,
            _ command: [String]
        ) async throws -> Spawned {
            try await Spawned.start(
                ["/usr/bin/python3", Self.worker, "--url", "http://127.0.0.1:\(port)", "--lease", "2", "--"] + command,
                environment: ["PATH": "/usr/bin:/bin", "TURNPIKE_TOKEN": token],
                output: installation.folder.file("worker-\(UInt32.random(in: 0 ... .max)).log")
            )
        }

        /// A proxy that passes every request on and, of three answers, loses one.
        private static func losing(_ installation: Installation, _ port: Int) async throws -> (Spawned, Int) {
            let proxy = try await Spawned.start(
                ["/usr/bin/python3", "-S", Places.worker("losing_proxy.py"), "\(port)"],
                environment: ["PATH": "/usr/bin:/bin"],
                output: installation.folder.file("proxy-\(UInt32.random(in: 0 ... .max)).log")
            )
            try await eventually("the proxy listens") { proxy.text.contains("\n") }
            return (proxy, try #require(Int(proxy.text.prefix { $0.isNumber })))
        }

        private static func end(_ process: Spawned) async throws {
            process.signal(SIGKILL)
            try await process.end(within: .seconds(5))
        }

        @Test(
            "a remote worker killed mid-turn, with lost answers and replayed writes: one outcome, stale writes refused"
        )
        func drill() async throws {
            try await Installation.with { installation in
                let replicas = try await installation.replicas(2)
                let client = installation.client(replicas[0].port)
                let token = try await Self.enrol(client)
                let (proxy, lossy) = try await Self.losing(installation, replicas[1].port)

                let first = try await Self.start(
                    installation,
                    token,
                    port: lossy,
                    ["/bin/sh", "-c", "echo begun; sleep 6; echo late"]
                )
                let turn = try await client.submit("far", "c", "one")
                try await installation.says(turn, atLeast: 1)
                try await Self.end(first)
                let rows = try await installation.pool.query(
                    "SELECT attempt, epoch, owner_nonce::text AS lease FROM turnpike.remote_runs WHERE ended_at IS NULL"
                )
                let row = try #require(rows.first)
                let attempt: Int = try row.get("attempt")
                let (epoch, lease): (Int64, String) = (try row.get("epoch"), try row.get("lease"))

                let second = try await Self.start(installation, token, port: lossy, ["/bin/cat"])
                let outcome = try await client.outcome(turn, within: .seconds(30))
                #expect(outcome.state == "completed" && outcome.reply == "one", "\(outcome)")
                #expect(try await client.turn(turn)["attempt"] == 2)

                // The dead worker's writes, sent again by somebody who has them all.
                let stranger = HTTPClient(port: replicas[0].port, token: token)
                let ticket = #""attempt":\#(attempt),"epoch":\#(epoch),"lease":"\#(lease)""#
                for (part, members) in [
                    ("heartbeat", ""), ("events", #","batch":2,"events":[{"type":"delta","text":"late"}]"#),
                    ("outcome", #","state":"completed","reply":"late""#),
                ] {
                    let path = "/v1/remote/turns/\(turn)/\(part)"
                    let refused = try await stranger.send("POST", path, "{\(ticket)\(members)}")
                    #expect(refused.status == 409 && refused.text.contains("fenced"), "\(part) \(refused.text)")
                }
                try await Self.talk(installation, client, first: turn)
                let lost = proxy.text.split(separator: "\n").count { $0 == "lost" }
                #expect(lost > 5, "answers were lost: \(lost)")
                Figures.report("\(lost) answers to the remote worker were lost")
                try await Self.end(second)
                try await Self.end(proxy)
            }
        }

        /// More turns through the losing proxy: each is answered once, and nothing is written twice.
        private static func talk(_ installation: Installation, _ client: Client, first: String) async throws {
            let count = 8
            for number in 0..<count {
                let reply = try await client.reply("far", "c-\(number % 2)", "t\(number)")
                #expect(reply.hasSuffix("t\(number)"), "\(reply)")
            }
            let doubled: Query = """
                SELECT count(*) FROM turnpike.outcomes o WHERE o.state = 'completed' AND o.turn <> \(first)::uuid
                    AND o.reply <> (SELECT string_agg(e.data ->> 'text', '' ORDER BY e.seq) FROM turnpike.events e
                        WHERE e.turn = o.turn AND e.type = 'delta')
                """
            let ledger = Ledger(installation)
            #expect(try await ledger.count(doubled) == 0, "what was said is the reply, once")
            try await ledger.check(turns: count + 1)
            let held: Query = "SELECT count(*) FROM turnpike.conversations WHERE owner_replica IS NOT NULL"
            #expect(try await ledger.count(held) == 0)
        }
    }
}
