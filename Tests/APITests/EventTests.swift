import Domain
import HTTP
import Testing

@testable import API

struct EventTests {
    private static func event(_ data: String, seq: Int64 = 7, type: String = "delta") throws -> EventRecord {
        let turn = try #require(TurnID("0198a1b2-0000-7000-8000-000000000001"))
        return EventRecord(seq: seq, turn: turn, type: type, data: data, at: "2026-01-02T03:04:05.678Z")
    }

    private static let head =
        #""seq":7,"turn":"0198a1b2-0000-7000-8000-000000000001","at":"2026-01-02T03:04:05.678Z""#

    @Test(
        "an event's own members follow its number, turn and time without being decoded",
        arguments: [
            (#"{"text":"hi"}"#, #"{\#(Self.head),"text":"hi"}"#), ("{}", "{\(Self.head)}"), ("{ }", "{\(Self.head)}"),
            (" {\n} ", "{\(Self.head)}"), ("", "{\(Self.head)}"),
            (#" {"a": {"b": 1}} "#, #"{\#(Self.head),"a": {"b": 1}}"#),
            (#"{"text":"a}{\"b"}"#, #"{\#(Self.head),"text":"a}{\"b"}"#), ("[1]", #"{\#(Self.head),"data":[1]}"#),
            ("null", #"{\#(Self.head),"data":null}"#),
        ]
    )
    func splice(_ data: String, _ expected: String) throws {
        let bytes = JSONWriter.object { json in
            if let event = try? Self.event(data) { json.members(of: event, withType: false) }
        }
        #expect(String(decoding: bytes, as: UTF8.self) == expected)
        _ = try JSONReader.read(bytes)
    }

    @Test("every kind of event becomes readable JSON with all its members")
    func everyKind() throws {
        let tool = ToolActivity(id: "1", name: "run", status: "completed", input: ["a": "\"\\\n"], output: [1, 2])
        let reply = Reply(text: "line one\nline \"two\" 😀", stopReason: "end_turn", usage: ["input_tokens": 5])
        let kinds: [TurnEvent] = [
            .queued, .started(attempt: 1), .delta(text: "x"), .thought(text: "y"), .tool(tool), .plan([["a": 1]]),
            .usage(["n": 1]), .retried(.workerExited, message: "gone"), .ended(.completed(reply)),
            .ended(.failed(.deadlineExceeded, message: "late", partial: "so far")), .ended(.cancelled(partial: "")),
        ]
        for kind in kinds {
            let data = String(decoding: JSONWriter.text(kind.data), as: UTF8.self)
            let record = try Self.event(data, type: kind.type)
            let read = try JSONReader.read(JSONWriter.object { $0.members(of: record, withType: true) })
            guard case .object(let members) = read, case .object(let own) = kind.data else {
                Issue.record("no object")
                continue
            }
            #expect(members["type"]?.text == kind.type)
            #expect(members["seq"]?.integer == 7)
            for (name, value) in own { #expect(members[name] == value) }
            #expect(members.count == own.count + 4)
        }
    }

    @Test("a batch is one run of frames, each with its id, type and data")
    func frames() throws {
        let batch = [try Self.event(#"{"text":"a"}"#), try Self.event("{}", seq: 8, type: "turn.cancelled")]
        let text = String(decoding: try EventFollower.frames(batch), as: UTF8.self)
        let second = Self.head.replacing(#""seq":7"#, with: #""seq":8"#)
        #expect(
            text == """
                id: 7
                event: delta
                data: {\(Self.head),"text":"a"}

                id: 8
                event: turn.cancelled
                data: {\(second)}


                """
        )
    }

    @Test(
        "a stream is sent only to those who name it",
        arguments: [
            ("text/event-stream", true), ("application/json, text/event-stream", true), ("TEXT/EVENT-STREAM", true),
            ("text/event-stream;q=0", false), ("text/event-stream; q=0.5", true), ("*/*", false), ("text/*", false),
            ("application/json", false), ("text/event-streams", false), ("", false),
        ]
    )
    func accept(_ field: String, _ expected: Bool) throws {
        let request = try Request(method: "GET", target: "/", headers: ["Accept": field])
        #expect(Accepted.names("text/event-stream", request) == expected)
    }

    @Test(
        "a cursor that is no number is refused",
        arguments: ["-1", "x", "1.5", "1e3", "99999999999999999999", "+1", " 1", "٣"]
    )
    func cursor(_ text: String) throws {
        let request = try Request(method: "GET", target: "/", headers: ["Last-Event-ID": text])
        #expect(throws: APIError.self) { try EventCursor.lastEventID(request) }
    }
}
