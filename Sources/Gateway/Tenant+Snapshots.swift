package import Domain
import Store

extension Tenant {
    /// The links of a conversation's snapshot chain after the turn `after`, oldest first, at most `limit`. Throws
    /// `notFound` or `deleted`.
    package func snapshots(
        _ agent: AgentID,
        _ id: ConversationID,
        after: Int64,
        limit: Int
    ) async throws -> [SnapshotRecord] {
        _ = try await self.log(agent, id)
        return try await reaching { try await self.store.snapshots(agent, id, after: after, limit: limit) }
    }

    /// The body of one link. Throws `notFound` or `deleted`.
    package func snapshotBody(_ agent: AgentID, _ id: ConversationID, seq: Int64) async throws -> [UInt8] {
        _ = try await self.log(agent, id)
        guard let body = try await reaching({ try await self.store.snapshotBody(agent, id, seq: seq) }) else {
            throw GatewayError.notFound("snapshot")
        }
        return body
    }

    /// Removes the links that neither the newest `keepTurns` turns nor the base they stand on need. Throws `notFound` or
    /// `deleted`.
    package func pruneSnapshots(
        _ agent: AgentID,
        _ id: ConversationID,
        keepTurns: Int64
    ) async throws -> PrunedSnapshots {
        _ = try await self.log(agent, id)
        return try await reaching { try await self.store.pruneSnapshots(agent, id, keepTurns: keepTurns) }
    }

    /// Makes the conversation `target` with the state that the turn `seq` of `id` left; without a turn, with the newest.
    /// Throws `notFound`, `deleted` or `conversationExists`.
    package func fork(
        _ agent: AgentID,
        _ id: ConversationID,
        from seq: Int64?,
        to target: ConversationID
    ) async throws -> ConversationRecord {
        switch try await reaching({ try await self.store.fork(agent, id, from: seq, to: target) }) {
        case .made: return try await self.conversation(agent, target)
        case .unknown: throw GatewayError.notFound("conversation")
        case .noSnapshot: throw GatewayError.notFound("snapshot")
        case .deleted, .takenByDeleted: throw GatewayError.deleted
        case .taken: throw GatewayError.conversationExists
        }
    }
}
