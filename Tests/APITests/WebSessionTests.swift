import Domain
import HTTP
import TestKit
import Testing

@testable import API

/// The page and its sign-in.
@Suite(.serialized)
struct WebSessionTests {
    /// A browser that holds a session's cookie, as it shows itself to its own origin.
    private struct Browser {
        let fixture: APIFixture
        let cookie: String
        var origin = "http://localhost"

        func send(_ method: String, _ target: String, _ body: String? = nil) async throws -> Answer {
            let headers = ["Cookie": "other=1; \(self.cookie)", "Origin": self.origin]
            return try await self.fixture.stranger.send(method, target, body, headers: headers)
        }
    }

    private static func signIn(_ fixture: APIFixture, as client: Probe? = nil) async throws -> Browser {
        let answer = try await (client ?? fixture.client).send("POST", "/v1/session")
        #expect(answer.status == 201)
        #expect(!answer.text.contains("tpk_"))
        let field = try #require(answer.headers["set-cookie"])
        for attribute in ["__Host-turnpike=tpk_", "; Path=/", "; Secure", "; HttpOnly", "; SameSite=Strict"] {
            #expect(field.contains(attribute))
        }
        return Browser(fixture: fixture, cookie: String(field.prefix { $0 != ";" }))
    }

    private static let turns = "/v1/agents/default/conversations/page/turns"

    @Test("a browser that signed in reaches turns and agents, and nothing of an administrator's or operator's")
    func scopes() async throws {
        try await APIFixture.with { fixture in
            let browser = try await Self.signIn(fixture)
            #expect(try await browser.send("GET", "/v1/session").json()["organization"]?.text == "acme")
            #expect(try await browser.send("POST", Self.turns, #"{"input":"hi"}"#).status == 202)
            #expect(try await browser.send("GET", "/v1/agents").status == 200)
            #expect(try await browser.send("GET", "/v1/tokens").status == 403)
            #expect(try await browser.send("GET", "/v1/replicas").status == 403)
            #expect(try await browser.send("POST", "/v1/session").status == 400)
            let narrow = try await Self.signIn(fixture, as: fixture.client(of: "acme", [.turns]))
            #expect(try await narrow.send("GET", "/v1/agents").status == 403)
            #expect(try await fixture.client(of: "acme", [.agents]).send("POST", "/v1/session").status == 403)
        }
    }

    @Test(
        "a request that changes something needs the origin of the page itself",
        arguments: ["http://evil.example", "http://localhost:81", "null", "http://localhost.evil.example", ""]
    )
    func origins(_ origin: String) async throws {
        try await APIFixture.with { fixture in
            var browser = try await Self.signIn(fixture)
            #expect(try await browser.send("GET", "/v1/agents").status == 200)
            browser.origin = origin
            #expect(try await browser.send("POST", Self.turns, #"{"input":"hi"}"#).status == 403)
            #expect(try await browser.send("DELETE", "/v1/session").status == 403)
            browser.origin = "https://localhost"
            #expect(try await browser.send("POST", Self.turns, #"{"input":"hi"}"#).status == 202)
        }
    }

    @Test("signing out ends the session, and the token that signed in goes on")
    func signingOut() async throws {
        try await APIFixture.with { fixture in
            let browser = try await Self.signIn(fixture)
            let answer = try await browser.send("DELETE", "/v1/session")
            #expect(answer.status == 204)
            #expect(answer.headers["set-cookie"]?.contains("Max-Age=0") == true)
            try await eventually("the session to be over", within: .seconds(2)) {
                try await browser.send("GET", "/v1/session").status == 401
            }
            #expect(try await fixture.client.send("GET", "/v1/session").json()["web_session"] == false)
            #expect(try await fixture.client.send("DELETE", "/v1/session").status == 404)
        }
    }

    @Test("a token that is revoked takes the sessions it opened with it")
    func revocation() async throws {
        try await APIFixture.with { fixture in
            let made = try await fixture.client.send("POST", "/v1/tokens", #"{"name":"t","scopes":["turns"]}"#)
            let token = try #require(try made.json()["token"])
            let id = try #require(token["id"]?.text)
            let browser = try await Self.signIn(
                fixture,
                as: Probe(port: fixture.port, token: token["secret"]?.text)
            )
            #expect(try await browser.send("GET", "/v1/session").status == 200)
            let sessions = try await fixture.client.send("GET", "/v1/tokens").json()["tokens"]?.elements ?? []
            #expect(sessions.contains { $0["parent"]?.text == id })
            #expect(try await fixture.client.send("DELETE", "/v1/tokens/\(id)").status == 204)
            try await eventually("the session to be over", within: .seconds(2)) {
                try await browser.send("GET", "/v1/session").status == 401
            }
        }
    }

    @Test("the page is three files of its own origin, and its policy lets nothing else in")
    func page() async throws {
        try await APIFixture.with { fixture in
            for (path, type) in [("/", "text/html"), ("/page.css", "text/css"), ("/page.js", "text/javascript")] {
                let answer = try await fixture.stranger.send("GET", path)
                #expect(answer.headers["content-type"]?.hasPrefix(type) == true)
                let policy = try #require(answer.headers["content-security-policy"])
                for word in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"] {
                    #expect(policy.contains(word))
                }
                #expect(!policy.contains("unsafe"))
            }
            let html = try await fixture.stranger.send("GET", "/").text
            #expect(!html.contains("style=") && !html.contains("onclick") && !html.contains("<script>"))
        }
    }
}
