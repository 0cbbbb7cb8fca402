import Domain
import Gateway
import TestKit
import Testing

@testable import API

@Suite("Quotas, schedules and streams that are left, over HTTP")
struct LimitTests {
    @Test("a schedule is put, shown, listed, paused, resumed and deleted")
    func schedules() async throws {
        try await APIFixture.with { fixture in
            let path = "/v1/schedules/morning"
            let body = #"{"cron":"0 9 * * mon-fri","time_zone":"Europe/Berlin","input":"What is new?"}"#
            let made = try await fixture.client.send("PUT", path, body).json()["schedule"]
            #expect(made?["agent"]?.text == "default" && made?["catch_up"]?.text == "skip")
            let next = try #require(made?["next_at"]?.text)
            #expect(next.hasSuffix("T08:00:00.000Z") || next.hasSuffix("T07:00:00.000Z"))
            #expect(try await fixture.client.send("PUT", path, body).json()["schedule"]?["next_at"]?.text == next)
            let paused = try await fixture.client.send("POST", "\(path)/pause").json()["schedule"]
            #expect(paused?["paused"]?.flag == true && paused?["next_at"] == .null)
            #expect(
                try await fixture.client.send("POST", "\(path)/resume").json()["schedule"]?["next_at"]?.text == next
            )
            let list = try await fixture.client.send("GET", "/v1/schedules?limit=1").json()
            #expect(list["schedules"]?.elements?.count == 1 && list["next"] == .null)
            let other = try await fixture.client(of: "other", [.turns])
            #expect(try await other.send("GET", path).status == 404)
            #expect(try await other.send("DELETE", path).status == 404)
            #expect(try await fixture.client.send("DELETE", path).status == 204)
            #expect(try await fixture.client.send("GET", path).code == "not_found")
            for (wrong, param) in [
                (#"{"input":"x"}"#, "cron"), (#"{"cron":"@daily"}"#, "input"), (#"{"cron":"x","input":"x"}"#, "cron"),
                (#"{"cron":"@daily","input":"x","time_zone":"Mars/Base"}"#, "time_zone"),
                (#"{"cron":"@daily","input":"x","catch_up":"never"}"#, "catch_up"),
                (#"{"cron":"@daily","input":"x","runs":1}"#, "runs"),
            ] {
                let refused = try await fixture.client.send("PUT", path, wrong)
                #expect(refused.status == 400)
                #expect(try refused.json()["error"]?["param"]?.text == param)
            }
        }
    }

    @Test("caps are shown and set by the organization's administrator, or by an operator for any, and refuse by name")
    func quotas() async throws {
        var limits = Limits()
        // Nobody waits for the turns that the test leaves.
        limits.drainGrace = .milliseconds(100)
        try await APIFixture.with(limits: limits) { fixture in
            let path = "/v1/agents/default/turns"
            let admin = try await fixture.client(of: "capped", [.admin])
            let user = try await fixture.client(of: "capped", [.turns])
            _ = try await admin.send("PUT", "/v1/agents/default", #"{"driver":"command","command":["sleep","60"]}"#)
            #expect(try await user.send("GET", "/v1/quotas").status == 403)
            #expect(try await user.send("PUT", "/v1/quotas", "{}").status == 403)
            #expect(try await admin.send("PUT", "/v1/organizations/capped/quotas", "{}").status == 403)
            let set = try await admin.send("PUT", "/v1/quotas", #"{"organization_turns":3,"token_turns":1}"#).json()
            #expect(set["quota"]?["token_turns"]?.integer == 1 && set["quota"]?["conversation_turns"] == .null)
            #expect(try await user.send("POST", path, #"{"input":"x"}"#).status == 202)
            let refused = try await user.send("POST", path, #"{"input":"x"}"#)
            #expect(refused.status == 429 && refused.code == "quota_reached")
            #expect(refused.headers["retry-after"] == "1")
            #expect(try refused.json()["error"]?["param"]?.text == "token_turns")
            #expect(try await admin.send("POST", path, #"{"input":"x"}"#).status == 202)
            let any = "/v1/organizations/capped/quotas"
            let shown = try await fixture.client.send("GET", any).json()
            #expect(shown["open_turns"]?.integer == 2)
            #expect(try await fixture.client.send("PUT", any, #"{"organization_turns":2}"#).status == 200)
            let capped = try await admin.send("GET", "/v1/quotas").json()
            #expect(capped["quota"]?["organization_turns"]?.integer == 2, "the lower of both is in force")
            #expect(capped["own"]?["organization_turns"]?.integer == 3)
            #expect(capped["ceiling"] == ["organization_turns": 2, "token_turns": .null, "conversation_turns": .null])
            let lifted = try await admin.send("PUT", "/v1/quotas", #"{"organization_turns":3}"#)
            #expect(lifted.status == 400)
            #expect(try lifted.json()["error"]?["param"]?.text == "organization_turns")
            let none = try await admin.send("PUT", "/v1/quotas", #"{"token_turns":1}"#).json()
            #expect(none["quota"]?["organization_turns"]?.integer == 2, "to have no cap of its own lifts no ceiling")
            let other = try await admin.send("POST", path, #"{"input":"x"}"#)
            #expect(try other.json()["error"]?["param"]?.text == "organization_turns")
            #expect(try await fixture.client.send("GET", "/v1/organizations/nobody/quotas").status == 404)
            let wrong = try await admin.send("PUT", "/v1/quotas", #"{"token_turns":-1}"#)
            #expect(try wrong.json()["error"]?["param"]?.text == "token_turns")
        }
    }

    @Test("a client that leaves the stream of its turn leaves the turn running, unless it asked for the opposite")
    func disconnect() async throws {
        try await APIFixture.with { fixture in
            let slow = #"{"driver":"command","command":["/bin/sh","-c","echo begun; sleep 2; cat"]}"#
            #expect(try await fixture.client.send("PUT", "/v1/agents/slow", slow).status == 200)
            for (name, more, state) in [
                ("goes", "", "completed"), ("stops", #","on_disconnect":"cancel""#, "cancelled"),
            ] {
                let path = "/v1/agents/slow/conversations/\(name)"
                _ = try await fixture.client.send(
                    "POST",
                    "\(path)/turns",
                    #"{"input":"x"\#(more)}"#,
                    headers: ["Accept": "text/event-stream"],
                    enough: { $0.contains("begun") }
                )
                try await eventually("the turn ends as \(state)", within: .seconds(15)) {
                    let turn = try await fixture.client.send("GET", "\(path)/turns").json()["turns"]?.elements?.first
                    return turn?["state"]?.text == state && turn?["outcome"]?["reply"]?.text?.hasPrefix("begun") == true
                }
            }
        }
    }
}
