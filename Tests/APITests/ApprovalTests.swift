import Domain
import Foundation
import Gateway
import TestKit
import Testing

@testable import API

/// Questions of a real worker, decided over sockets.
@Suite(.serialized)
struct ApprovalTests {
    private static let turns = "/v1/agents/careful/conversations/c/turns"

    /// A replica with the agent `careful`, which asks in `mode` of the scripted double.
    private func withAsker(
        _ mode: String,
        approvalSeconds: Int = 60,
        limits: Limits = Limits(),
        usesHints: Bool = true,
        _ body: @escaping @Sendable (APIFixture) async throws -> Void
    ) async throws {
        let double = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "Doubles/worker_double.py").path
        try await APIFixture.with(limits: limits, usesHints: usesHints) { fixture in
            var agent = AgentConfiguration(driver: .acp, command: ["python3", double, mode], storeMode: .none)
            agent.permissions = .ask
            agent.limits.approvalSeconds = approvalSeconds
            _ = try await fixture.gateway.tenant(fixture.org).putAgent(try AgentID("careful"), agent)
            try await body(fixture)
        }
    }

    /// Submits a turn and returns it and its question, once that is asked.
    private func ask(_ fixture: APIFixture) async throws -> (turn: String, approval: String) {
        let accepted = try await fixture.client.send("POST", Self.turns, #"{"input":"go"}"#).json()
        let turn = try #require(accepted["turn"]?["id"]?.text)
        var found: String?
        try await eventually("the question") {
            let list = try await fixture.client.send("GET", "/v1/approvals?state=pending").json()
            let mine = list["approvals"]?.elements?.first { $0["turn"]?.text == turn }
            found = mine?["id"]?.text
            return found != nil
        }
        return (turn, try #require(found))
    }

    private func outcome(_ turn: String, _ fixture: APIFixture) async throws -> JSONValue {
        let shown = try await fixture.client.send("GET", "/v1/turns/\(turn)?wait=20").json()
        return try #require(shown["turn"]?["outcome"])
    }

    private func events(_ fixture: APIFixture) async throws -> [JSONValue] {
        let page = try await fixture.client.send(
            "GET",
            "/v1/agents/careful/conversations/c/events",
            headers: ["Accept": "application/json"]
        ).json()
        return page["events"]?.elements ?? []
    }

    @Test("a question is listed, shown and decided once, and the worker goes on with the answer")
    func decided() async throws {
        try await self.withAsker("ask") { fixture in
            let (turn, approval) = try await self.ask(fixture)
            let path = "/v1/approvals/\(approval)"
            let shown = try await fixture.client.send("GET", path).json()["approval"]
            #expect(shown?["state"]?.text == "pending")
            #expect(shown?["tool"]?["name"]?.text == "touch x")
            #expect(shown?["options"]?.elements?.count == 4)
            let stranger = try await fixture.client(of: "other", [.turns])
            #expect(try await stranger.send("GET", path).status == 404)
            #expect(try await stranger.send("POST", path, #"{"decision":"allow"}"#).status == 404)
            #expect(try await stranger.send("GET", "/v1/approvals").json()["approvals"]?.elements?.isEmpty == true)
            for body in [#"{"decision":"other"}"#, #"{"decision":1}"#, "{}", #"{"decision":"allow","x":1}"#] {
                #expect(try await fixture.client.send("POST", path, body).status == 400, "\(body)")
            }
            let first = try await fixture.client.send("POST", path, #"{"decision":"allow","reason":"fine"}"#)
            #expect(first.status == 200)
            #expect(try first.json()["approval"]?["decision"]?.text == "once", "the first option for once")
            #expect(try await self.outcome(turn, fixture)["reply"]?.text == "0:once")
            #expect(try await fixture.client.send("POST", path, #"{"decision":"once"}"#).status == 200)
            let other = try await fixture.client.send("POST", path, #"{"decision":"deny"}"#)
            #expect(other.status == 409 && other.code == "already_decided")
            #expect(try other.json()["error"]?["decision"]?.text == "once")
            let events = try await self.events(fixture)
            #expect(
                events.compactMap { $0["type"]?.text } == [
                    "turn.queued", "turn.started", "approval.requested", "approval.resolved", "delta",
                    "turn.completed",
                ]
            )
            #expect(events[2]["expires_at"]?.text?.isEmpty == false)
            #expect(events[3]["reason"]?.text == "fine")
            let missing = "/v1/approvals/00000000-0000-7000-8000-000000000000"
            #expect(try await fixture.client.send("GET", missing).status == 404)
            #expect(try await fixture.client.send("GET", "/v1/approvals?state=odd").status == 400)
        }
    }

    @Test("a denial reaches the worker as the option to reject once")
    func denied() async throws {
        try await self.withAsker("ask") { fixture in
            let (turn, approval) = try await self.ask(fixture)
            _ = try await fixture.client.send("POST", "/v1/approvals/\(approval)", #"{"decision":"deny"}"#)
            #expect(try await self.outcome(turn, fixture)["reply"]?.text == "0:no")
        }
    }

    @Test("a question that nobody decides expires: the turn goes on with a rejection, and a decision comes too late")
    func expired() async throws {
        try await self.withAsker("ask", approvalSeconds: 1) { fixture in
            let (turn, approval) = try await self.ask(fixture)
            #expect(try await self.outcome(turn, fixture)["reply"]?.text == "0:no")
            let late = try await fixture.client.send("POST", "/v1/approvals/\(approval)", #"{"decision":"allow"}"#)
            #expect(late.status == 410 && late.code == "expired")
            let resolved = try await self.events(fixture).first { $0["type"]?.text == "approval.resolved" }
            #expect(resolved?["state"]?.text == "expired" && resolved?["decision"] == nil)
        }
    }

    @Test("cancelling the turn answers its question, and a decision comes too late")
    func cancelled() async throws {
        try await self.withAsker("slow-ask") { fixture in
            let (turn, approval) = try await self.ask(fixture)
            // 200 when the worker obeyed before the answer was written.
            #expect(try await [200, 202].contains(fixture.client.send("POST", "/v1/turns/\(turn)/cancel").status))
            let late = try await fixture.client.send("POST", "/v1/approvals/\(approval)", #"{"decision":"allow"}"#)
            #expect(late.status == 410)
            let outcome = try await self.outcome(turn, fixture)
            #expect(outcome["state"]?.text == "cancelled")
            let shown = try await fixture.client.send("GET", "/v1/approvals/\(approval)").json()
            #expect(shown["approval"]?["state"]?.text == "withdrawn")
        }
    }

    @Test("a decision on another replica than the worker's reaches it by a hint alone, and without hints by the poll")
    func elsewhere() async throws {
        for usesHints in [true, false] {
            var limits = Limits()
            // With hints the poll must not be what finds it, so that only the hint can.
            limits.approvalPoll = usesHints ? .seconds(600) : .milliseconds(50)
            try await self.withAsker("ask", limits: limits, usesHints: usesHints) { fixture in
                let (turn, approval) = try await self.ask(fixture)
                try await fixture.withPeer(usesHints: usesHints) { peer in
                    let decided = try await peer.tenant(fixture.org).decide(
                        try #require(ApprovalID(approval)),
                        .allow,
                        reason: nil,
                        by: try NewID.make(TokenID.self)
                    )
                    #expect(decided.decision == "once")
                    #expect(try await self.outcome(turn, fixture)["reply"]?.text == "0:once")
                }
            }
        }
    }

    @Test("a worker that waits for people keeps its turn beyond its progress limit")
    func patient() async throws {
        var limits = Limits()
        limits.sweepGrace = .milliseconds(500)
        try await self.withAsker("ask", limits: limits) { fixture in
            let tenant = fixture.gateway.tenant(fixture.org)
            var agent = try await tenant.agent(try AgentID("careful")).configuration
            agent.limits.progressSeconds = 1
            _ = try await tenant.putAgent(try AgentID("careful"), agent)
            let (turn, approval) = try await self.ask(fixture)
            let began = ContinuousClock.now
            try await eventually("three progress limits to pass") { ContinuousClock.now - began > .seconds(3) }
            _ = try await fixture.client.send("POST", "/v1/approvals/\(approval)", #"{"decision":"allow"}"#)
            #expect(try await self.outcome(turn, fixture)["reply"]?.text == "0:once")
        }
    }
}
