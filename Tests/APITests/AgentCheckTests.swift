import Domain
import Foundation
import TestKit
import Testing

@testable import API

/// Starting an agent once to see what it can do.
@Suite(.serialized)
struct AgentCheckTests {
    private static let double = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Doubles/worker_double.py").path

    private static func body(_ words: String...) -> String {
        let command = (["python3", Self.double] + words).map { #""\#($0)""# }.joined(separator: ",")
        return #"{"command":[\#(command)]}"#
    }

    private func check(_ fixture: APIFixture, _ body: String?, agent: String = "new") async throws -> JSONValue {
        let answer = try await fixture.client.send("POST", "/v1/agents/\(agent)/check", body)
        #expect(answer.status == 200)
        return try #require(try answer.json()["check"])
    }

    @Test("an agent that would show its workers the workspaces is not stored")
    func hidden() async throws {
        try await APIFixture.with { fixture in
            let folder = FileManager.default.temporaryDirectory.path
            let body = #"{"command":["cat"],"isolation":"sandbox","read_only_paths":["\#(folder)"]}"#
            let answer = try await fixture.client.send("PUT", "/v1/agents/curious", body)
            #expect(answer.status == 400)
            #expect(try answer.json()["error"]?["param"]?.text == "read_only_paths")
        }
    }

    @Test("a configuration is tried without being stored, says what it can do, and leaves nothing")
    func tried() async throws {
        try await APIFixture.with { fixture in
            let check = try await self.check(fixture, Self.body("snapshot"))
            #expect(check["starts"] == true)
            #expect(check["failure"] == nil)
            #expect((check["memory_bytes"]?.integer ?? 0) > 1 << 20)
            #expect(check["report"]?["protocol_version"] == 1)
            #expect(check["report"]?["hands_over_snapshots"] == true)
            #expect(check["report"]?["loads_sessions"] == false)
            #expect(check["report"]?["prompt_parts"] == ["text"])
            #expect(try await fixture.client.send("GET", "/v1/agents/new").status == 404)
            try await eventually("the worker's place to be free") {
                try await fixture.client.send("GET", "/metrics").text.contains("turnpike_worker_places 0")
            }
        }
    }

    @Test("an agent that does not start says why, with its last words")
    func broken() async throws {
        try await APIFixture.with { fixture in
            let check = try await self.check(fixture, Self.body("early", "3"))
            #expect(check["starts"] == false)
            #expect(check["failure"]?["code"]?.text == "worker_start_failed")
            #expect(check["failure"]?["message"]?.text?.contains("cannot find my") == true)
            let missing = try await self.check(fixture, #"{"command":["no-such-program"]}"#)
            #expect(missing["failure"]?["message"]?.text?.contains("no executable program no-such-program") == true)
        }
    }

    @Test("without a body the stored agent is checked, and only an admin may")
    func stored() async throws {
        try await APIFixture.with { fixture in
            let check = try await self.check(fixture, nil, agent: "default")
            #expect(check["starts"] == true)
            #expect(check["report"] == .null)
            #expect(try await fixture.client.send("POST", "/v1/agents/unknown/check").status == 404)
            let bad = try await fixture.client.send("POST", "/v1/agents/new/check", #"{"command":[]}"#)
            #expect(bad.status == 400)
            let agents = try await fixture.client(of: "acme", [.agents, .turns])
            #expect(try await agents.send("POST", "/v1/agents/default/check").status == 403)
        }
    }
}
