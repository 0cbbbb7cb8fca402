import Testing

@testable import Domain

@Suite("What rules say to a question")
struct ApprovalRuleTests {
    private func rule(
        _ effect: ApprovalEffect?,
        _ tool: String = "*",
        _ arguments: RuleArguments = .any,
        hash: String? = nil
    ) throws -> (rule: ApprovalRule, arguments: RuleArguments) {
        let id = try #require(ApprovalRuleID("00000000-0000-7000-8000-00000000000\(Int.random(in: 0...9))"))
        let rule = ApprovalRule(
            id: id,
            agent: nil,
            tool: tool,
            arguments: nil,
            argumentsHash: hash,
            effect: effect,
            createdBy: nil,
            reason: nil,
            createdAt: ""
        )
        return (rule, arguments)
    }

    private func effect(_ rules: [(rule: ApprovalRule, arguments: RuleArguments)]) -> ApprovalEffect? {
        ApprovalRuling.decide(by: rules, tool: "rm", arguments: ["path": "x", "force": true], hash: "ab")?.effect
    }

    @Test("a denial comes before people, and people come before an allowance, in whatever order the rules are")
    func precedence() throws {
        let all = [try self.rule(.allow), try self.rule(.ask), try self.rule(.deny)]
        #expect(self.effect(all) == .deny && self.effect(all.reversed()) == .deny)
        #expect(self.effect(Array(all.prefix(2))) == .ask && self.effect(all.prefix(2).reversed()) == .ask)
        #expect(self.effect(Array(all.prefix(1))) == .allow)
        #expect(self.effect([]) == nil)
    }

    @Test("what cannot be read asks people where its tool fits, and a denial stays one")
    func failingClosed() throws {
        #expect(self.effect([try self.rule(nil), try self.rule(.allow)]) == .ask)
        #expect(self.effect([try self.rule(.allow, "*", .unreadable)]) == .ask)
        #expect(self.effect([try self.rule(.deny, "*", .unreadable)]) == .deny)
        #expect(self.effect([try self.rule(nil, "touch")]) == nil)
    }

    @Test("arguments fit when they have all that the rule names, and a decision's rule fits its own question only")
    func arguments() throws {
        #expect(self.effect([try self.rule(.allow, "rm", .some(["path": "x"]))]) == .allow)
        #expect(self.effect([try self.rule(.allow, "rm", .some(["path": "y"]))]) == nil)
        #expect(self.effect([try self.rule(.allow, "rm", .some(["depth": 1]))]) == nil)
        #expect(self.effect([try self.rule(.allow, "else", hash: "ab")]) == .allow)
        #expect(self.effect([try self.rule(.allow, "*", hash: "cd")]) == nil)
        #expect(ApprovalRuling.fits(["a": ["b": 1]], ["a": ["b": 1, "c": 2], "d": 3]))
        #expect(!ApprovalRuling.fits(["a": ["b": 1]], ["a": [1]]))
        #expect(!ApprovalRuling.fits(["a": 1], .null))
        #expect(!ApprovalRuling.fits(["a": [1]], ["a": [1, 2]]), "arrays are compared whole")
    }

    @Test(
        "a star stands for any text and nothing else is special",
        arguments: [
            ("rm", "rm", true), ("rm", "rmdir", false), ("rm*", "rmdir", true), ("*dir", "rmdir", true),
            ("r*d*r", "rmdir", true), ("r*d*x", "rmdir", false), ("*", "", true), ("", "", true), ("", "x", false),
            ("a.c", "abc", false), ("**", "x", true), ("*ab", "aab", true), ("R*", "rm", false), ("*a*b", "ab", true),
        ]
    )
    func stars(pattern: String, name: String, fits: Bool) {
        #expect(ApprovalRuling.fits(pattern, name) == fits)
    }
}
