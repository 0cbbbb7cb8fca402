import Domain
import HTTP
import TestKit
import Testing

@testable import API

/// `POST /v1/chat/completions` and `GET /v1/models`. The agent `default` repeats its input.
@Suite(.serialized)
struct ChatTests {
    private static let path = "/v1/chat/completions"

    private static func body(_ messages: [(role: String, text: String)], more: String = "") -> String {
        let list = messages.map { #"{"role":"\#($0.role)","content":"\#($0.text)"}"# }.joined(separator: ",")
        return #"{"model":"default","temperature":0.5,"messages":[\#(list)]\#(more)}"#
    }

    private static func content(_ answer: Answer) throws -> String? {
        try answer.json()["choices"]?.elements?.first?["message"]?["content"]?.text
    }

    /// The `data` of each server-sent event.
    private static func data(_ answer: Answer) -> [String] {
        answer.text.split(separator: "\n").filter { $0.hasPrefix("data: ") }.map { String($0.dropFirst(6)) }
    }

    private static func put(_ agent: String, _ script: String, _ fixture: APIFixture) async throws {
        let body = #"{"driver":"command","command":["/bin/sh","-c","\#(script)"],"store_mode":"none"}"#
        #expect(try await fixture.client.send("PUT", "/v1/agents/\(agent)", body).status == 200)
    }

    @Test("only the last message is new to a conversation, and the earlier ones go to one that is not known yet")
    func history() async throws {
        try await APIFixture.with { fixture in
            let headers = ["X-Conversation-Id": "chat-1"]
            let first = try await fixture.client.send("POST", Self.path, Self.body([("user", "a")]), headers: headers)
            #expect(first.status == 200)
            #expect(first.headers["x-conversation-id"] == "chat-1")
            let completion = try first.json()
            #expect(completion["object"]?.text == "chat.completion")
            #expect(completion["model"]?.text == "default")
            #expect(completion["choices"]?.elements?.first?["finish_reason"]?.text == "stop")
            #expect(try Self.content(first) == "a")

            let talk = [("system", "s"), ("user", "a"), ("assistant", "a"), ("user", "b")]
            let second = try await fixture.client.send("POST", Self.path, Self.body(talk), headers: headers)
            #expect(try Self.content(second) == "b")

            let elsewhere = try await fixture.client.send(
                "POST",
                Self.path,
                Self.body(talk),
                headers: ["X-OpenWebUI-Chat-Id": "chat-2"]
            )
            #expect(elsewhere.headers["x-conversation-id"] == "chat-2")
            let seeded = try #require(try Self.content(elsewhere))
            #expect(seeded.hasSuffix("\nb"))
            #expect(seeded.contains(#"{"role":"assistant","text":"a"}"#) && seeded.hasPrefix("Earlier messages"))

            let alone = try await fixture.client.send("POST", Self.path, Self.body(talk))
            #expect(alone.headers["x-conversation-id"] == nil)
            #expect(try Self.content(alone)?.contains(#""role":"system""#) == true, "a direct turn knows nothing")
        }
    }

    @Test("a frontend's own errands carry the conversation's name and are no part of it")
    func errands() async throws {
        try await APIFixture.with { fixture in
            let name = ["X-OpenWebUI-Chat-Id": "chat-1"]
            let title = Self.body([("user", "### Task: make a title")])
            #expect(try await fixture.client.send("POST", Self.path, title, headers: name).status == 200)
            let tags = name.merging(["X-Task": "tags_generation"]) { _, new in new }
            #expect(
                try await fixture.client.send("POST", Self.path, Self.body([("user", "t")]), headers: tags).status
                    == 200
            )
            let found = try await fixture.client.send("GET", "/v1/agents/default/conversations/chat-1")
            #expect(found.status == 404)
        }
    }

    @Test("a stream begins with the role, ends with the reason and [DONE], and counts tokens only when asked")
    func stream() async throws {
        try await APIFixture.with { fixture in
            let body = Self.body([("user", "hello")], more: #","stream":true"#)
            let answer = try await fixture.client.send("POST", Self.path, body, headers: ["X-Session-Id": "s"])
            #expect(answer.headers["content-type"] == "text/event-stream")
            #expect(answer.headers["x-conversation-id"] == "s")
            let data = Self.data(answer)
            #expect(data.last == "[DONE]")
            let chunks = try data.dropLast().map { try JSONReader.read(Array($0.utf8)) }
            #expect(Set(chunks.map { $0["id"]?.text }).count == 1)
            #expect(chunks.allSatisfy { $0["object"]?.text == "chat.completion.chunk" && $0["usage"] == nil })
            let deltas = chunks.compactMap { $0["choices"]?.elements?.first }
            #expect(deltas.first?["delta"]?["role"]?.text == "assistant")
            #expect(deltas.compactMap { $0["delta"]?["content"]?.text }.joined() == "hello")
            #expect(deltas.map { $0["finish_reason"]?.text } == deltas.map { $0 == deltas.last ? "stop" : nil })

            let counted = Self.body([("user", "x")], more: #","stream":true,"stream_options":{"include_usage":true}"#)
            let last = Self.data(try await fixture.client.send("POST", Self.path, counted)).suffix(2).first ?? ""
            let usage = try JSONReader.read(Array(last.utf8))
            #expect(usage["choices"]?.elements?.isEmpty == true)
            #expect(usage["usage"] == .null, "this agent counts nothing, so no numbers are made up")
        }
    }

    @Test("a failure after acceptance says not to send the request again, in both modes")
    func failures() async throws {
        try await APIFixture.with { fixture in
            try await Self.put("broken", "echo so far; exit 3", fixture)
            let body = Self.body([("user", "x")]).replacing("default", with: "broken")
            let whole = try await fixture.client.send("POST", Self.path, body, headers: ["X-Conversation-Id": "c"])
            #expect(whole.status == 502)
            #expect(whole.code == "worker_exited")
            #expect(whole.headers["x-should-retry"] == "false")
            #expect(whole.headers["x-conversation-id"] == "c")
            let streamed = body.dropLast() + #","stream":true}"#
            let data = Self.data(try await fixture.client.send("POST", Self.path, String(streamed)))
            #expect(data.last?.contains(#""error":{"type":"api_error","code":"worker_exited""#) == true)
            #expect(!data.contains("[DONE]"))
        }
    }

    @Test("a client that leaves leaves its turn running, unless it asked for the opposite")
    func disconnect() async throws {
        try await APIFixture.with { fixture in
            try await Self.put("slow", "echo begun; sleep 2; cat", fixture)
            let start = Self.body([("user", "x")], more: #","stream":true"#).replacing("default", with: "slow")
            for (name, more, state) in [
                ("goes", "", "completed"), ("stops", #","on_disconnect":"cancel""#, "cancelled"),
            ] {
                _ = try await fixture.client.send(
                    "POST",
                    Self.path,
                    String(start.dropLast()) + more + "}",
                    headers: ["X-Conversation-Id": name],
                    enough: { $0.contains("begun") }
                )
                let page = "/v1/agents/slow/conversations/\(name)/events"
                try await eventually("the turn ends as \(state)", within: .seconds(15)) {
                    let events = try await fixture.client.send("GET", page, headers: ["Accept": "application/json"])
                    return events.text.contains("turn.\(state)")
                }
            }
        }
    }

    @Test("one idempotency key is one turn, and a changed body under it is refused without a retry")
    func idempotency() async throws {
        try await APIFixture.with { fixture in
            let headers = ["X-Conversation-Id": "c", "Idempotency-Key": "k"]
            let body = Self.body([("user", "x")])
            let answers = [
                try await fixture.client.send("POST", Self.path, body, headers: headers),
                try await fixture.client.send("POST", Self.path, body, headers: headers),
            ]
            #expect(answers.map(\.status) == [200, 200])
            #expect(try answers[0].json()["id"] == answers[1].json()["id"])
            let other = try await fixture.client.send("POST", Self.path, Self.body([("user", "y")]), headers: headers)
            #expect(other.code == "idempotency_conflict")
            #expect(other.headers["x-should-retry"] == "false")
            let found = try await fixture.client.send("GET", "/v1/agents/default/conversations/c")
            #expect(try found.json()["last_turn"]?.integer == 1)
        }
    }

    @Test("models are the organization's agents, and what a request lacks is named")
    func modelsAndErrors() async throws {
        let cases: [(body: String, status: Int, param: String)] = [
            ("[]", 400, ""),
            (#"{"messages":[]}"#, 400, "model"),
            (#"{"model":"nobody","messages":[{"role":"user","content":"x"}]}"#, 404, "model"),
            (#"{"model":"a b","messages":[{"role":"user","content":"x"}]}"#, 404, "model"),
            (#"{"model":"default","messages":[]}"#, 400, "messages"),
            (#"{"model":"default","messages":[{"role":"king","content":"x"}]}"#, 400, "messages[0].role"),
            (#"{"model":"default","messages":[{"role":"assistant","content":"x"}]}"#, 400, "messages"),
            (#"{"model":"default","messages":[{"role":"user","content":""}]}"#, 400, "messages"),
            (
                #"{"model":"default","messages":[{"role":"user","content":[{"type":"smell"}]}]}"#, 400,
                "messages[0].content[0].type"
            ),
            (#"{"model":"default","n":2,"messages":[{"role":"user","content":"x"}]}"#, 400, "n"),
        ]
        try await APIFixture.with { fixture in
            let list = try await fixture.client.send("GET", "/v1/models").json()
            #expect(list["data"]?.elements?.map { $0["id"]?.text } == ["default"])
            #expect((list["data"]?.elements?.first?["created"]?.integer ?? 0) > 1_700_000_000)
            #expect(try await fixture.client.send("GET", "/v1/models/default").json()["object"]?.text == "model")
            #expect(try await fixture.client.send("GET", "/v1/models/nobody").code == "model_not_found")
            for one in cases {
                let answer = try await fixture.client.send("POST", Self.path, one.body)
                #expect(answer.status == one.status, "\(one.body)")
                #expect(try answer.json()["error"]?["param"]?.text ?? "" == one.param, "\(one.body)")
            }
            let name = try await fixture.client.send(
                "POST",
                Self.path,
                Self.body([("user", "x")]),
                headers: ["session-id": "not a name"]
            )
            #expect(name.code == "invalid_id")
        }
    }
}
