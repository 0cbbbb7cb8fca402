import API
import Domain
import Testing

@testable import turnpike

@Suite("The file of upstreams")
struct UpstreamFileTests {
    private func parse(
        _ text: String,
        environment: [String: String] = [:],
        files: [String: String] = [:]
    ) throws -> [String: ModelProxy.Keyed] {
        struct NoFile: Error {}
        return try UpstreamFile.parse("u.json", text, environment: environment) { path in
            guard let text = files[path] else { throw NoFile() }
            return text
        }
    }

    private func refusal(_ text: String, files: [String: String] = [:]) -> String {
        let failure = #expect(throws: CommandFailure.self) { try self.parse(text, files: files) }
        #expect(failure?.exit == .usage)
        return failure?.message ?? ""
    }

    @Test("keys come from files and variables of the gateway, and an upstream may need none")
    func keys() throws {
        let upstreams = try self.parse(
            """
            {"a": {"url": "https://a/v1", "key_file": "/k"}, "b": {"url": "https://b", "key_variable": "B_KEY"},
             "c": {"url": "http://127.0.0.1:1/v1"}}
            """,
            environment: ["B_KEY": "from-variable"],
            files: ["/k": "from-file\n"]
        )
        #expect(upstreams["a"]?.key?.revealed == "from-file")
        #expect(upstreams["b"]?.key?.revealed == "from-variable")
        #expect(upstreams["c"]?.upstream.url == "http://127.0.0.1:1/v1" && upstreams["c"]?.key == nil)
        #expect(!"\(upstreams)".contains("from-"), "a key is not printed by accident")
    }

    @Test("what is wrong is named, and no key is")
    func wrong() {
        #expect(self.refusal("[]").contains("u.json"))
        #expect(self.refusal(#"{"a": {}}"#).contains("a.url: is missing"))
        #expect(self.refusal(#"{"a": {"url": "https://a", "kez": 1}}"#).contains("a.kez: unknown member"))
        #expect(self.refusal(#"{"A b": {"url": "https://a"}}"#).contains(#""A b""#))
        #expect(
            self.refusal(#"{"a": {"url": "http://far/v1", "key_file": "/k"}}"#).contains("a.url must begin with https")
        )
        #expect(self.refusal(#"{"a": {"url": "https://a", "key_file": "/none"}}"#).contains("cannot read /none"))
        #expect(self.refusal(#"{"a": {"url": "https://a", "key_variable": "NONE"}}"#).contains("no variable NONE"))
        let spaced = self.refusal(#"{"a": {"url": "https://a", "key_file": "/k"}}"#, files: ["/k": "sk-1 sk-2"])
        #expect(spaced.contains("not one line") && !spaced.contains("sk-1"))
    }
}
