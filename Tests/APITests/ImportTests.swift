import Domain
import Testing

@testable import API

/// Conversations that began elsewhere.
@Suite(.serialized)
struct ImportTests {
    private static let path = "/v1/agents/default/conversations"

    @Test("an imported conversation is there with its turns, belongs to its account, and cannot be imported twice")
    func transcript() async throws {
        try await APIFixture.with { fixture in
            let client = fixture.client
            let registered = try await client.send("POST", "/v1/accounts", #"{"provider":"p","principal":"a"}"#)
            let account = try #require(try registered.json()["account"]?["id"]?.text)
            let turns = #"[{"input":"one","reply":"1"},{"input":[{"type":"text","text":"two"}],"reply":""}]"#
            let body = #"{"turns":\#(turns),"account":"\#(account)"}"#
            let made = try await client.send("POST", "\(Self.path)/c/import", body)
            #expect(made.status == 201, "\(made.text)")
            let record = try made.json()
            #expect(record["last_turn"] == 2 && record["account"]?.text == account && record["head"] == 0)
            let listed = try await client.send("GET", "\(Self.path)/c/turns").json()["turns"]?.elements
            #expect(listed?.compactMap { $0["outcome"]?["reply"]?.text } == ["", "1"])
            let page = try await client.send("GET", "\(Self.path)/c/events", headers: ["Accept": "application/json"])
            #expect(try page.json()["events"]?.elements?.count == 2)

            let again = try await client.send("POST", "\(Self.path)/c/import", body)
            #expect(again.status == 409 && again.code == "conversation_exists")
            let next = try await client.send("POST", "\(Self.path)/c/turns", #"{"input":"three"}"#)
            let turn = try #require(try next.json()["turn"])
            #expect(turn["seq"] == 3)
            let ended = try await client.send("GET", "/v1/turns/\(turn["id"]?.text ?? "")?wait=20").json()["turn"]
            #expect(ended?["outcome"]?["reply"] == "three")

            #expect(try await client.send("DELETE", "\(Self.path)/c").status == 204)
            #expect(try await client.send("POST", "\(Self.path)/c/import", body).status == 410)
        }
    }

    @Test("a worker is told what was imported, and runs on the account that owns it")
    func seeded() async throws {
        try await APIFixture.with { fixture in
            let agent = #"{"driver":"remote","account":{"provider":"p"}}"#
            #expect(try await fixture.client.send("PUT", "/v1/agents/far", agent).status == 200)
            var workers: [(account: String, probe: Probe)] = []
            for principal in ["a", "b"] {
                let body = #"{"provider":"p","principal":"\#(principal)"}"#
                let made = try await fixture.client.send("POST", "/v1/accounts", body).json()["account"]
                let id = try #require(made?["id"]?.text)
                let token = try await fixture.client.send("POST", "/v1/accounts/\(id)/tokens", #"{"name":"m"}"#)
                workers.append((id, Probe(port: fixture.port, token: try token.json()["token"]?["secret"]?.text)))
            }
            let body = #"{"turns":[{"input":"one","reply":"1"}],"account":"\#(workers[1].account)"}"#
            let path = "/v1/agents/far/conversations/c"
            #expect(try await fixture.client.send("POST", "\(path)/import", body).status == 201)
            #expect(try await fixture.client.send("POST", "\(path)/turns", #"{"input":"two"}"#).status == 202)
            let none = try await workers[0].probe.send(
                "POST",
                "/v1/remote/claims",
                #"{"claim_key":"k","wait_seconds":0}"#
            )
            #expect(try none.json()["assignment"] == .null)
            let got = try await workers[1].probe.send("POST", "/v1/remote/claims", #"{"claim_key":"k"}"#)
            #expect(try got.json()["assignment"]?["transcript"] == [["input": "one", "reply": "1"]])
        }
    }

    @Test("what is no transcript is refused by its member")
    func refusals() async throws {
        try await APIFixture.with { fixture in
            let unknown = "0198a1b2-0000-7000-8000-000000000001"
            for (body, member) in [
                (#"{}"#, "turns"), (#"{"turns":[]}"#, "turns"), (#"{"turns":[{"input":"x"}]}"#, "turns[0]"),
                (#"{"turns":[{"input":"","reply":"x"}]}"#, "input"),
                (#"{"turns":[{"input":"x","reply":"y"}],"account":"z"}"#, "account"),
            ] {
                let answer = try await fixture.client.send("POST", "\(Self.path)/c/import", body)
                #expect(answer.status == 400, "\(body)")
                #expect(try answer.json()["error"]?["param"]?.text == member, "\(body)")
            }
            let stranger = #"{"turns":[{"input":"x","reply":"y"}],"account":"\#(unknown)"}"#
            let answer = try await fixture.client.send("POST", "\(Self.path)/c/import", stranger)
            #expect(answer.status == 404, "an account that there is not")
            let nobody = try await fixture.client.send(
                "POST",
                "/v1/agents/nobody/conversations/c/import",
                #"{"turns":[{"input":"x","reply":"y"}]}"#
            )
            #expect(nobody.status == 404 || nobody.code == "agent_not_configured", "\(nobody.text)")
            #expect(try await fixture.client.send("GET", "\(Self.path)/c").status == 404)
        }
    }
}
