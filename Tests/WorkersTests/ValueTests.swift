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
