import Domain
import HTTP
import Runtime
import TestKit
import Testing

@testable import API

/// The doors: who gets in, and what everybody gets who does not.
@Suite(.serialized)
struct RouteTests {
    @Test("every route is reachable, and only the public ones answer without a token")
    func doors() async throws {
        try await APIFixture.with { fixture in
            let open = fixture.api.routes.filter(\.isOpen).map(\.pattern)
            #expect(open == ["/livez", "/readyz", "/metrics", "/openapi.json", "/", "/page.css", "/page.js"])
            #expect(fixture.api.router().routes.count == fixture.api.routes.count)
            for route in fixture.api.routes {
                let target = route.pattern.replacing("{turn}", with: "0198a1b2-0000-7000-8000-000000000001")
                    .replacing("{token}", with: "0198a1b2-0000-7000-8000-000000000001")
                    .replacing("{replica}", with: "0198a1b2-0000-7000-8000-000000000001")
                    .replacing("{", with: "").replacing("}", with: "")
                let answer = try await fixture.stranger.send(route.method, target)
                guard !route.isOpen else {
                    #expect(answer.status == 200, "\(route.pattern)")
                    continue
                }
                #expect(answer.status == 401, "\(route.method) \(route.pattern)")
                #expect(answer.code == "unauthorized")
                #expect(answer.headers["www-authenticate"] == "Bearer")
                // With a token nothing is missing behind the door but what the path names.
                let inside = try await fixture.client.send(route.method, target, enough: { $0.contains("\r\n\r\n") })
                #expect(inside.status != 401 && inside.status != 405, "\(route.method) \(route.pattern)")
            }
        }
    }

    @Test("a token that is wrong, mistyped or revoked opens nothing")
    func badTokens() async throws {
        try await APIFixture.with { fixture in
            for token in ["tpk_x", "nonsense", "tpk_" + String(repeating: "0", count: 33)] {
                let answer = try await Probe(port: fixture.port, token: token).send("GET", "/v1/agents")
                #expect(answer.status == 401)
            }
            let made = try await fixture.client.send("POST", "/v1/tokens", #"{"name":"t","scopes":["turns"]}"#)
            #expect(made.status == 201)
            let token = try #require(try made.json()["token"])
            let other = Probe(port: fixture.port, token: token["secret"]?.text)
            let path = "/v1/agents/default/conversations"
            #expect(try await other.send("GET", path).status == 200)
            #expect(try await other.send("GET", "/v1/agents").status == 403)
            #expect(try await other.send("GET", "/v1/tokens").code == "forbidden")
            #expect(try await other.send("GET", "/v1/replicas").status == 403)
            let list = try await fixture.client.send("GET", "/v1/tokens")
            #expect(!list.text.contains("secret"))
            let id = try #require(token["id"]?.text)
            #expect(try await fixture.client.send("DELETE", "/v1/tokens/\(id)").status == 204)
            try await eventually("the revocation", within: .seconds(2)) {
                try await other.send("GET", path).status == 401
            }
        }
    }

    @Test("nobody hands out a scope that they lack")
    func escalation() async throws {
        try await APIFixture.with { fixture in
            let admin = try await fixture.client(of: "acme", [.admin])
            let refused = try await admin.send("POST", "/v1/tokens", #"{"name":"t","scopes":["operator"]}"#)
            #expect(refused.status == 403)
            #expect(try await admin.send("POST", "/v1/tokens", #"{"name":"t","scopes":["agents"]}"#).status == 201)
            #expect(try await admin.send("GET", "/v1/replicas").status == 403)
            #expect(try await admin.send("PUT", "/v1/organizations/evil").status == 403)
        }
    }

    @Test("bad requests get one shape of error, whoever refuses them")
    func badRequests() async throws {
        let turns = "/v1/agents/default/conversations/c/turns"
        let cases: [(method: String, target: String, body: String?, status: Int, code: String)] = [
            ("GET", "/nowhere", nil, 404, "not_found"),
            ("PATCH", "/v1/agents", nil, 405, "method_not_allowed"),
            ("GET", "/v1/agents?access_token=tpk_x", nil, 400, "token_in_url"),
            ("GET", "/livez?token=x", nil, 400, "token_in_url"),
            ("GET", "/v1/turns/nonsense", nil, 404, "not_found"),
            ("GET", "/v1/turns/0198a1b2-0000-7000-8000-000000000001", nil, 404, "not_found"),
            ("GET", "/v1/turns/0198a1b2-0000-7000-8000-000000000001?wait=61", nil, 400, "invalid_request"),
            ("POST", "/v1/turns/0198a1b2-0000-7000-8000-000000000001/cancel", nil, 404, "not_found"),
            ("POST", turns, "", 400, "invalid_json"),
            ("POST", turns, "{", 400, "invalid_json"),
            ("POST", turns, #"{"input":1}"#, 400, "invalid_request"),
            ("POST", turns, #"{"input":"x","what":1}"#, 400, "invalid_request"),
            ("POST", turns, #"{"input":"\u0000"}"#, 400, "invalid_request"),
            ("POST", turns, #"{"input":"x","on_busy":"later"}"#, 400, "invalid_request"),
            ("POST", "/v1/agents/nobody/conversations/c/turns", #"{"input":"x"}"#, 404, "agent_not_configured"),
            ("POST", "/v1/agents/a%00b/turns", #"{"input":"x"}"#, 400, "bad_request"),
            ("POST", "/v1/agents/a%0d%0ab/turns", #"{"input":"x"}"#, 400, "bad_request"),
            ("POST", "/v1/agents/a%20b/turns", #"{"input":"x"}"#, 400, "invalid_id"),
            ("POST", "/v1/agents/%C3%A9/turns", #"{"input":"x"}"#, 400, "invalid_id"),
            ("GET", "/v1/agents/\(String(repeating: "a", count: 129))", nil, 400, "invalid_id"),
            ("GET", "/v1/agents/default/conversations?limit=201", nil, 400, "invalid_request"),
            ("GET", "/v1/agents/default/conversations?after=%00", nil, 400, "invalid_id"),
            ("GET", "/v1/agents/default/conversations/missing", nil, 404, "not_found"),
            ("GET", "/v1/agents/default/conversations/missing/events", nil, 404, "not_found"),
            ("DELETE", "/v1/agents/default/conversations/missing", nil, 404, "not_found"),
            ("PUT", "/v1/agents/a", #"{"command":[]}"#, 400, "invalid_request"),
            ("PUT", "/v1/agents/a", #"{"command":["x"],"retries":11}"#, 400, "invalid_request"),
            ("DELETE", "/v1/agents/missing", nil, 404, "not_found"),
            ("PUT", "/v1/organizations/a%2fb", nil, 400, "bad_request"),
            ("GET", "/v1/responses/resp_\(String(repeating: "0", count: 32))?stream=1", nil, 400, "invalid_request"),
            (
                "GET", "/v1/responses/resp_\(String(repeating: "0", count: 32))?include_obfuscation=1", nil, 400,
                "invalid_request"
            ),
        ]
        try await APIFixture.with { fixture in
            for one in cases {
                let answer = try await fixture.client.send(one.method, one.target, one.body)
                #expect(answer.status == one.status, "\(one.method) \(one.target)")
                #expect(answer.code == one.code, "\(one.method) \(one.target): \(answer.text)")
                let error = try answer.json()["error"]
                #expect(error?["message"]?.text?.isEmpty == false)
                if let id = error?["request_id"]?.text { #expect(answer.headers["x-request-id"] == id) }
            }
            let typed = try await fixture.client.send("POST", turns, "input=x", headers: ["Content-Type": "text/plain"])
            #expect(typed.status == 415)
            let long = try await fixture.client.send("POST", turns, String(repeating: "x", count: 10 << 20))
            #expect(long.status == 413)
            #expect(long.code == "content_too_large")
            let garbage = try await fixture.stranger.raw("GARBAGE\r\n\r\n")
            #expect(garbage.status == 400)
            #expect(garbage.code == "bad_request")
        }
    }

    @Test("each request leaves one line in the log and a count in the metrics")
    func observed() async throws {
        try await APIFixture.with { fixture in
            fixture.lines.withLock { $0 = [] }
            _ = try await fixture.client.send("GET", "/v1/agents/default", headers: ["X-Request-Id": "seen-1"])
            let lines = fixture.lines.withLock { $0 }.filter { $0.contains("seen-1") }
            #expect(lines.count == 1)
            let line = try JSONReader.read(Array((lines.first ?? "").utf8))
            #expect(line["route"]?.text == "/v1/agents/{agent}")
            #expect(line["status"]?.integer == 200)
            #expect(line["org"]?.text == "acme")
            #expect(line["method"]?.text == "GET")
            let metrics = try await fixture.stranger.send("GET", "/metrics").text
            #expect(
                metrics.contains(
                    #"turnpike_http_requests_total{method="GET",route="/v1/agents/{agent}",status="200"} 1"#
                )
            )
        }
    }
}
