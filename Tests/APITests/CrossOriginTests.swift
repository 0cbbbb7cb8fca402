import HTTP
import TestKit
import Testing

@testable import API

/// Pages of other origins.
@Suite(.serialized)
struct CrossOriginTests {
    private static let page = "https://chat.example.org"
    private static let turns = "/v1/agents/default/conversations/cors/turns"

    @Test("no page of another origin may call unless an operator has named it")
    func off() async throws {
        try await APIFixture.with { fixture in
            let asked = try await fixture.stranger.send(
                "OPTIONS",
                Self.turns,
                headers: ["Origin": Self.page, "Access-Control-Request-Method": "POST"]
            )
            #expect(asked.status == 204)
            let sent = try await fixture.client.send("GET", "/v1/models", headers: ["Origin": Self.page])
            for answer in [asked, sent] {
                #expect(!answer.headers.keys.contains { $0.hasPrefix("access-control-") || $0 == "vary" })
            }
        }
    }

    @Test("a page that is named asks, sends with a token, and reads what came of it, a refusal too")
    func allowed() async throws {
        try await APIFixture.with(crossOrigin: CrossOrigin([Self.page])) { fixture in
            let asked = try await fixture.stranger.send(
                "OPTIONS",
                Self.turns,
                headers: [
                    "Origin": Self.page, "Access-Control-Request-Method": "POST",
                    "Access-Control-Request-Headers": "authorization,content-type,x-conversation-id",
                ]
            )
            #expect(asked.status == 204)
            #expect(asked.headers["access-control-allow-origin"] == Self.page)
            #expect(asked.headers["access-control-allow-methods"] == "GET, HEAD, OPTIONS, POST")
            #expect(asked.headers["access-control-allow-headers"] == "authorization,content-type,x-conversation-id")
            #expect(asked.headers["access-control-max-age"] == "600")
            let origin = ["Origin": Self.page]
            let sent = try await fixture.client.send("POST", Self.turns, #"{"input":"hi"}"#, headers: origin)
            #expect(sent.status == 202)
            let refused = try await fixture.stranger.send("GET", "/v1/models", headers: origin)
            #expect(refused.status == 401)
            let lost = try await fixture.client.send("GET", "/nowhere", headers: origin)
            #expect(lost.status == 404)
            let long = try await fixture.client.send(
                "POST",
                Self.turns,
                String(repeating: "x", count: 11 << 20),
                headers: origin
            )
            #expect(long.status == 413)
            for answer in [sent, refused, lost, long] {
                #expect(answer.headers["access-control-allow-origin"] == Self.page)
                #expect(answer.headers["vary"] == "Origin")
                let exposed = try #require(answer.headers["access-control-expose-headers"])
                for name in ["X-Conversation-Id", "Retry-After", "X-Request-Id", "x-should-retry"] {
                    #expect(exposed.contains(name))
                }
            }
            for answer in [asked, sent] { #expect(answer.headers["access-control-allow-credentials"] == nil) }
        }
    }

    @Test("a stream of events is a page's to read too")
    func stream() async throws {
        try await APIFixture.with(crossOrigin: CrossOrigin([Self.page])) { fixture in
            let answer = try await fixture.client.send(
                "POST",
                Self.turns,
                #"{"input":"hi"}"#,
                headers: ["Origin": Self.page, "Accept": "text/event-stream"]
            )
            #expect(answer.events.last?.type == "turn.completed")
            #expect(answer.headers["access-control-allow-origin"] == Self.page)
        }
    }

    @Test(
        "an origin that is merely like a named one is none",
        arguments: [
            "https://chat.example.org.evil.example", "http://chat.example.org", "https://chat.example.org:8443",
            "https://evil.example", "null", "*", "",
        ]
    )
    func others(_ origin: String) throws {
        let crossOrigin = CrossOrigin([Self.page])
        let request = try Request(method: "GET", target: "/v1/models", headers: ["Origin": origin])
        let response = crossOrigin.finish(Response(status: 200), request)
        #expect(response.headers["Access-Control-Allow-Origin"] == nil)
        #expect(response.headers["Vary"] == "Origin", "no cache may give this answer to the named page")
    }

    @Test("the cookie of a web session does nothing for a page of another origin, named or not")
    func cookie() async throws {
        try await APIFixture.with(crossOrigin: CrossOrigin([Self.page])) { fixture in
            let opened = try await fixture.client.send("POST", "/v1/session")
            let cookie = String(try #require(opened.headers["set-cookie"]).prefix { $0 != ";" })
            for origin in [Self.page, "https://evil.example"] {
                let headers = ["Cookie": cookie, "Origin": origin]
                for (method, target) in [("GET", "/v1/session"), ("HEAD", "/v1/agents"), ("DELETE", "/v1/session")] {
                    let answer = try await fixture.stranger.send(method, target, headers: headers)
                    #expect(answer.status == 403, "\(method) \(target) from \(origin)")
                }
            }
            #expect(try await fixture.stranger.send("GET", "/v1/session", headers: ["Cookie": cookie]).status == 200)
        }
    }
}
