import Domain
import Testing

@testable import API

/// Responses as values: the same log gives the same events wherever the reading begins.
struct ResponseProjectionTests {
    private static let question = "0198a1b2-0000-7000-8000-00000000000a"
    private static let log: [(type: String, data: String)] = [
        ("turn.queued", #"{"position":0}"#), ("turn.started", #"{"attempt":1}"#), ("thought", #"{"text":"hm"}"#),
        ("delta", #"{"text":"one "}"#), ("delta", #"{"text":"two "}"#),
        ("tool", #"{"id":"t","name":"touch x","status":"pending"}"#),
        ("approval.requested", #"{"approval":"\#(question)","tool":{"name":"touch x"},"arguments":{"a":1}}"#),
        ("approval.resolved", "{}"), ("tool", #"{"id":"t","name":"touch x","status":"completed","output":"ok"}"#),
        ("delta", #"{"text":"three"}"#),
        (
            "turn.completed",
            #"{"reply":"one two three!","stop_reason":"end_turn","usage":{"inputTokens":1,"outputTokens":2}}"#
        ),
    ]

    private static func run(_ part: Int, after: Int = -1) throws -> (frames: [String], projection: ResponseProjection) {
        let turn = try #require(TurnID("0198a1b2-0000-7000-8000-000000000001"))
        var projection = ResponseProjection(
            ResponseID(turn: turn, part: part),
            model: "a",
            settings: ResponseSettings(),
            after: after
        )
        var text = ""
        for (seq, (type, data)) in Self.log.enumerated() {
            let event = EventRecord(seq: Int64(seq), turn: turn, type: type, data: data, at: "")
            text += String(decoding: try projection.take(event), as: UTF8.self)
        }
        return (text.split(separator: "\n\n").map(String.init), projection)
    }

    @Test("a question ends a response, and what the turn says after it is the next", arguments: [0, 1])
    func parts(_ part: Int) throws {
        let (frames, projection) = try Self.run(part)
        #expect(projection.isOver && projection.status == .completed)
        let kinds = projection.items.map { String($0.id.prefix { $0 != "_" }) }
        #expect(kinds == (part == 0 ? ["rs", "msg", "mcp", "mcpr"] : ["mcp", "msg"]))
        let response = try JSONReader.read(projection.object())
        let texts = response["output"]?.elements?.compactMap { $0["content"]?.elements?.first?["text"]?.text }
        #expect(texts == [part == 0 ? "one two " : "three!"])
        #expect(response["usage"]?["total_tokens"]?.integer == (part == 0 ? nil : 3))
        #expect(frames.first?.hasPrefix("event: response.created\n") == true)
        #expect(frames.last?.hasPrefix("event: response.completed\n") == true)
        for (number, frame) in frames.enumerated() { #expect(frame.contains(#""sequence_number":\#(number),"#)) }
    }

    @Test("reading from any event on gives exactly what comes after it", arguments: [0, 1])
    func resumed(_ part: Int) throws {
        let whole = try Self.run(part).frames
        for after in whole.indices { #expect(try Self.run(part, after: after).frames == Array(whole[(after + 1)...])) }
    }

    @Test("a response's id is its turn's, and nothing else is taken for one")
    func identity() throws {
        for part in [0, 1, 12] {
            let id = ResponseID(turn: try #require(TurnID("0198a1b2-0000-7000-8000-000000000001")), part: part)
            #expect(ResponseID(id.text) == id)
        }
        for text in [
            "", "resp_", "resp_0198a1b2", "msg_0198a1b2000070008000000000000001",
            "resp_0198a1b2000070008000000000000001_0", "resp_0198a1b2000070008000000000000001_01",
            "resp_0198a1b2000070008000000000000001_1_1",
        ] {
            #expect(ResponseID(text) == nil, "\(text)")
        }
    }
}
