import Domain
import TestKit
import Testing

@testable import API

@Suite("Streams that end before their client leaves", .serialized)
struct EndingStreamTests {
    private static let slow =
        #"{"driver":"command","command":["sleep","60"],"limits":{"grace_seconds":1}}"#
    private static let conversation = "/v1/agents/slow/conversations/c"
    private static let eventStream = ["Accept": "text/event-stream"]

    @Test("whoever follows a turn learns that deleting its conversation cancelled it")
    func deleted() async throws {
        try await APIFixture.with { fixture in
            #expect(try await fixture.client.send("PUT", "/v1/agents/slow", Self.slow).status == 200)
            let path = "\(Self.conversation)/turns"
            async let streamed = fixture.client.send("POST", path, #"{"input":"x"}"#, headers: Self.eventStream)
            try await eventually("the turn to run") {
                let shown = try await fixture.client.send("GET", Self.conversation)
                guard shown.status == 200 else { return false }
                return try shown.json()["running"] != .null
            }
            #expect(try await fixture.client.send("DELETE", Self.conversation).status == 204)
            let events = try await streamed.events
            #expect(events.last?.type == "turn.cancelled")
            #expect(events.map(\.id) == events.map(\.id).sorted())
        }
    }

    @Test("a stream tells nothing more to a token that was revoked")
    func revoked() async throws {
        try await APIFixture.with { fixture in
            let made = try await fixture.client.send("POST", "/v1/tokens", #"{"name":"r","scopes":["turns"]}"#)
            let token = try made.json()["token"]
            let id = try #require(token?["id"]?.text)
            let reader = Probe(port: fixture.port, token: try #require(token?["secret"]?.text))
            let path = "/v1/agents/default/conversations/c"
            let say: @Sendable (String) async throws -> Void = { text in
                let sent = try await fixture.client.send(
                    "POST",
                    "\(path)/turns",
                    #"{"input":"\#(text)"}"#,
                    headers: Self.eventStream
                )
                #expect(sent.events.last?.type == "turn.completed")
            }
            try await say("before")
            // Nobody ends this stream but the server.
            async let streamed = reader.send("GET", "\(path)/events")
            #expect(try await fixture.client.send("DELETE", "/v1/tokens/\(id)").status == 204)
            try await eventually("the revocation to be in force") {
                try await reader.send("GET", "\(path)/events", headers: ["Accept": "application/json"]).status == 401
            }
            try await say("after")
            #expect(try await !streamed.text.contains("after"))
        }
    }

    @Test("a page of large events is cut and says that there is more")
    func largePage() async throws {
        try await APIFixture.with { fixture in
            let big = #"""
                {"driver":"command","command":["sh","-c","head -c 3000000 /dev/zero | tr '\\0' x"]}
                """#
            #expect(try await fixture.client.send("PUT", "/v1/agents/big", big).status == 200)
            let path = "/v1/agents/big/conversations/c"
            let sent = try await fixture.client.send("POST", "\(path)/turns", #"{"input":"x"}"#)
            let turn = try #require(try sent.json()["turn"]?["id"]?.text)
            let ended = try await fixture.client.send("GET", "/v1/turns/\(turn)?wait=30").json()["turn"]
            #expect(ended?["state"]?.text == "completed")
            var (after, pages, types) = (Int64(0), 0, [String]())
            while true {
                let answer = try await fixture.client.send(
                    "GET",
                    "\(path)/events?after=\(after)&limit=1000",
                    headers: ["Accept": "application/json"]
                ).json()
                pages += 1
                types += (answer["events"]?.elements ?? []).compactMap { $0["type"]?.text }
                guard let next = answer["next"]?.integer else { break }
                after = next
            }
            #expect(pages > 1)
            #expect(types.first == "turn.queued")
            #expect(types.last == "turn.completed")
        }
    }
}
