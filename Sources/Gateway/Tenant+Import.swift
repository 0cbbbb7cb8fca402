package import Domain
import Store

extension Tenant {
    /// Makes a conversation of what was said elsewhere, oldest first. The account `owner` owns it from then on, and its
    /// worker is told the transcript. Throws `agentNotConfigured`, `conversationExists`, `deleted`, or `invalid` for an
    /// account that is not there.
    package func importConversation(
        _ agent: AgentID,
        _ id: ConversationID,
        _ exchanges: [(input: TurnInput, reply: String)],
        owner: AccountID?
    ) async throws -> ConversationRecord {
        guard try await reaching({ try await self.store.agent(agent) }) != nil else {
            throw GatewayError.agentNotConfigured(agent.text)
        }
        let turns = try exchanges.map {
            ImportedTurn(id: try NewID.make(TurnID.self), input: $0.input, reply: $0.reply)
        }
        switch try await reaching({ try await self.store.importConversation(agent, id, turns: turns, owner: owner) }) {
        case .made: return try await self.conversation(agent, id)
        case .unknownAccount: throw GatewayError.notFound("account")
        case .taken:
            // Throws `deleted` where only the tombstone is left.
            _ = try await self.log(agent, id)
            throw GatewayError.conversationExists
        }
    }
}
