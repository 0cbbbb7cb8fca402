import Domain
import Testing

@testable import API

/// What was said in a conversation, for those who come later.
@Suite(.serialized)
struct TurnListTests {
    private static let turns = "/v1/agents/default/conversations/told/turns"

    @Test("a conversation's turns are listed newest first, in pages, with what was said and answered")
    func pages() async throws {
        try await APIFixture.with { fixture in
            for word in ["one", "two", "three"] {
                let sent = try await fixture.client.send("POST", Self.turns, #"{"input":"\#(word)"}"#)
                let turn = try #require(try sent.json()["turn"]?["id"]?.text)
                let ended = try await fixture.client.send("GET", "/v1/turns/\(turn)?wait=20")
                #expect(try ended.json()["turn"]?["input"] == [["type": "text", "text": .string(word)]])
            }
            let first = try await fixture.client.send("GET", "\(Self.turns)?limit=2").json()
            #expect(first["turns"]?.elements?.map { $0["outcome"]?["reply"]?.text } == ["three", "two"])
            let next = try #require(first["next"]?.integer)
            let second = try await fixture.client.send("GET", "\(Self.turns)?limit=2&before=\(next)").json()
            #expect(second["turns"]?.elements?.map { $0["input"]?.elements?.first?["text"]?.text } == ["one"])
            #expect(second["next"] == .null)
        }
    }

    @Test("another organization and a deleted conversation list nothing")
    func foreign() async throws {
        try await APIFixture.with { fixture in
            _ = try await fixture.client.send("POST", Self.turns, #"{"input":"mine"}"#)
            let stranger = try await fixture.client(of: "other", [.turns])
            #expect(try await stranger.send("GET", Self.turns).status == 404)
            _ = try await fixture.client.send("DELETE", "/v1/agents/default/conversations/told")
            #expect(try await fixture.client.send("GET", Self.turns).status == 410)
            #expect(try await fixture.client.send("GET", "\(Self.turns)?before=0").status == 400)
        }
    }
}
