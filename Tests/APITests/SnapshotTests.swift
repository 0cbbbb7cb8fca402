import Domain
import Testing

@testable import API

/// Snapshots and forks as clients see them, of an agent that appends its input to a file and shows the file.
@Suite(.serialized)
struct SnapshotTests {
    private static let path = "/v1/agents/list/conversations"

    private func prepare(_ fixture: APIFixture, turns: [String]) async throws {
        let agent = #"""
            {"driver":"command","command":["/bin/sh","-c","cat >> $HOME/list; cat $HOME/list"],
            "store_mode":"snapshot","snapshots":{"kind":"directory"}}
            """#
        #expect(try await fixture.client.send("PUT", "/v1/agents/list", agent).status == 200)
        for turn in turns { _ = try await self.reply(fixture, "c", turn) }
    }

    private func reply(_ fixture: APIFixture, _ conversation: String, _ text: String) async throws -> String? {
        let path = "\(Self.path)/\(conversation)/turns"
        let accepted = try await fixture.client.send("POST", path, #"{"input":"\#(text)"}"#)
        let id = try #require(try accepted.json()["turn"]?["id"]?.text)
        let turn = try await fixture.client.send("GET", "/v1/turns/\(id)?wait=30").json()["turn"]
        return turn?["outcome"]?["reply"]?.text
    }

    @Test("a conversation can be forked from any turn that left a snapshot, and both go on by themselves")
    func fork() async throws {
        try await APIFixture.with { fixture in
            try await self.prepare(fixture, turns: ["a", "b", "c"])
            let body = #"{"from_seq":2,"conversation":"d"}"#
            let made = try await fixture.client.send("POST", "\(Self.path)/c/fork", body)
            #expect(made.status == 201)
            let record = try made.json()
            #expect(record["id"] == "d" && record["head"] == 2)
            #expect(record["origin"] == ["conversation": "c", "seq": 2])
            #expect(try await self.reply(fixture, "d", "x") == "abx")
            #expect(try await self.reply(fixture, "c", "d") == "abcd")
            let shown = try await fixture.client.send("GET", "\(Self.path)/d").json()
            #expect(shown["origin"]?["seq"] == 2)
            #expect(try await fixture.client.send("GET", "\(Self.path)/c").json()["origin"] == .null)

            let again = try await fixture.client.send("POST", "\(Self.path)/c/fork", body)
            #expect(again.status == 409 && again.code == "conversation_exists")
            let none = try await fixture.client.send(
                "POST",
                "\(Self.path)/c/fork",
                #"{"from_seq":9,"conversation":"e"}"#
            )
            #expect(none.status == 404)
            for wrong in [#"{}"#, #"{"conversation":"a b"}"#, #"{"conversation":"e","from_seq":0}"#, #"{"x":1}"#] {
                #expect(try await fixture.client.send("POST", "\(Self.path)/c/fork", wrong).status == 400)
            }
            #expect(try await fixture.client.send("DELETE", "\(Self.path)/c").status == 204)
            let gone = try await fixture.client.send("POST", "\(Self.path)/c/fork", #"{"conversation":"e"}"#)
            #expect(gone.status == 410)
            #expect(try await self.reply(fixture, "d", "y") == "abxy")
            let stranger = try await fixture.client(of: "rival", [.admin])
            #expect(try await stranger.send("POST", "\(Self.path)/d/fork", #"{"conversation":"e"}"#).status == 404)
        }
    }

    @Test("snapshots are listed in pages, read with their digest, and pruned")
    func chain() async throws {
        try await APIFixture.with { fixture in
            try await self.prepare(fixture, turns: ["a", "b", "c"])
            let path = "\(Self.path)/c/snapshots"
            let page = try await fixture.client.send("GET", "\(path)?limit=2").json()
            #expect(page["next"] == 2)
            let links = page["snapshots"]?.elements ?? []
            #expect(links.map { $0["kind"]?.text } == ["base", "delta"])
            #expect(links.allSatisfy { $0["format"] == "directory" })
            let rest = try await fixture.client.send("GET", "\(path)?after=2").json()
            #expect(rest["snapshots"]?.elements?.count == 1 && rest["next"] == .null)
            let body = try await fixture.client.send("GET", "\(path)/1")
            #expect(body.status == 200 && body.headers["content-type"] == "application/octet-stream")
            #expect(Int64(body.body.count) == links[0]["bytes"]?.integer)
            #expect(try await fixture.client.send("GET", "\(path)/7").status == 404)
            #expect(try await fixture.client.send("GET", "\(path)/x").status == 400)
            let reader = try await fixture.client(of: fixture.org.text, [.turns])
            #expect(try await reader.send("GET", path).status == 200)
            #expect(try await reader.send("GET", "\(path)/1").status == 403)
            #expect(try await reader.send("DELETE", "\(path)?keep_turns=0").status == 403)
            #expect(try await fixture.client.send("DELETE", path).status == 400)
            let pruned = try await fixture.client.send("DELETE", "\(path)?keep_turns=0").json()
            #expect(pruned["links"] == 0, "all of it stands on the one base")
            #expect(try await fixture.client.send("GET", "\(Self.path)/none/snapshots").status == 404)
        }
    }
}
