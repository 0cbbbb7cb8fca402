package import Domain
import Store

extension Tenant {
    /// The turn that a client's earlier try of the same request made, if that was not longer ago than any client waits.
    package func turn(of fingerprint: [UInt8]) async throws -> TurnRecord? {
        guard
            let id = try await reaching({
                try await self.store.turn(of: fingerprint, within: self.limits.retryMemory)
            })
        else { return nil }
        return try await self.turn(id)
    }

    /// What the response of a turn shows of its request, as JSON text. Throws `notFound`.
    package func response(_ turn: TurnID) async throws -> String {
        guard let found = try await reaching({ try await self.store.response(turn) }) else {
            throw GatewayError.notFound("response")
        }
        return found
    }

    /// Takes a turn's response away. Throws `notFound`.
    package func deleteResponse(_ turn: TurnID) async throws {
        guard try await reaching({ try await self.store.deleteResponse(turn) }) else {
            throw GatewayError.notFound("response")
        }
    }

    // MARK: - Threads

    /// Makes a thread under a fresh name.
    package func createThread(
        _ id: ConversationID,
        metadata: String,
        items: [ThreadItem]
    ) async throws -> ThreadRecord {
        try await reaching { try await self.store.createThread(id, metadata: metadata, items: items) }
    }

    /// One thread; nil when there is none of this name.
    package func thread(_ id: ConversationID) async throws -> ThreadRecord? {
        try await reaching { try await self.store.thread(id) }
    }

    /// Replaces a thread's metadata, where some is given, and adds messages to its end. Throws `notFound`, and
    /// `limitReached` when it is full.
    package func changeThread(
        _ id: ConversationID,
        metadata: String? = nil,
        adding items: [ThreadItem] = []
    ) async throws -> ThreadRecord {
        let (limit, bytes) = (self.limits.threadItems, self.limits.threadBytes)
        let changed = try await reaching {
            try await self.store.changeThread(id, metadata: metadata, adding: items, atMost: limit, bytes: bytes)
        }
        if let changed { return changed }
        guard try await self.thread(id) != nil else { throw GatewayError.notFound("conversation") }
        throw GatewayError.limitReached("items added to a conversation, of \(bytes) bytes together", limit: limit)
    }

    /// Deletes a thread and its conversation. Throws `notFound`.
    package func deleteThread(_ id: ConversationID) async throws {
        guard let thread = try await reaching({ try await self.store.deleteThread(id) }) else {
            throw GatewayError.notFound("conversation")
        }
        guard let agent = thread.agent else { return }
        do {
            try await self.deleteConversation(agent, id)
        } catch GatewayError.deleted, GatewayError.notFound {
            // Somebody was faster; it is gone.
        }
    }
}
