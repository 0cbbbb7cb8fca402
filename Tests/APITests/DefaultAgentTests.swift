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

    @Test("an organization is shown the names in what it was given and no values, and cannot take them over")
    func values() async throws {
        try await APIFixture.with { fixture in
            let agent = try AgentID("default")
            var standard = AgentConfiguration(driver: .acp, command: ["agent"], storeMode: .none)
            standard.environment = ["API_KEY": "sk-operator"]
            standard.files = ["home/.key": AgentFile("sk-operator")]
            standard.mcpServers = [
                MCPServer(
                    name: "tools",
                    transport: .http,
                    url: "https://tools.example",
                    headers: [MCPServer.Pair(name: "Authorization", value: "sk-operator")]
                )
            ]
            _ = try await fixture.gateway.tenant(try OrganizationID("default")).putAgent(agent, standard)
            let given = try await fixture.client(of: "given", Set(Scope.allCases))
            let path = "/v1/agents/default"
            for shown in [try await given.send("GET", path), try await given.send("GET", "/v1/agents")] {
                #expect(shown.status == 200 && !shown.text.contains("sk-operator"), "\(shown.text)")
                for name in ["API_KEY", "home/.key", "Authorization"] { #expect(shown.text.contains(name)) }
            }
            let shown = try #require(try await given.send("GET", path).json()["configuration"])
            let text = String(decoding: JSONWriter.text(shown), as: UTF8.self)
            #expect(try await given.send("PUT", path, text).status == 400, "it would lose the values")
            // Workers have them.
            let stored = try await fixture.gateway.tenant(try OrganizationID("given")).agent(agent)
            #expect(stored.configuration == standard)
            let own = #"{"command":["cat"],"environment":{"API_KEY":"sk-own"}}"#
            #expect(try await given.send("PUT", path, own).text.contains("sk-own"))
            #expect(try await given.send("GET", path).text.contains("sk-own"))
        }
    }
}
