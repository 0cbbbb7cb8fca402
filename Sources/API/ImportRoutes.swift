import Domain
import Gateway
import HTTP

/// Conversations that began elsewhere.
struct ImportRoutes: Sendable {
    /// So many turns can be imported at once.
    static let mostTurns = 2_000

    /// `POST /v1/agents/{agent}/conversations/{conversation}/import` with `{turns: [{input, reply}], account?}`
    func make(_ call: Call) async throws -> Response {
        let agent = try call.name("agent", AgentID.self)
        let id = try call.name("conversation", ConversationID.self)
        _ = try call.query()
        let body = try JSONMembers(call.json(), known: ["turns", "account"])
        var owner: AccountID?
        if let text = try body.text("account") {
            guard let account = AccountID(text) else { throw APIError.invalid("account", "must be an account's id") }
            owner = account
        }
        let made = try await call.tenant.importConversation(agent, id, try Self.turns(body["turns"]), owner: owner)
        return .json(JSONWriter.object { $0.members(of: made) }, status: 201)
    }

    private static func turns(_ value: JSONValue?) throws(APIError) -> [(input: TurnInput, reply: String)] {
        guard let elements = value?.elements, (1...Self.mostTurns).contains(elements.count) else {
            throw .invalid("turns", "must be 1 to \(Self.mostTurns) of {input, reply}, the oldest first")
        }
        var turns: [(input: TurnInput, reply: String)] = []
        for (index, element) in elements.enumerated() {
            guard let input = element["input"], let reply = element["reply"]?.text else {
                throw .invalid("turns[\(index)]", "must be {input, reply}")
            }
            turns.append((try TurnBody.input(input), reply))
        }
        return turns
    }
}
