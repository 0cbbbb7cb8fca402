import Domain
import Gateway
import HTTP

/// Worker configurations by name. `PUT` is declarative and idempotent.
struct AgentRoutes: Sendable {
    /// `GET /v1/agents`
    func list(_ call: Call) async throws -> Response {
        _ = try call.query()
        let agents = try await call.tenant.agents().map { (record: $0, text: try Self.text($0)) }
        return .json(
            JSONWriter.object(capacity: 4_096) { json in
                json.member("agents", objects: agents) { $0.members(of: $1.record, configuration: $1.text) }
            }
        )
    }

    /// `GET /v1/agents/{agent}`: with the replicas that have seen its workers fail, if there are any.
    func show(_ call: Call) async throws -> Response {
        let id = try call.name("agent", AgentID.self)
        _ = try call.query()
        let agent = try await call.tenant.agent(id)
        return try Self.response(agent, circuits: try await call.tenant.circuits(of: id))
    }

    /// `PUT /v1/agents/{agent}`
    func put(_ call: Call) async throws -> Response {
        let id = try call.name("agent", AgentID.self)
        _ = try call.query()
        let configuration = try AgentBody.read(call.request)
        let agent = try await call.tenant.putAgent(id, configuration)
        return try Self.response(agent, circuits: try await call.tenant.circuits(of: id))
    }

    /// `DELETE /v1/agents/{agent}`
    func delete(_ call: Call) async throws -> Response {
        let id = try call.name("agent", AgentID.self)
        _ = try call.query()
        try await call.tenant.deleteAgent(id)
        return Response(status: 204)
    }

    /// `POST /v1/agents/{agent}/check`: starts the agent once, outside every conversation, and says what it can do. The body
    /// is a configuration to try; without one, the stored configuration is.
    func check(_ call: Call) async throws -> Response {
        let id = try call.name("agent", AgentID.self)
        _ = try call.query()
        let configuration = call.request.body.isEmpty ? nil : try AgentBody.read(call.request)
        return .json(JSONWriter.text(["check": try await call.tenant.check(id, configuration).json]))
    }

    /// The configuration as its organization may see it: the values of one that it was given are its operator's.
    private static func text(_ agent: AgentRecord) throws -> String {
        try AgentBody.text(agent.isProvided ? agent.configuration.withoutValues : agent.configuration)
    }

    private static func response(_ agent: AgentRecord, circuits: [AgentCircuit]) throws -> Response {
        let configuration = try Self.text(agent)
        return .json(
            JSONWriter.object { json in
                json.members(of: agent, configuration: configuration)
                json.member("circuits", objects: circuits) { $0.members(of: $1) }
            }
        )
    }
}
