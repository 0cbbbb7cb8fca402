import Domain
import Foundation
import Gateway
import TestKit
import Testing

@testable import API

/// Standing rules over sockets, and what they do to a real worker's questions.
@Suite(.serialized)
struct ApprovalRuleTests {
    private static let rules = "/v1/approval-rules"

    /// A replica with the agent `careful`, which asks to `touch x`.
    private func withAsker(
        _ permissions: PermissionPolicy = .ask,
        _ body: @escaping @Sendable (APIFixture) async throws -> Void
    ) async throws {
        let double = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "Doubles/worker_double.py").path
        try await APIFixture.with { fixture in
            var agent = AgentConfiguration(driver: .acp, command: ["python3", double, "ask"], storeMode: .none)
            agent.permissions = permissions
            _ = try await fixture.gateway.tenant(fixture.org).putAgent(try AgentID("careful"), agent)
            try await body(fixture)
        }
    }

    private func submit(_ fixture: APIFixture, _ conversation: String) async throws -> String {
        let path = "/v1/agents/careful/conversations/\(conversation)/turns"
        let accepted = try await fixture.client.send("POST", path, #"{"input":"go"}"#).json()
        return try #require(accepted["turn"]?["id"]?.text)
    }

    private func reply(_ turn: String, _ fixture: APIFixture) async throws -> String? {
        try await fixture.client.send("GET", "/v1/turns/\(turn)?wait=20").json()["turn"]?["outcome"]?["reply"]?.text
    }

    private func question(of turn: String, _ fixture: APIFixture) async throws -> String {
        var found: String?
        try await eventually("the question") {
            let list = try await fixture.client.send("GET", "/v1/approvals?state=pending").json()
            found = list["approvals"]?.elements?.first { $0["turn"]?.text == turn }?["id"]?.text
            return found != nil
        }
        return try #require(found)
    }

    @Test("a rule is made, listed and removed, and decides meanwhile without asking anybody")
    func whole() async throws {
        try await self.withAsker { fixture in
            let body = #"{"effect":"allow","tool":"touch*","agent":"careful","reason":"harmless"}"#
            let made = try await fixture.client.send("POST", Self.rules, body)
            #expect(made.status == 201)
            let rule = try #require(try made.json()["rule"]?["id"]?.text)
            #expect(try await self.reply(self.submit(fixture, "c"), fixture) == "0:once")
            let decided = try await fixture.client.send("GET", "/v1/approvals?state=decided").json()
            let record = try #require(decided["approvals"]?.elements?.first)
            #expect(record["rule"]?.text == rule && record["decided_by"] == .null)
            let listed = try await fixture.client.send("GET", "\(Self.rules)?limit=1").json()
            #expect(listed["rules"]?.elements?.first?["effect"]?.text == "allow" && listed["next"]?.text == rule)
            #expect(try await fixture.client.send("DELETE", "\(Self.rules)/\(rule)").status == 204)
            #expect(try await fixture.client.send("DELETE", "\(Self.rules)/\(rule)").status == 404)
            let turn = try await self.submit(fixture, "c")
            _ = try await self.question(of: turn, fixture)
        }
    }

    @Test("a malformed rule is refused by the member that is wrong, and rules need the scope agents")
    func refusals() async throws {
        try await self.withAsker { fixture in
            for (body, param) in [
                ("{}", "effect"), (#"{"effect":"maybe","tool":"x"}"#, "effect"), (#"{"effect":"allow"}"#, "tool"),
                (#"{"effect":"allow","tool":""}"#, "tool"), (#"{"effect":"allow","tool":"x","agent":"a b"}"#, "agent"),
                (#"{"effect":"allow","tool":"x","arguments":[]}"#, "arguments"),
                (#"{"effect":"allow","tool":"x","reason":""}"#, "reason"),
                (#"{"effect":"allow","tool":"x","org":"other"}"#, "org"),
            ] {
                let answer = try await fixture.client.send("POST", Self.rules, body)
                #expect(answer.status == 400, "\(body)")
                #expect(try answer.json()["error"]?["param"]?.text == param, "\(body)")
            }
            let user = try await fixture.client(of: fixture.org.text, [.turns])
            #expect(try await user.send("GET", Self.rules).status == 403)
            #expect(try await user.send("POST", Self.rules, #"{"effect":"allow","tool":"*"}"#).status == 403)
        }
    }

    @Test("an option for always needs the scope agents, makes a rule, and decides the open questions like it")
    func always() async throws {
        try await self.withAsker { fixture in
            let turns = [try await self.submit(fixture, "c"), try await self.submit(fixture, "d")]
            var questions: [String] = []
            for turn in turns { questions.append(try await self.question(of: turn, fixture)) }
            let path = "/v1/approvals/\(questions[0])"
            let user = try await fixture.client(of: fixture.org.text, [.turns])
            let refused = try await user.send("POST", path, #"{"decision":"always"}"#)
            #expect(refused.status == 403)
            #expect(try await fixture.client.send("GET", path).json()["approval"]?["state"]?.text == "pending")
            #expect(try await fixture.client.send("POST", path, #"{"decision":"always"}"#).status == 200)
            #expect(try await self.reply(turns[0], fixture) == "0:always")
            #expect(try await self.reply(turns[1], fixture) == "0:once")
            #expect(try await self.reply(self.submit(fixture, "e"), fixture) == "0:once")
            let late = try await user.send("POST", "/v1/approvals/\(questions[1])", #"{"decision":"deny"}"#)
            #expect(late.status == 409 && late.code == "already_decided")
        }
    }

    @Test("where a rule leaves a tool to people, they are asked although the agent may do all, and cannot say always")
    func humanOnly() async throws {
        try await self.withAsker(.allow) { fixture in
            #expect(try await self.reply(self.submit(fixture, "c"), fixture) == "0:once")
            _ = try await fixture.client.send("POST", Self.rules, #"{"effect":"ask","tool":"touch*"}"#)
            let turn = try await self.submit(fixture, "c")
            let question = try await self.question(of: turn, fixture)
            let refused = try await fixture.client.send("POST", "/v1/approvals/\(question)", #"{"decision":"always"}"#)
            #expect(refused.status == 400)
            _ = try await fixture.client.send("POST", "/v1/approvals/\(question)", #"{"decision":"deny"}"#)
            #expect(try await self.reply(turn, fixture) == "0:no")
        }
    }
}
