import Domain
import Gateway
import HTTP

/// List, show and delete conversations.
struct ConversationRoutes: Sendable {
    private static let usualPage: Int64 = 50
    private static let largestPage: Int64 = 200

    /// `GET /v1/agents/{agent}/conversations?limit=&after=`
    func list(_ call: Call) async throws -> Response {
        let agent = try call.name("agent", AgentID.self)
        let query = try call.query("limit", "after")
        let limit = Int(try query.integer("limit", in: 1...Self.largestPage) ?? Self.usualPage)
        var after: String?
        if let text = query["after"] {
            guard let name = try? ConversationID(text) else {
                throw APIError(400, "invalid_id", "after must be the next of an earlier page", param: "after")
            }
            after = name.text
        }
        // One more than asked for tells whether there is a next page.
        let found = try await call.tenant.conversations(agent: agent, after: after, limit: limit + 1)
        let page = Array(found.prefix(limit))
        let next = found.count > limit ? page.last?.conversation : nil
        return .json(
            JSONWriter.object(capacity: 4_096) { json in
                json.member("conversations", objects: page) { $0.members(of: $1) }
                json.member("next", next)
            }
        )
    }

    /// `GET /v1/agents/{agent}/conversations/{conversation}`
    func show(_ call: Call) async throws -> Response {
        let agent = try call.name("agent", AgentID.self)
        let id = try call.name("conversation", ConversationID.self)
        _ = try call.query()
        let found = try await call.tenant.conversation(agent, id)
        return .json(JSONWriter.object { $0.members(of: found) })
    }

    /// `DELETE /v1/agents/{agent}/conversations/{conversation}`
    func delete(_ call: Call) async throws -> Response {
        let agent = try call.name("agent", AgentID.self)
        let id = try call.name("conversation", ConversationID.self)
        _ = try call.query()
        try await call.tenant.deleteConversation(agent, id)
        return Response(status: 204)
    }
}
