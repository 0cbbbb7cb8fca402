import Domain
import Gateway
import HTTP
import Testing

@testable import API

/// Decodes a submission as the routes do.
private func decode(
    _ text: String,
    type: String? = "application/json",
    keys: [String] = []
) throws -> TurnBody {
    var headers = Headers()
    if let type { headers.add("Content-Type", type) }
    let request = try Request(method: "POST", target: "/", headers: headers, body: Array(text.utf8))
    return try TurnBody(JSONBody.read(request), headerKeys: keys)
}

private func refusal(_ body: () throws -> TurnBody) -> APIError? {
    do {
        _ = try body()
        return nil
    } catch {
        return APIError(error)
    }
}

struct TurnBodyTests {
    struct Bad: Sendable, CustomTestStringConvertible {
        let body: String
        let code: String
        let param: String?

        init(_ body: String, _ code: String = "invalid_request", _ param: String? = nil) {
            self.body = body
            self.code = code
            self.param = param
        }

        var testDescription: String { String(self.body.prefix(60)) }
    }

    static let bad: [Bad] = [
        Bad("", "invalid_json"),
        Bad("{", "invalid_json"),
        Bad("hello", "invalid_json"),
        Bad(#"{"input":"x"} trailing"#, "invalid_json"),
        Bad(#"{"input":"x",}"#, "invalid_json"),
        Bad("null"),
        Bad("[]"),
        Bad(#""text""#),
        Bad("{}", "invalid_request", "input"),
        Bad(#"{"input":null}"#, "invalid_request", "input"),
        Bad(#"{"input":""}"#, "invalid_request", "input"),
        Bad(#"{"input":1}"#, "invalid_request", "input"),
        Bad(#"{"input":true}"#, "invalid_request", "input"),
        Bad(#"{"input":{"type":"text","text":"x"}}"#, "invalid_request", "input"),
        Bad(#"{"input":[]}"#, "invalid_request", "input"),
        Bad(#"{"input":["x"]}"#, "invalid_request", "input[0]"),
        Bad(#"{"input":[{"type":"text","text":"x"},7]}"#, "invalid_request", "input[1]"),
        Bad(#"{"input":[{}]}"#, "invalid_request", "input[0].type"),
        Bad(#"{"input":[{"type":1}]}"#, "invalid_request", "input[0].type"),
        Bad(#"{"input":[{"type":""}]}"#, "invalid_request", "input[0].type"),
        Bad(#"{"input":[{"type":"text"}]}"#, "invalid_request", "input[0].text"),
        Bad(#"{"input":[{"type":"text","text":5}]}"#, "invalid_request", "input[0].text"),
        Bad(#"{"input":[{"type":"text","text":""}]}"#, "invalid_request", "input"),
        Bad(#"{"input":"a\u0000b"}"#, "invalid_request", "input"),
        Bad(#"{"input":[{"type":"text","text":"\u0000"}]}"#, "invalid_request", "input[0].text"),
        Bad(#"{"input":"x","metadata":{"k":["\u0000"]}}"#, "invalid_request", "metadata.k[0]"),
        Bad(#"{"input":"x","metadata":"no"}"#, "invalid_request", "metadata"),
        Bad(#"{"input":"x","metadata":[]}"#, "invalid_request", "metadata"),
        Bad(
            #"{"input":"x","metadata":{"k":"\#(String(repeating: "m", count: 16 << 10))"}}"#,
            "invalid_request",
            "metadata"
        ),
        Bad(#"{"input":"x","on_busy":"later"}"#, "invalid_request", "on_busy"),
        Bad(#"{"input":"x","on_busy":"ENQUEUE"}"#, "invalid_request", "on_busy"),
        Bad(#"{"input":"x","on_busy":1}"#, "invalid_request", "on_busy"),
        Bad(#"{"input":"x","deadline_seconds":0}"#, "invalid_request", "deadline_seconds"),
        Bad(#"{"input":"x","deadline_seconds":86401}"#, "invalid_request", "deadline_seconds"),
        Bad(#"{"input":"x","deadline_seconds":1.5}"#, "invalid_request", "deadline_seconds"),
        Bad(#"{"input":"x","deadline_seconds":"60"}"#, "invalid_request", "deadline_seconds"),
        Bad(#"{"input":"x","deadline_seconds":99999999999999999999}"#, "invalid_request", "deadline_seconds"),
        Bad(#"{"input":"x","client_key":""}"#, "invalid_request", "client_key"),
        Bad(#"{"input":"x","client_key":7}"#, "invalid_request", "client_key"),
        Bad(#"{"input":"x","client_key":"é"}"#, "invalid_request", "client_key"),
        Bad(#"{"input":"x","client_key":"a\nb"}"#, "invalid_request", "client_key"),
        Bad(
            #"{"input":"x","client_key":"\#(String(repeating: "k", count: 201))"}"#,
            "invalid_request",
            "client_key"
        ),
        Bad(#"{"input":"x","surprise":1}"#, "invalid_request", "surprise"),
        Bad(#"{"input":"x","seq":1}"#, "invalid_request", "seq"),
        Bad(#"{"input":"x","input":"y"}"#, "invalid_request", "input"),
        Bad(
            #"{"input":"x","metadata":\#(String(repeating: #"{"k":"#, count: 70))1\#(String(repeating: "}", count: 70))}"#,
            "invalid_request",
            "metadata" + String(repeating: ".k", count: 63)
        ),
    ]

    @Test("a bad submission is refused with its code and the member's path", arguments: Self.bad)
    func refused(_ bad: Bad) {
        let error = refusal { try decode(bad.body) }
        #expect(error?.status == 400)
        #expect(error?.code == bad.code)
        #expect(error?.param == bad.param)
    }

    @Test(
        "a body of another content type is refused with 415",
        arguments: [
            nil, "text/plain", "application/x-www-form-urlencoded", "application/json5", "application/jsonx; a=b",
            "application/json; charset=latin1", "multipart/form-data; boundary=x",
        ]
    )
    func contentType(_ type: String?) {
        #expect(refusal { try decode(#"{"input":"x"}"#, type: type) }?.status == 415)
    }

    @Test(
        "JSON is taken with and without a character set",
        arguments: [
            "application/json", "Application/JSON", "application/json; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
        ]
    )
    func jsonType(_ type: String) throws {
        _ = try decode(#"{"input":"x"}"#, type: type)
    }

    @Test("every member arrives")
    func whole() throws {
        let body = try decode(
            #"""
            {"input":[{"type":"image","data":"AA==","mimeType":"image/png"}],"on_busy":"reject","deadline_seconds":60,
             "metadata":{"a":1},"client_key":"k"}
            """#,
            keys: ["k"]
        )
        let request = body.request(agent: try AgentID("a"), conversation: nil)
        #expect(request.input.parts == [["type": "image", "data": "AA==", "mimeType": "image/png"]])
        #expect(request.onBusy == .reject)
        #expect(request.deadlineSeconds == 60)
        #expect(request.metadata == ["a": 1])
        #expect(request.clientKey == "k")
        #expect(request.bodyHash?.count == 32)
    }

    @Test("null stands for an optional member that is not there")
    func nulls() throws {
        let body = try decode(
            #"{"input":"x","on_busy":null,"deadline_seconds":null,"metadata":null,"client_key":null}"#
        )
        #expect(body == (try decode(#"{"input":"x"}"#)))
        #expect(body.request(agent: try AgentID("a"), conversation: nil).bodyHash == nil)
    }

    @Test("a whole number is one however it is written", arguments: ["60", "60.0", "6e1"])
    func wholeNumbers(_ text: String) throws {
        #expect(try decode(#"{"input":"x","deadline_seconds":\#(text)}"#).deadlineSeconds == 60)
    }

    @Test("two different client keys in one request are refused")
    func twoKeys() {
        #expect(refusal { try decode(#"{"input":"x","client_key":"a"}"#, keys: ["b"]) }?.param == "client_key")
        #expect(refusal { try decode(#"{"input":"x"}"#, keys: ["a", "b"]) }?.param == "Idempotency-Key")
        #expect(refusal { try decode(#"{"input":"x"}"#, keys: [""]) }?.param == "Idempotency-Key")
        #expect(refusal { try decode(#"{"input":"x","client_key":"a"}"#, keys: ["a"]) } == nil)
    }

    @Test(
        "the same request has the same digest however it is written",
        arguments: [
            (#"{"input":"x"}"#, #"{ "input" : [{"text":"\u0078","type":"text"}], "on_busy":"enqueue" }"#),
            (
                #"{"input":"x","metadata":{"a":1,"b":[true]},"deadline_seconds":9}"#,
                #"{"deadline_seconds":9,"metadata":{"b":[true],"a":1},"input":"x"}"#
            ),
        ]
    )
    func sameDigest(_ left: String, _ right: String) throws {
        #expect(try self.digest(left) == self.digest(right))
    }

    @Test(
        "another request has another digest",
        arguments: [
            #"{"input":"y"}"#, #"{"input":"x","on_busy":"reject"}"#, #"{"input":"x","deadline_seconds":9}"#,
            #"{"input":"x","metadata":{}}"#, #"{"input":[{"type":"text","text":"x"},{"type":"text","text":""}]}"#,
        ]
    )
    func otherDigest(_ other: String) throws {
        #expect(try self.digest(#"{"input":"x"}"#) != self.digest(other))
    }

    @Test("agent and conversation are part of the digest, and cannot be shifted into each other")
    func digestOfNames() throws {
        let body = try decode(#"{"input":"x"}"#)
        let digests = [
            body.digest(agent: try AgentID("a"), conversation: try ConversationID("bc")),
            body.digest(agent: try AgentID("ab"), conversation: try ConversationID("c")),
            body.digest(agent: try AgentID("a"), conversation: nil),
        ]
        #expect(Set(digests).count == 3)
    }

    private func digest(_ text: String) throws -> [UInt8] {
        try decode(text).digest(agent: try AgentID("a"), conversation: try ConversationID("c"))
    }
}
