import Domain
import Gateway
import HTTP

/// `POST /v1/chat/completions`: a turn, its reply as a completion.
struct ChatRoutes: Sendable {
    let follower: DialectFollower
    /// The largest input of a turn, in bytes of its JSON.
    let inputBytes: Int

    func complete(_ call: Call) async throws -> Response {
        _ = try call.query()
        let body = try ChatBody(call.json())
        let conversation = try Self.conversation(call.request, body)
        var followed = try await Dialect.submit(call, digest: body.digest, conversation: conversation) {
            let history = try await self.history(call.tenant, body, conversation)
            let input = try ChatHistory.input(body.message, after: history, atMost: self.inputBytes)
            return TurnRequest(agent: body.model, conversation: conversation, input: input)
        }
        followed.cancelsOnDisconnect = body.cancelsOnDisconnect
        var headers: Headers = [:]
        if let conversation { headers.set(Dialect.conversationHeader, conversation.text) }
        let start = ChatProjection(turn: followed.id, model: body.model, wantsUsage: body.wantsUsage)
        guard !body.streams else { return self.follower.stream(call, followed, start, headers: headers) }
        return try Self.response(try await self.follower.whole(call, followed, start), headers)
    }

    private static func response(_ projection: ChatProjection, _ headers: Headers) throws(APIError) -> Response {
        if let completion = projection.completion() { return .json(completion, headers: headers) }
        guard case .failed(let code, let message) = projection.ending else {
            throw APIError(500, "internal", "a completion without an ending")
        }
        var failure = Dialect.failure(code: code, message: message)
        for line in headers.lines { failure.headers.set(line.name, line.value) }
        throw failure
    }

    /// The conversation that the request belongs to; nil for a direct turn.
    private static func conversation(_ request: Request, _ body: ChatBody) throws(APIError) -> ConversationID? {
        let named = try Dialect.conversation(
            request,
            members: [("prompt_cache_key", body.cacheKey), ("metadata.conversation_id", body.metadataKey)]
        )
        return Dialect.isErrand(request, body.message) ? nil : named
    }

    /// The other messages, as far as whoever answers has not seen them: in a conversation that the gateway knows it has
    /// seen those before the new one.
    private func history(
        _ tenant: Tenant,
        _ body: ChatBody,
        _ conversation: ConversationID?
    ) async throws -> [ChatMessage] {
        guard let conversation, !body.history.isEmpty else { return body.history + body.later }
        return try await Dialect.knows(tenant, body.model, conversation) ? body.later : body.history + body.later
    }
}
