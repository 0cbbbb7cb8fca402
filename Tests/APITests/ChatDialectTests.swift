import Domain
import Gateway
import HTTP
import TestKit
import Testing

@testable import API

/// What clients of Chat Completions send beside plain messages. The agent `default` repeats its input.
@Suite(.serialized)
struct ChatDialectTests {
    private static let path = "/v1/chat/completions"

    private static func content(_ answer: Answer) throws -> String? {
        try answer.json()["choices"]?.elements?.first?["message"]?["content"]?.text
    }

    private static func body(_ messages: String, more: String = "") -> String {
        #"{"model":"default","messages":[\#(messages)]\#(more)}"#
    }

    @Test("every role and every shape of content is taken, and what the gateway has no use for is ignored")
    func shapes() async throws {
        try await APIFixture.with { fixture in
            let messages = """
                {"role":"developer","content":"be brief"},{"role":"system","content":[{"type":"text","text":"be kind"}]},
                {"role":"user","content":"first","name":"ann"},
                {"role":"assistant","content":null,"tool_calls":[{"id":"t","type":"function"}],"refusal":null},
                {"role":"tool","tool_call_id":"t","content":"42"},{"role":"assistant","content":[]},
                {"role":"user","content":[{"type":"text","text":"second"},
                    {"type":"image_url","image_url":{"url":"https://example.org/a.png","detail":"low"}}]}
                """
            let more = """
                ,"temperature":0.2,"top_p":1,"max_tokens":5,"max_completion_tokens":5,"seed":7,"stop":["x"],"tools":[],
                "tool_choice":"auto","response_format":{"type":"json_object"},"logprobs":false,"user":"ann","n":1,
                "stream":false,"stream_options":null,"service_tier":"auto","store":true,"metadata":{"k":"v"},"made_up":[{}]
                """
            let answer = try await fixture.client.send("POST", Self.path, Self.body(messages, more: more))
            let text = try #require(try Self.content(answer))
            #expect(text.contains(#"{"role":"developer","text":"be brief"}"#) && text.contains("be kind"))
            #expect(text.contains(#"{"role":"tool","text":"42"}"#))
            #expect(text.contains("\nsecond"), "the user's last message is the input itself")
        }
    }

    @Test("the input is the last that the user said, and what stands after it is told along, once")
    func trailing() async throws {
        try await APIFixture.with { fixture in
            let name = ["X-Conversation-Id": "c"]
            func reply(_ messages: String) async throws -> String {
                let answer = try await fixture.client.send("POST", Self.path, Self.body(messages), headers: name)
                return try #require(try Self.content(answer))
            }
            let first = try await reply(
                #"{"role":"user","content":"a"},{"role":"system","content":"answer in French"}"#
            )
            #expect(first.contains("answer in French") && first.hasSuffix("\na"))
            let second = try await reply(
                #"{"role":"user","content":"a"},{"role":"user","content":"b"},{"role":"assistant","content":"Well,"}"#
            )
            #expect(second.contains("Well,") && second.hasSuffix("\nb") && !second.contains(#""text":"a""#))
            let third = try await reply(#"{"role":"user","content":"c"},{"role":"user","content":""}"#)
            #expect(third == "c")
        }
    }

    @Test("tokens that the agent counted are in the answer, and in a stream only when asked, in its last chunk")
    func usage() async throws {
        try await APIFixture.with { fixture in
            let double = "\(Self.repository)/Tests/Doubles/worker_double.py"
            let agent = #"{"command":["/usr/bin/python3","-S","\#(double)","usage","totals"],"store_mode":"none"}"#
            #expect(try await fixture.client.send("PUT", "/v1/agents/counts", agent).status == 200)
            let body = #"{"model":"counts","messages":[{"role":"user","content":"x"}]"#
            let whole = try await fixture.client.send("POST", Self.path, body + "}")
            let usage = try #require(try whole.json()["usage"])
            #expect(usage["prompt_tokens"] == 10 && usage["completion_tokens"] == 4 && usage["total_tokens"] == 14)
            for (options, counts) in [
                ("", 0), (#","stream_options":{"include_usage":false}"#, 0),
                (#","stream_options":{"include_usage":true}"#, 1),
            ] {
                let answer = try await fixture.client.send("POST", Self.path, body + #","stream":true\#(options)}"#)
                let chunks = answer.text.split(separator: "\n").filter { $0.contains(#""total_tokens":14"#) }
                #expect(chunks.count == counts)
                #expect(chunks.allSatisfy { $0.contains(#""choices":[]"#) })
                #expect(answer.text.hasSuffix("data: [DONE]\n\n"))
            }
        }
    }

    @Test("errors have the four members that clients read, whatever is wrong, and say when not to try again")
    func errors() async throws {
        try await APIFixture.with { fixture in
            let cases = [
                (#"{"model":"default","messages":[{"role":"user","content":"x"}],"stream":"yes"}"#, 400, "stream"),
                (
                    #"{"model":"default","messages":[{"role":"user","content":"x"}],"stream_options":[]}"#, 400,
                    "stream_options"
                ),
                (#"{"model":"default","messages":[{"role":"user","content":"x"}],"n":2}"#, 400, "n"),
                (#"{"model":"default","messages":[{"role":"user","content":5}]}"#, 400, "messages[0].content"),
                (#"{"model":"gone","messages":[{"role":"user","content":"x"}]}"#, 404, "model"),
            ]
            for (body, status, param) in cases {
                let answer = try await fixture.client.send("POST", Self.path, body)
                #expect(answer.status == status)
                let error = try #require(try answer.json()["error"])
                #expect(error["param"]?.text == param)
                for member in ["message", "type", "code"] {
                    #expect(error[member]?.text?.isEmpty == false, "\(member)")
                }
            }
            let stranger = try await fixture.stranger.send("POST", Self.path, cases[0].0)
            #expect(try stranger.json()["error"]?["type"]?.text == "authentication_error")
        }
    }

    private static let repository: String = {
        "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
    }()

    /// A completion in the conversation `c` by a client that counts its tries.
    private static func answer(_ client: Probe, `try` count: Int) async throws -> Answer {
        let headers = ["X-Conversation-Id": "c", "x-stainless-retry-count": String(count)]
        let body = Self.body(#"{"role":"user","content":"yes"}"#)
        return try await client.send("POST", Self.path, body, headers: headers)
    }

    @Test("a try that follows a refused first one gets a turn of its own, not the reply to the same words before")
    func stale() async throws {
        try await APIFixture.with { fixture in
            let tenant = fixture.gateway.tenant(fixture.org)
            func turns() async throws -> Int? {
                let path = "/v1/agents/default/conversations/c/turns"
                return try await fixture.client.send("GET", path).json()["turns"]?.elements?.count
            }
            #expect(try await Self.answer(fixture.client, try: 0).status == 200)
            #expect(try await Self.answer(fixture.client, try: 1).status == 200)
            #expect(try await turns() == 1, "a second try of the same request")
            _ = try await tenant.set(Quota(organizationTurns: 0))
            #expect(try await Self.answer(fixture.client, try: 0).status == 429)
            _ = try await tenant.set(Quota())
            #expect(try await Self.answer(fixture.client, try: 1).status == 200)
            #expect(try await turns() == 2)
            #expect(try await Self.answer(fixture.client, try: 2).status == 200)
            #expect(try await turns() == 2)
        }
    }
}
