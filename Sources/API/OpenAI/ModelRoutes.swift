import Domain
import Gateway
import HTTP

/// The organization's agents as the dialects know them: models.
struct ModelRoutes: Sendable {
    /// `GET /v1/models`
    func list(_ call: Call) async throws -> Response {
        _ = try call.query()
        let agents = try await call.tenant.agents()
        let owner = call.tenant.org.text
        return .json(
            JSONWriter.object(capacity: 1_024) { json in
                json.member("object", "list")
                json.member("data", objects: agents) { Self.members(of: $1, owner, &$0) }
            }
        )
    }

    /// `GET /v1/models/{model}`
    func show(_ call: Call) async throws -> Response {
        let id = try call.name("model", AgentID.self)
        _ = try call.query()
        let owner = call.tenant.org.text
        do {
            let agent = try await call.tenant.agent(id)
            return .json(JSONWriter.object { Self.members(of: agent, owner, &$0) })
        } catch GatewayError.notFound {
            throw Dialect.unknownModel(id.text)
        }
    }

    private static func members(of agent: AgentRecord, _ owner: String, _ json: inout JSONWriter) {
        json.member("id", agent.agent.text)
        json.member("object", "model")
        json.member("created", UnixTime.seconds(agent.createdAt))
        json.member("owned_by", owner)
    }
}
