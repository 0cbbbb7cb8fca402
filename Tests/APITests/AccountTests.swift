import Domain
import Testing

@testable import API

/// Accounts as their organization's administrators see them.
@Suite(.serialized)
struct AccountTests {
    @Test("an account is registered, found again, labelled and removed, and a label means one account")
    func lifecycle() async throws {
        try await APIFixture.with { fixture in
            let client = fixture.client
            let body = #"{"provider":"example","principal":"seat-1","label":"one","slots":3}"#
            let made = try await client.send("POST", "/v1/accounts", body)
            #expect(made.status == 201)
            let account = try #require(try made.json()["account"])
            let id = try #require(account["id"]?.text)
            #expect(account["labels"] == ["one"] && account["pool"] == "default" && account["slots"] == 3)
            #expect(account["held"] == 0 && account["hosts"] == [])

            let more = #"{"provider":"example","principal":"seat-1","label":"uno","pool":"blue"}"#
            let again = try await client.send("POST", "/v1/accounts", more)
            #expect(again.status == 200)
            let known = try again.json()["account"]
            #expect(known?["id"]?.text == id && known?["labels"] == ["one", "uno"] && known?["pool"] == "blue")
            #expect(known?["slots"] == 3, "what is not named stays")

            let stolen = #"{"provider":"example","principal":"seat-2","label":"one"}"#
            let refused = try await client.send("POST", "/v1/accounts", stolen)
            #expect(refused.status == 409 && refused.code == "label_taken")
            #expect(try await client.send("GET", "/v1/accounts").json()["accounts"]?.elements?.count == 1)

            #expect(try await client.send("DELETE", "/v1/accounts/\(id)/labels/one").status == 204)
            #expect(try await client.send("DELETE", "/v1/accounts/\(id)/labels/one").status == 404)
            #expect(try await client.send("POST", "/v1/accounts", stolen).status == 201)
            #expect(try await client.send("GET", "/v1/accounts/\(id)").json()["account"]?["labels"] == ["uno"])

            let rival = try await fixture.client(of: "rival", [.admin])
            #expect(try await rival.send("GET", "/v1/accounts/\(id)").status == 404)
            #expect(try await rival.send("DELETE", "/v1/accounts/\(id)").status == 404)
            #expect(try await rival.send("GET", "/v1/accounts").json()["accounts"] == [])
            let clerk = try await fixture.client(of: "acme", [.turns, .agents])
            #expect(try await clerk.send("GET", "/v1/accounts").status == 403)

            #expect(try await client.send("DELETE", "/v1/accounts/\(id)").status == 204)
            #expect(try await client.send("GET", "/v1/accounts/\(id)").status == 404)
        }
    }

    @Test("what is no account is refused by its member")
    func refusals() async throws {
        try await APIFixture.with { fixture in
            for (body, member) in [
                (#"{}"#, "provider"), (#"{"provider":"p"}"#, "principal"),
                (#"{"provider":"a b","principal":"x"}"#, "provider"),
                (#"{"provider":"p","principal":""}"#, "principal"),
                (#"{"provider":"p","principal":"x\u0000"}"#, "principal"),
                (#"{"provider":"p","principal":"x","label":"\n"}"#, "label"),
                (#"{"provider":"p","principal":"x","pool":"/"}"#, "pool"),
                (#"{"provider":"p","principal":"x","slots":0}"#, "slots"),
                (#"{"provider":"p","principal":"x","account":"y"}"#, "account"),
            ] {
                let answer = try await fixture.client.send("POST", "/v1/accounts", body)
                #expect(answer.status == 400, "\(body)")
                #expect(try answer.json()["error"]?["param"]?.text == member, "\(body)")
            }
        }
    }

    @Test("a turn whose account nobody hosts waits visibly, and then fails with what can be done about it")
    func absent() async throws {
        try await APIFixture.with { fixture in
            let agent = #"{"driver":"command","command":["cat"],"account":{"provider":"example","grace_seconds":1}}"#
            #expect(try await fixture.client.send("PUT", "/v1/agents/seated", agent).status == 200)
            let path = "/v1/agents/seated/conversations/c"
            let accepted = try await fixture.client.send("POST", "\(path)/turns", #"{"input":"x"}"#)
            let id = try #require(try accepted.json()["turn"]?["id"]?.text)
            let turn = try await fixture.client.send("GET", "/v1/turns/\(id)?wait=30").json()["turn"]
            #expect(turn?["outcome"]?["code"] == "account_unavailable")
            #expect(turn?["outcome"]?["remedy"]?.text?.contains("account") == true)
            let events = try await fixture.client.send("GET", "\(path)/events", headers: ["Accept": "application/json"])
            let types = try events.json()["events"]?.elements?.compactMap { $0["type"]?.text }
            #expect(types == ["turn.queued", "waiting_account", "turn.failed"])
            #expect(try await fixture.client.send("GET", path).json()["account"] == .null)
        }
    }
}
