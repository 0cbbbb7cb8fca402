import Domain
import Gateway
import TestKit
import Testing

@testable import API

/// The agent that every organization has.
@Suite(.serialized)
struct DefaultAgentTests {
    @Test("a half-made organization gets its default agent when it is first asked for, once, whoever asks")
    func healing() async throws {
        try await APIFixture.with { fixture in
            let early = try await fixture.client(of: "early", Set(Scope.allCases))
            let path = "/v1/agents/default/conversations/c/turns"
            #expect(try await early.send("POST", path, #"{"input":"x"}"#).code == "agent_not_configured")
            let standard = AgentConfiguration(driver: .command, command: ["cat"], storeMode: .none)
            let model = fixture.gateway.tenant(try OrganizationID("default"))
            _ = try await model.putAgent(try AgentID("default"), standard)
            let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
                for number in 0..<8 {
                    group.addTask {
                        let body = #"{"input":"\#(number)"}"#
                        return try await early.send("POST", "/v1/agents/default/conversations/c\(number)/turns", body)
                            .status
                    }
                }
                return try await group.reduce(into: [Int]()) { $0.append($1) }
            }
            #expect(statuses == Array(repeating: 202, count: 8))
            let agents = try await early.send("GET", "/v1/agents").json()["agents"]?.elements ?? []
            #expect(agents.map { $0["id"]?.text } == ["default"] && agents.first?["version"] == 1)
            // One that is made now has it from the beginning.
            #expect(try await fixture.client.send("PUT", "/v1/organizations/late").status == 200)
            let late = try await fixture.client(of: "late", [.agents])
            #expect(try await late.send("GET", "/v1/agents/default").status == 200)
            #expect(try await late.send("GET", "/v1/models").status == 403)
        }
    }
}
