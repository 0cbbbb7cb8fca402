import Domain
import Foundation
import Testing

@Suite("An agent's leave to use a model")
struct ModelAccessTests {
    @Test("models are allowed by name or by beginning; without names all are")
    func models() {
        var access = ModelAccess(upstream: "u")
        #expect(access.allows("anything"))
        access.models = ["gpt-5", "claude-*"]
        for allowed in ["gpt-5", "claude-", "claude-x"] { #expect(access.allows(allowed), "\(allowed)") }
        for refused in ["gpt-5-mini", "GPT-5", "claude", "xclaude-1", ""] {
            #expect(!access.allows(refused), "\(refused)")
        }
    }

    @Test("calls and bytes are refused before they are too many, tokens once they are")
    func budget() {
        var access = ModelAccess(upstream: "u")
        (access.calls, access.tokens, access.bytes) = (3, 100, 1_000)
        var budget = ModelBudget(access)
        #expect(budget.begin(bytes: 1_001) == .bytes)
        #expect(budget.begin(bytes: 600) == nil)
        #expect(budget.receive(bytes: 400) == true)
        #expect(budget.receive(bytes: 1) == false)
        #expect(budget.begin(bytes: 0) == .bytes)
        var other = ModelBudget(access)
        #expect(other.begin(bytes: 1) == nil)
        other.pay(tokens: 99)
        #expect(other.begin(bytes: 1) == nil)
        other.pay(tokens: 50)
        #expect(other.begin(bytes: 1) == .tokens)
        var third = ModelBudget(access)
        for _ in 0..<3 { #expect(third.begin(bytes: 1) == nil) }
        #expect(third.begin(bytes: 1) == .calls)
        var free = ModelBudget(ModelAccess(upstream: "u"))
        free.pay(tokens: .max / 2)
        #expect(free.begin(bytes: 1 << 40) == nil)
        #expect(free.receive(bytes: 1 << 40) == true)
    }

    @Test("a budget goes on from what earlier runs have used, and says what is to be written, once")
    func goesOn() {
        var access = ModelAccess(upstream: "u")
        #expect(!access.isBounded)
        (access.calls, access.tokens, access.bytes) = (3, 100, 1_000)
        #expect(access.isBounded)
        var budget = ModelBudget(access, used: ModelUse(calls: 1, tokens: 50, bytes: 500))
        #expect(budget.takeUnwritten() == nil)
        #expect(budget.begin(bytes: 501) == .bytes)
        #expect(budget.begin(bytes: 100) == nil)
        #expect(budget.takeUnwritten() == ModelUse(calls: 1, bytes: 100))
        #expect(budget.receive(bytes: 10) == true)
        budget.pay(tokens: 20)
        let unwritten = budget.takeUnwritten()
        #expect(unwritten == ModelUse(tokens: 20, bytes: 10))
        #expect(budget.takeUnwritten() == nil)
        if let unwritten { budget.giveBack(unwritten) }
        #expect(budget.begin(bytes: 1) == nil)
        budget.takeBack(bytes: 1)
        #expect(budget.takeUnwritten() == unwritten, "a call that was not made has cost nothing")
        #expect(budget.begin(bytes: 1) == nil)
        #expect(budget.begin(bytes: 1) == .calls)
        var free = ModelBudget(ModelAccess(upstream: "u"))
        #expect(free.begin(bytes: 1) == nil)
        #expect(free.takeUnwritten() == nil, "what is not bounded is not counted")
    }

    @Test("an agent that could not reach its model, or would be told two addresses, is refused")
    func problems() throws {
        func problems(_ members: String) throws -> [String] {
            let text = #"{"command":["x"],"model":{"upstream":"u"}\#(members)}"#
            return try JSONDecoder().decode(AgentConfiguration.self, from: Data(text.utf8)).problems.map(\.member)
        }
        #expect(try problems("").isEmpty)
        #expect(try problems(#","isolation":"sandbox","network":"none""#) == ["model"])
        #expect(try problems(#","environment":{"OPENAI_API_KEY":"mine"}"#) == ["environment"])
        let text = #"{"command":["x"],"model":{"upstream":"Ü","models":[""],"calls":0}}"#
        let configuration = try JSONDecoder().decode(AgentConfiguration.self, from: Data(text.utf8))
        #expect(configuration.problems.map(\.member) == ["model.upstream", "model.models", "model.calls"])
        #expect(throws: DecodingError.self) {
            let unknown = #"{"command":["x"],"model":{"upstream":"u","url":"https://evil"}}"#
            _ = try JSONDecoder().decode(AgentConfiguration.self, from: Data(unknown.utf8))
        }
        let kept = try JSONEncoder().encode(configuration)
        #expect(try JSONDecoder().decode(AgentConfiguration.self, from: kept) == configuration)
    }

    @Test("an upstream's key goes over https, or stays on this machine")
    func upstreams() throws {
        func problems(_ members: String) throws -> [String] {
            try JSONDecoder().decode(Upstream.self, from: Data("{\(members)}".utf8)).problems.map(\.member)
        }
        for fine in [
            #""url":"https://api.example.com/v1","key_file":"/k""#,
            #""url":"http://127.0.0.1:8080/v1","key_file":"/k""#,
            #""url":"http://[::1]:8080","key_variable":"K""#, #""url":"http://models.internal/v1""#,
        ] { #expect(try problems(fine).isEmpty, "\(fine)") }
        for wrong in [
            #""url":"http://models.internal/v1","key_file":"/k""#,
            #""url":"http://127.0.0.1.evil.com","key_file":"/k""#,
            #""url":"ftp://x""#, #""url":"https://""#, #""url":"https://x/v1/""#, #""url":"https://u:p@x""#,
            #""url":"https://x?y""#, #""url":"http://localhost@evil.com","key_file":"/k""#,
        ] { #expect(try problems(wrong).contains("url"), "\(wrong)") }
        #expect(try problems(#""url":"https://x","key_file":"/k","key_variable":"K""#) == ["key_file"])
        #expect(
            try problems(#""url":"https://x","hint_header":"a b","backend":{"header":""}"#) == [
                "hint_header", "backend.header",
            ]
        )
        let upstream = try JSONDecoder().decode(
            Upstream.self,
            from: Data(#"{"url":"https://x","backend":{"member":"system_fingerprint"},"organizations":["acme"]}"#.utf8)
        )
        #expect(upstream.backend == .member("system_fingerprint"))
        #expect(upstream.hintHeader == "x-aao-preferred-backend")
        #expect(upstream.serves(try OrganizationID("acme")))
        #expect(!upstream.serves(try OrganizationID("other")) && !upstream.serves(nil))
    }

    @Test("a secret is not shown by whatever prints it")
    func secrets() {
        let secret = Secret("sk-real")
        #expect(!"\(secret) \(String(reflecting: secret)) \([secret])".contains("sk-real"))
    }
}
