import Glibc
import TestKit
import Testing

extension EndToEnd {
    @Suite struct RefusalTests {
        @Test("a replica without its database says so and ends with the code for it")
        func databaseAwayAtStart() async throws {
            let folder = try ScratchDirectory()
            var environment = Installation.environment("host=\(folder.path) port=5432 dbname=none", folder)
            environment["TURNPIKE_LISTEN"] = "127.0.0.1:0"
            let ended = try await Program.run(["serve"], environment, in: folder)
            #expect(ended.status == 3)
            #expect(ended.text.contains("PostgreSQL cannot be reached"), "\(ended.text)")
        }

        @Test("a replica whose port is taken says which, and one without a schema says what to run")
        func portTakenAndSchemaMissing() async throws {
            try await Installation.with { installation in
                let (descriptor, port) = try LocalSocket.listen()
                defer { close(descriptor) }
                let taken = installation.environment(["listen": "127.0.0.1:\(port)"])
                let ended = try await Program.run(["serve"], taken, in: installation.folder)
                #expect(ended.status == 1)
                #expect(ended.text.contains("\(port)") && ended.text.contains("in use"), "\(ended.text)")
                let empty = try await TestServer.shared.emptyDatabase()
                let unprepared = Installation.environment(empty.conninfo, installation.folder)
                let refused = try await Program.run(["serve"], unprepared, in: installation.folder)
                #expect(refused.status == 1 && refused.text.contains("turnpike migrate"), "\(refused.text)")
            }
        }

        @Test("a turn for a command that does not exist fails and names it; an agent that does not exist is refused")
        func missingCommands() async throws {
            try await Installation.with { installation in
                let client = installation.client(try await installation.replica().port)
                try await client.put("missing", ["/nowhere/agent"])
                let outcome = try await client.outcome(try await client.submit("missing", "c", "one"))
                #expect(outcome.code == "worker_start_failed", "\(outcome)")
                #expect(outcome.message.contains("/nowhere/agent"), "\(outcome)")
                let unknown = try await client.http.send("POST", Client.path("nobody", "c", "turns"), #"{"input":"x"}"#)
                #expect(unknown.status == 404 && unknown.code == "agent_not_configured", "\(unknown.text)")
                try await Ledger(installation).check(turns: 1)
            }
        }

        @Test("requests that cannot be served are refused with their code and leave nothing behind")
        func badRequests() async throws {
            try await Installation.with { installation in
                let port = try await installation.replica().port
                try await installation.client(port).putPaced()
                for row in Self.table {
                    let client = HTTPClient(port: port, token: row.token ?? installation.token)
                    let answer = try await client.send("POST", row.target, row.body)
                    #expect(answer.status == row.status, "\(row.name): \(answer.text)")
                    #expect(row.code == nil || answer.code == row.code, "\(row.name): \(answer.text)")
                }
                let strange = try await HTTPClient(port: port).send("GET", "/v1/agents")
                #expect(strange.status == 401, "\(strange.text)")
                try await Ledger(installation).check(turns: 0)
                #expect(try await installation.client(port).reply("paced", "c", "still") == #"["still"]"#)
            }
        }

        private struct Row {
            let name: String
            var target = Client.path("paced", "c", "turns")
            let body: String
            let status: Int
            var code: String?
            var token: String?
        }

        private static let table: [Row] = [
            Row(name: "a bad token", body: #"{"input":"x"}"#, status: 401, token: "tp_wrong"),
            Row(name: "no JSON", body: "{", status: 400, code: "invalid_json"),
            Row(name: "an array", body: "[]", status: 400, code: "invalid_request"),
            Row(name: "no input", body: "{}", status: 400, code: "invalid_request"),
            Row(name: "a number for a text", body: #"{"input":5}"#, status: 400, code: "invalid_request"),
            Row(name: "an unknown field", body: #"{"input":"x","inpt":1}"#, status: 400, code: "invalid_request"),
            Row(name: "NUL in the input", body: #"{"input":"a\u0000b"}"#, status: 400),
            Row(
                name: "NUL in an id",
                target: Client.path("paced", "a%00b", "turns"),
                body: #"{"input":"x"}"#,
                status: 400
            ),
            Row(
                name: "CR and LF in an id",
                target: Client.path("paced", "a%0D%0Ab", "turns"),
                body: #"{"input":"x"}"#,
                status: 400
            ),
            Row(
                name: "a slash in an id",
                target: Client.path("paced", "a%2Fb", "turns"),
                body: #"{"input":"x"}"#,
                status: 400
            ),
            Row(name: "LF in a key", body: #"{"input":"x","client_key":"a\nb"}"#, status: 400, code: "invalid_request"),
            Row(
                name: "ten megabytes",
                body: #"{"input":""# + String(repeating: "x", count: 10 << 20) + #""}"#,
                status: 413
            ),
        ]
    }
}
