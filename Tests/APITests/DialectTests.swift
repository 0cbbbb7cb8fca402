import Domain
import HTTP
import Testing

@testable import API

struct DialectTests {
    @Test("the first name of a conversation wins: headers in their order, then the body's members")
    func names() throws {
        let order = ["X-Conversation-Id", "X-OpenWebUI-Chat-Id", "session-id", "thread-id", "X-Session-Id"]
        for first in order.indices {
            var headers = Headers()
            for name in order[first...].reversed() { headers.add(name, "of-\(name)") }
            let request = try Request(method: "POST", target: "/", headers: headers)
            let found = try Dialect.conversation(request, members: [("prompt_cache_key", "p")])
            #expect(found?.text == "of-\(order[first])")
        }
        let bare = try Request(method: "POST", target: "/")
        let members = [(name: "prompt_cache_key", value: String?("p")), (name: "metadata.conversation_id", value: "m")]
        #expect(try Dialect.conversation(bare, members: members)?.text == "p")
        #expect(try Dialect.conversation(bare, members: Array(members.dropFirst()))?.text == "m")
        #expect(try Dialect.conversation(bare, members: []) == nil)
    }

    @Test(
        "a stored time is the second that it names",
        arguments: [
            ("1970-01-01T00:00:00Z", 0), ("1999-12-31T23:59:59.999999Z", 946_684_799),
            ("2000-02-29T12:00:00.5Z", 951_825_600), ("2026-11-25T21:05:00.000001Z", 1_795_640_700), ("never", 0),
        ]
    )
    func time(_ text: String, _ seconds: Int64) {
        #expect(UnixTime.seconds(text) == seconds)
    }

    @Test("token counts are shown when both directions are known, in whichever names")
    func usage() {
        #expect(TokenUsage(["inputTokens": 2, "outputTokens": 3, "totalTokens": 9])?.total == 9)
        #expect(TokenUsage(["prompt_tokens": 2, "completion_tokens": 3])?.total == 5)
        #expect(TokenUsage(["totalTokens": 5]) == nil)
        #expect(TokenUsage(nil) == nil)
    }

    @Test("images become what workers take, data as data and links as links")
    func images() throws {
        let parts = try ContentParts.read(
            [
                ["type": "image_url", "image_url": ["url": "data:image/png;base64,aGk="]],
                ["type": "input_image", "image_url": "https://example.org/a.png"],
            ],
            at: "content"
        )
        #expect(parts[0] == ["type": "image", "data": "aGk=", "mimeType": "image/png"])
        #expect(parts[1]["uri"]?.text == "https://example.org/a.png")
    }

    @Test("what a run said that died stays in the stream, and the next run's reply follows whole")
    func retried() throws {
        let turn = try #require(TurnID("0198a1b2-0000-7000-8000-000000000001"))
        var projection = ChatProjection(turn: turn, model: try AgentID("a"), wantsUsage: false)
        let log = [
            ("turn.started", "{}"), ("delta", #"{"text":"one"}"#), ("turn.retried", "{}"),
            ("delta", #"{"text":"t"}"#), ("turn.completed", #"{"reply":"two","stop_reason":"max_tokens"}"#),
        ]
        var text = ""
        for (seq, (type, data)) in log.enumerated() {
            let event = EventRecord(seq: Int64(seq), turn: turn, type: type, data: data, at: "")
            text += String(decoding: try projection.take(event), as: UTF8.self)
        }
        let contents = text.matches(of: /"content":"([a-z]*)"/).map { String($0.1) }
        #expect(contents == ["", "one", "t", "wo"])
        #expect(text.contains(#""finish_reason":"length""#))
        #expect(projection.isOver)
    }
}
