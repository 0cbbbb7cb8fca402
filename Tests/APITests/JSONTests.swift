import Domain
import Testing

@testable import API

struct JSONTests {
    @Test(
        "text that is no JSON is refused as such",
        arguments: [
            "", " ", "{", "[", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,}", "[1,]", "[1 2]", "{a:1}", "{'a':1}",
            "tru",
            "nul", "01", "-", "1.", ".5", "1e", "+1", "NaN", "Infinity", "\"", "\"\\x\"", "\"\\u12\"", "\"\\u12g4\"",
            "\"\u{1}\"", "\"line\nend\"", "\"\\ud800\"", "\"\\ud800\\u0041\"", "\"\\udc00\"", "{} {}", "1 // no",
            "\u{feff}{}",
        ]
    )
    func malformed(_ text: String) throws {
        let failure = #expect(throws: JSONFailure.self) { try JSONReader.read(Array(text.utf8)) }
        #expect(failure?.isMalformed == true)
    }

    @Test("bytes that are not UTF-8 are refused")
    func notUTF8() throws {
        #expect(throws: JSONFailure.self) { try JSONReader.read([0x22, 0xff, 0x22]) }
        #expect(throws: JSONFailure.self) { try JSONReader.read([0x22, 0xc0, 0x80, 0x22]) }
        #expect(throws: JSONFailure.self) { try JSONReader.read([0x22, 0xed, 0xa0, 0x80, 0x22]) }
    }

    @Test(
        "JSON that the gateway does not take is refused with its place",
        arguments: [
            (#"{"a":"\u0000"}"#, ".a"), (#"{"a":[1,{"b":"x\u0000y"}]}"#, ".a[1].b"), (#"{"a":1,"a":2}"#, ".a"),
            (#"{"a":{"b":1,"b":1}}"#, ".a.b"), (#"[1e999]"#, "[0]"), (#"["\u0000"]"#, "[0]"),
        ]
    )
    func unacceptable(_ text: String, _ path: String) throws {
        let failure = #expect(throws: JSONFailure.self) { try JSONReader.read(Array(text.utf8)) }
        #expect(failure?.isMalformed == false)
        #expect(failure?.path == path)
    }

    @Test("64 levels are read, 65 are not")
    func depth() throws {
        func nested(_ levels: Int) -> [UInt8] {
            Array((String(repeating: "[", count: levels) + String(repeating: "]", count: levels)).utf8)
        }
        _ = try JSONReader.read(nested(64))
        let failure = #expect(throws: JSONFailure.self) { try JSONReader.read(nested(65)) }
        #expect(failure?.isMalformed == false)
        #expect(throws: JSONFailure.self) { try JSONReader.read(nested(200_000)) }
    }

    @Test(
        "values are read as what they are and written in one spelling",
        arguments: [
            ("null", "null"), (" true ", "true"), ("false", "false"), ("0", "0"), ("-0", "0"), ("-12", "-12"),
            ("9223372036854775807", "9223372036854775807"), ("1.5", "1.5"), ("1e2", "100.0"), ("[]", "[]"),
            (" [ 1 , 2 ] ", "[1,2]"), ("{}", "{}"),
            (#"{"b":1,"a":{"d":[],"c":null}}"#, #"{"a":{"c":null,"d":[]},"b":1}"#),
            (#""A\/\b\f\n\r\t\"\\""#, #""A/\u0008\u000c\n\r\t\"\\""#), (#""😀é""#, #""😀é""#),
            (#""\ud83d\ude00""#, #""😀""#), (#""\u007f""#, #""\u007f""#),
        ]
    )
    func roundTrip(_ text: String, _ written: String) throws {
        let value = try JSONReader.read(Array(text.utf8))
        #expect(String(decoding: JSONWriter.text(value), as: UTF8.self) == written)
        #expect(try JSONReader.read(JSONWriter.text(value)) == value)
    }

    @Test("any value survives being written and read")
    func anyValue() throws {
        let seed = UInt64.random(in: 0 ... .max)
        var random = Xorshift(state: seed | 1)
        for _ in 0..<500 {
            let value = Self.value(depth: 0, &random)
            let read = try JSONReader.read(JSONWriter.text(value))
            #expect(read == value, "seed \(seed)")
        }
    }

    private static func value(depth: Int, _ random: inout Xorshift) -> JSONValue {
        let choice = Int.random(in: 0..<(depth < 4 ? 7 : 5), using: &random)
        switch choice {
        case 0: return .null
        case 1: return .bool(Bool.random(using: &random))
        case 2: return .integer(Int64.random(in: .min ... .max, using: &random))
        case 3: return .number(Double.random(in: -1e9...1e9, using: &random) + 0.123)
        case 4: return .string(Self.text(&random))
        case 5:
            let count = Int.random(in: 0..<4, using: &random)
            return .array((0..<count).map { _ in Self.value(depth: depth + 1, &random) })
        default:
            let count = Int.random(in: 0..<4, using: &random)
            let members = (0..<count).map { ("\($0)" + Self.text(&random), Self.value(depth: depth + 1, &random)) }
            return .object(Dictionary(members) { _, last in last })
        }
    }

    private static func text(_ random: inout Xorshift) -> String {
        let scalars = (0..<Int.random(in: 0..<12, using: &random)).compactMap { _ in
            Unicode.Scalar(UInt32.random(in: 1...0x2ff, using: &random))
        }
        return String(String.UnicodeScalarView(scalars))
    }
}

/// A small repeatable source of randomness.
struct Xorshift: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        self.state ^= self.state << 13
        self.state ^= self.state >> 7
        self.state ^= self.state << 17
        return self.state
    }
}
