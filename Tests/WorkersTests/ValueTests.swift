import Domain
import Testing

@testable import Workers

@Suite struct JSONTests {
    @Test(
        "a text is read as the value it stands for",
        arguments: [
            ("null", JSONValue.null), (" [ ] ", .array([])), ("{}", .object([:])), ("-0", 0), ("12", 12),
            ("1.5e3", .number(1500)),
            ("9223372036854775807", .integer(.max)), ("9223372036854775808", .number(9_223_372_036_854_775_808)),
            (#""a\"\\\/\b\f\n\r\tä""#, "a\"\\/\u{8}\u{c}\n\r\tä"), (#""\ud83d\ude00""#, "😀"),
            (#""\ud83dx""#, "\u{FFFD}x"), (#""\ud83d\u0041""#, "\u{FFFD}A"), (#""\u0000""#, "\u{FFFD}"),
            (#"{"a":[1,{"b":true}],"a":false}"#, .object(["a": false])),
        ]
    )
    func reads(_ text: String, _ value: JSONValue) throws {
        #expect(try JSONReader.read(Array(text.utf8)) == value)
    }

    @Test(
        "what is no JSON is refused",
        arguments: [
            "", "nul", "01", "-", "1.", "1e", "[1,]", "{\"a\"}", "{\"a\":1,}", "\"", "\"\\x\"", "\"\\u12g4\"",
            "\"\u{1}\"", "1 2", "1e999", "{a:1}", "'a'", String(repeating: "[", count: 200),
        ]
    )
    func refuses(_ text: String) {
        #expect(throws: JSONSyntaxError.self) { try JSONReader.read(Array(text.utf8)) }
    }

    @Test("what is written is one line and reads as the same value")
    func roundTrip() throws {
        let value: JSONValue = [
            "text": "a\n\u{1}\"\\ü😀", "list": [1, .number(0.1), true, nil, [:]], "nested": ["x": ["y"]],
        ]
        let line = JSONWriter.line(value)
        #expect(line.filter { $0 == 0x0a }.count == 1)
        #expect(line.last == 0x0a)
        #expect(try JSONReader.read(line) == value)
    }

    @Test("base64 is read and written as in RFC 4648, and nothing else is read")
    func base64() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            #expect(Base64.encode(Array(bytes.utf8)) == text)
            #expect(Base64.decode(text) == Array(bytes.utf8))
        }
        for text in ["Zg", "Zg=", "Zh==", "Z===", "====", "Zm9v\n", "Zm 9", "Zm9-"] {
            #expect(Base64.decode(text) == nil, "\(text)")
        }
        let all = (0...255).map(UInt8.init)
        #expect(Base64.decode(Base64.encode(all)) == all)
    }

    @Test("UTF-8 in pieces is the text in one, wherever it is cut")
    func pieces() {
        let text = "aé€😀z"
        let bytes = Array(text.utf8)
        for first in 0...bytes.count {
            for second in first...bytes.count {
                var decoder = UTF8StreamDecoder()
                var seen = decoder.decode(Array(bytes[..<first]))
                seen += decoder.decode(Array(bytes[first..<second]))
                seen += decoder.decode(Array(bytes[second...]))
                seen += decoder.finish()
                #expect(seen == text)
            }
        }
    }

    @Test("bytes that are no text become replacement characters")
    func invalid() {
        var decoder = UTF8StreamDecoder()
        #expect(decoder.decode([0x61, 0xff, 0x00, 0x62]) == "a\u{FFFD}\u{FFFD}b")
        #expect(decoder.decode([0xe2, 0x82]) == "")
        #expect(decoder.finish() == "\u{FFFD}")
        #expect(decoder.finish() == "")
    }

    @Test("last words are the last whole lines without control characters")
    func lastWords() {
        #expect(LastWords.text(Array("a\u{1b}[1mb\r\n\tc\u{7}\n\n".utf8)) == "a[1mb\n\tc")
        let long = (0..<500).map { "line \($0)" }.joined(separator: "\n")
        let words = LastWords.text(Array(long.utf8))
        #expect(words.utf8.count <= LastWords.maximumBytes)
        #expect(words.hasPrefix("line "))
        #expect(words.hasSuffix("line 499"))
        #expect(LastWords.join("it died", "") == "it died")
    }
}

@Suite struct ACPDriverTests {
    private func ready() throws -> ACPDriver {
        let setup = ACPDriver.Setup(
            directory: "/w",
            chain: [],
            client: "turnpike",
            clientVersion: "1",
            lineBytes: 1 << 20,
            snapshotBytes: 1 << 20
        )
        var driver = ACPDriver(setup: setup)
        _ = driver.opened()
        _ = driver.received(Array(#"{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":1}}"#.utf8))
        let actions = driver.received(Array(#"{"jsonrpc":"2.0","id":2,"result":{"sessionId":"s"}}"#.utf8))
        guard case .ready = try #require(actions.last) else {
            Issue.record("not ready: \(actions)")
            return driver
        }
        return driver
    }

    private func prompting() throws -> ACPDriver {
        var driver = try self.ready()
        let prompt = DriverPrompt(turn: try Rig.turn(), epoch: 1, wants: nil)
        _ = driver.prompt(prompt)
        return driver
    }

    private func sent(_ actions: [DriverAction]) throws -> [JSONValue] {
        try actions.compactMap { action in
            guard case .send(let bytes) = action else { return nil }
            return try JSONReader.read(bytes)
        }
    }

    private func question(_ id: String) -> [UInt8] {
        let options = #"[{"optionId":"y","name":"y","kind":"allow_once"}]"#
        let params = #"{"sessionId":"s","toolCall":{"toolCallId":"t"},"options":\#(options)}"#
        return Array(#"{"jsonrpc":"2.0","id":\#(id),"method":"session/request_permission","params":\#(params)}"#.utf8)
    }

    @Test("a cancel answers every waiting question before it tells the agent")
    func cancelOrder() throws {
        var driver = try self.prompting()
        _ = driver.received(self.question("7"))
        _ = driver.received(self.question("\"7\""))
        let sent = try self.sent(driver.cancel())
        #expect(sent.count == 3)
        #expect(Set(sent.prefix(2).map { $0["id"] ?? .null }) == [7, "7"])
        #expect(sent.prefix(2).allSatisfy { $0["result"]?["outcome"]?["outcome"] == "cancelled" })
        #expect(sent[2]["method"] == "session/cancel")
        #expect(driver.answered("7", .select("y")).isEmpty)
    }

    @Test("an answer to our request and a question with the same id are told apart")
    func twoTables() throws {
        var driver = try self.prompting()
        // Our prompt is request 3.
        guard case .ask(let question) = try #require(driver.received(self.question("3")).first) else {
            Issue.record("no question")
            return
        }
        #expect(try self.sent(driver.answered(question.id, .select("y"))).first?["id"] == 3)
        let actions = driver.received(Array(#"{"id":3,"result":{"stopReason":"end_turn"}}"#.utf8))
        guard case .idle(let stop) = try #require(actions.last) else {
            Issue.record("not idle")
            return
        }
        #expect(stop.stopReason == "end_turn")
    }

    @Test("a question outside a turn is answered as cancelled at once")
    func questionOutsideTurn() throws {
        var driver = try self.ready()
        #expect(
            try self.sent(driver.received(self.question("1"))).first?["result"]?["outcome"]?["outcome"] == "cancelled"
        )
    }

    @Test("a question that is still open when the turn ends is not left hanging")
    func openQuestionAtEnd() throws {
        var driver = try self.prompting()
        _ = driver.received(self.question("9"))
        let actions = driver.received(Array(#"{"id":3,"result":{"stopReason":"end_turn"}}"#.utf8))
        #expect(try self.sent(actions).first?["id"] == 9)
    }

    @Test("the prompt names its turn, its term and its attempt")
    func context() throws {
        var driver = try self.ready()
        let turn = try Rig.turn("hi")
        let sent = try self.sent(driver.prompt(DriverPrompt(turn: turn, epoch: 5, wants: .base)))
        let context = sent.first?["params"]?["_meta"]?["turnpike"]
        #expect(
            context == ["turn": .string(turn.id.text), "epoch": 5, "attempt": 1, "message_id": .string(turn.id.text)]
        )
        #expect(sent.first?["params"]?["prompt"] == [["type": "text", "text": "hi"]])
    }

    @Test("every request and notification is one line of JSON-RPC 2.0")
    func framing() throws {
        var driver = try self.ready()
        for action in driver.prompt(DriverPrompt(turn: try Rig.turn("a\nb"), epoch: 5, wants: nil)) + driver.cancel() {
            guard case .send(let bytes) = action else { continue }
            #expect(bytes.filter { $0 == 0x0a }.count == 1)
            #expect(try JSONReader.read(bytes)["jsonrpc"] == "2.0")
        }
    }
}
