import Domain
import Testing

@testable import API

@Suite("Reading along an answer")
struct AnswerReaderTests {
    /// Reads `text` in pieces of every size that makes a difference.
    private func tokens(_ text: String, _ form: AnswerReader.Form, pieces: Int) -> (tokens: Int, backend: String?) {
        var reader = AnswerReader(form, member: "system_fingerprint")
        let bytes = Array(text.utf8)
        for start in stride(from: 0, to: bytes.count, by: pieces) {
            reader.take(Array(bytes[start..<min(start + pieces, bytes.count)]))
        }
        reader.finish()
        return (reader.tokens(questionBytes: 40), reader.backend?.text)
    }

    @Test(
        "every dialect's usage is found, whole and streamed, wherever the pieces end",
        arguments: [
            (#"{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7,"total_tokens":12}}"#, false, 12),
            (#"{"data":[],"usage":{"prompt_tokens":9,"total_tokens":9}}"#, false, 9),
            (#"{"usage":{"total_tokens":4}}"#, false, 4),
            (#"{"type":"message","usage":{"input_tokens":3,"output_tokens":8}}"#, false, 11),
            (
                "data: {\"usage\":null}\n\ndata: {\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n",
                true, 3
            ),
            ("event: x\r\ndata: {\"response\":{\"usage\":{\"input_tokens\":5,\"output_tokens\":6}}}\r\n\r\n", true, 11),
            (
                "data: {\"message\":{\"usage\":{\"input_tokens\":5,\"output_tokens\":1}}}\n\n"
                    + "data: {\"usage\":{\"output_tokens\":20}}\n\ndata: {\"usage\":{\"output_tokens\":30}}\n\n", true,
                35
            ),
            ("data: a\n\ndata: b\n\n: comment\n\n", true, 12),
            (#"{"no":"usage at all"}"#, false, 10 + 5),
            (#"{"usage":{"total_tokens":-5}}"#, false, 0),
            ("no JSON", false, 11),
        ] as [(String, Bool, Int)]
    )
    func usage(text: String, isStream: Bool, expected: Int) {
        for pieces in [1, 2, 7, 10_000] {
            #expect(self.tokens(text, isStream ? .events : .whole, pieces: pieces).tokens == expected, "\(pieces)")
        }
    }

    @Test("the first backend that is named counts, and one that cannot be one does not")
    func backend() {
        let text =
            "data: {\"x\":1}\n\ndata: {\"system_fingerprint\":\"one\"}\n\ndata: {\"system_fingerprint\":\"two\"}\n\n"
        for pieces in [1, 5, 10_000] { #expect(self.tokens(text, .events, pieces: pieces).backend == "one") }
        #expect(self.tokens(#"{"system_fingerprint":"a b"}"#, .whole, pieces: 9).backend == nil)
        #expect(self.tokens(#"{"system_fingerprint":null}"#, .whole, pieces: 9).backend == nil)
        #expect(self.tokens(#"{"system_fingerprint":"x"}"#, .opaque, pieces: 9).backend == nil)
    }

    @Test("an event that is too long is counted and not held")
    func tooLong() {
        let text = "data: \(String(repeating: "x", count: 9 << 20))\n\ndata: {\"system_fingerprint\":\"after\"}\n\n"
        let read = self.tokens(text, .events, pieces: 1 << 16)
        #expect(read.tokens == 12 && read.backend == "after")
    }

    @Test("members are found without a look into their values, and what two readers would read differently is refused")
    func members() throws {
        let text = #" {"a" : "x\"}" , "b":{"c":[1,{"d":"]"}]},"e":-1.5e+3,"f":[],"é":true} "#
        let members = try TopMembers(Array(text.utf8)[...])
        #expect(
            members["a"] == #"x"}"# && members["e"] == .number(-1_500) && members["f"] == [] && members["é"] == true
        )
        #expect(members.object("b")?["c"] == [1, ["d": "]"]] && members.object("a") == nil && members["zz"] == nil)
        #expect(try TopMembers(Array("{}".utf8)[...]).has("a") == false)
        let nul = try TopMembers(Array(#"{"x":"\u0000","y":1}"#.utf8)[...])
        #expect(nul["x"] == nil && nul.has("x") && nul["y"] == 1, "what is not looked at may hold anything")
        for bad in [
            "", "[]", "{", #"{"a"}"#, #"{"a":}"#, #"{"a":1,}"#, #"{"a":1}}"#, #"{"a":1} x"#, #"{"a":[1}"#,
            #"{"a":1 "b":2}"#,
            #"{"a":1,"a":2}"#, #"{"a":1,"\u0061":2}"#, #"{'a':1}"#, #"{"a":'b'}"#, "{\"a\":1/*x*/}", #"{"a":"x}"#,
            #"{"a":"x\"#,
            #"{a:1}"#,
        ] {
            #expect(throws: JSONFailure.self, "\(bad)") { try TopMembers(Array(bad.utf8)[...]) }
        }
    }
}
