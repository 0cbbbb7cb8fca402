import Domain
import Gateway
import TestKit
import Testing

@testable import API

/// Who changed what, and tokens with two secrets, over sockets.
@Suite(.serialized)
struct AuditTests {
    private static let agent = #"{"driver":"command","command":["cat"]}"#

    @Test("an administrator reads the organization's entries, an operator everybody's, in pages and without secrets")
    func reading() async throws {
        try await APIFixture.with { fixture in
            let rival = try await fixture.client(of: "rival", [.admin, .agents])
            for name in ["a", "b", "c"] {
                #expect(try await rival.send("PUT", "/v1/agents/\(name)", Self.agent).status == 200)
            }
            let made = try await rival.send("POST", "/v1/tokens", #"{"name":"t","scopes":["turns"]}"#)
            let secret = try #require(try made.json()["token"]?["secret"]?.text)
            let request = made.headers["x-request-id"]
            let first = try await rival.send("GET", "/v1/audit?limit=3").json()
            let entries = first["entries"]?.elements ?? []
            #expect(entries.compactMap { $0["action"]?.text } == ["token.create", "agent.put", "agent.put"])
            #expect(entries.allSatisfy { $0["organization"]?.text == "rival" })
            #expect(entries.first?["actor"]?.text?.hasPrefix("token:") == true)
            #expect(entries.first?["request_id"]?.text == request)
            let next = try #require(first["next"]?.integer)
            let rest = try await rival.send("GET", "/v1/audit?before=\(next)")
            #expect(try rest.json()["entries"]?.elements?.first?["subject"]?.text == "a")
            #expect(!rest.text.contains("acme"))
            for text in [try await rival.send("GET", "/v1/audit").text, rest.text] {
                #expect(!text.contains("tpk_") && !text.contains(secret))
            }
            #expect(try await rival.send("GET", "/v1/audit?org=acme").status == 400)
            let member = try await fixture.client(of: "rival", [.turns, .agents])
            #expect(try await member.send("GET", "/v1/audit").status == 403)
            let everything =
                try await fixture.client.send("GET", "/v1/audit?limit=1000").json()["entries"]?.elements ?? []
            let organizations = Set(everything.compactMap { $0["organization"]?.text })
            #expect(organizations.isSuperset(of: ["acme", "rival"]))
            let one = try await fixture.client.send("GET", "/v1/audit?org=rival").json()["entries"]?.elements ?? []
            #expect(!one.isEmpty && one.allSatisfy { $0["organization"]?.text == "rival" })
            #expect(try await fixture.client.send("GET", "/v1/audit?org=a%20b").code == "invalid_id")
        }
    }

    @Test("a rotated token works with both secrets, and after a rotation without an overlap with one only")
    func rotation() async throws {
        try await APIFixture.with { fixture in
            let made = try await fixture.client.send("POST", "/v1/tokens", #"{"name":"t","scopes":["turns"]}"#).json()
            let id = try #require(made["token"]?["id"]?.text)
            let first = Probe(port: fixture.port, token: made["token"]?["secret"]?.text)
            let path = "/v1/tokens/\(id)/rotate"
            #expect(try await first.send("POST", path).status == 403)
            let rotated = try await fixture.client.send("POST", path).json()["token"]
            #expect(rotated?["id"]?.text == id)
            let second = Probe(port: fixture.port, token: rotated?["secret"]?.text)
            for probe in [first, second] { #expect(try await probe.send("GET", "/v1/session").status == 200) }
            let cut = try await fixture.client.send("POST", path, #"{"overlap_seconds":0}"#).json()["token"]
            let third = Probe(port: fixture.port, token: cut?["secret"]?.text)
            #expect(try await third.send("GET", "/v1/session").json()["token"]?.text == id)
            try await eventually("the older secrets are over", within: .seconds(2)) {
                var statuses: [Int] = []
                for probe in [first, second] { statuses.append(try await probe.send("GET", "/v1/session").status) }
                return statuses == [401, 401]
            }
            for body in [#"{"overlap_seconds":-1}"#, #"{"overlap_seconds":2592001}"#, #"{"x":1}"#] {
                #expect(try await fixture.client.send("POST", path, body).status == 400)
            }
            #expect(try await fixture.client.send("DELETE", "/v1/tokens/\(id)").status == 204)
            #expect(try await fixture.client.send("POST", path).status == 404)
        }
    }

    @Test("a token that another made ends no later, and one that lasts longer is not that one's to rotate")
    func lifetimes() async throws {
        try await APIFixture.with { fixture in
            func make(_ maker: Probe, _ body: String) async throws -> (token: JSONValue, probe: Probe) {
                let token = try #require(try await maker.send("POST", "/v1/tokens", body).json()["token"])
                return (token, Probe(port: fixture.port, token: token["secret"]?.text))
            }
            let short = try await make(
                fixture.client,
                #"{"name":"s","scopes":["admin"],"expires_in_seconds":600}"#
            )
            let end = try #require(short.token["expires_at"]?.text)
            for life in ["", #","expires_in_seconds":86400"#] {
                let child = try await make(short.probe, #"{"name":"c","scopes":["turns"]\#(life)}"#)
                let childsEnd = try #require(child.token["expires_at"]?.text)
                #expect(childsEnd <= end)
            }
            let brief = try await make(short.probe, #"{"name":"b","scopes":["turns"],"expires_in_seconds":60}"#)
            let briefsEnd = try #require(brief.token["expires_at"]?.text)
            #expect(briefsEnd < end)
            // A secret that does not end is none that such a token may know; nor does the token end any sooner for it.
            let lasting = try await make(fixture.client, #"{"name":"l","scopes":["turns"]}"#)
            let refused = try await short.probe.send("POST", Self.rotation(of: lasting.token))
            #expect(refused.status == 403 && refused.code == "forbidden" && refused.text.contains("lasts longer"))
            #expect(try await lasting.probe.send("GET", "/v1/session").status == 200)
            let listed = try await fixture.client.send("GET", "/v1/tokens").json()["tokens"]?.elements
            let shown = try #require(listed?.first { $0["id"] == lasting.token["id"] })
            #expect(shown["expires_at"]?.text == nil)
            let rotated = try await fixture.client.send("POST", Self.rotation(of: lasting.token)).json()["token"]
            #expect(rotated?["secret"]?.text != nil && rotated?["expires_at"]?.text == nil)
            // Its own is; and what ends before it does.
            for (token, expected) in [(short.token, end), (brief.token, briefsEnd)] {
                let own = try await short.probe.send("POST", Self.rotation(of: token)).json()["token"]
                #expect(own?["expires_at"]?.text == expected)
            }
            // Who administers an organization runs no installation, and gets no token of somebody who does.
            let operators = try await make(fixture.client, #"{"name":"o","scopes":["operator"]}"#)
            let admin = try await fixture.client(of: fixture.org.text, [.admin])
            let climbed = try await admin.send("POST", Self.rotation(of: operators.token))
            #expect(climbed.status == 403 && climbed.text.contains("operator"))
            #expect(try await operators.probe.send("GET", "/v1/replicas").status == 200)
        }
    }

    private static func rotation(of token: JSONValue) -> String {
        "/v1/tokens/\(token["id"]?.text ?? "")/rotate"
    }
}
