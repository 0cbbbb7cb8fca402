import Domain
import Gateway

/// The conversation that a response becomes a turn of, and what its worker has to be told first.
struct ResponsePlace: Sendable {
    /// Nil for a direct turn, which nothing can follow.
    var conversation: ConversationID?
    var history: [ChatMessage]
    /// The thread, if `/v1/conversations` made the conversation.
    var thread: ConversationID?
    /// How many of the thread's items are told with this turn and those before it.
    var taken = 0

    /// The place that the body asks for; `named` is the conversation that the request names in another way.
    static func find(
        _ tenant: Tenant,
        _ body: ResponseBody,
        _ model: AgentID,
        named: ConversationID?
    ) async throws -> ResponsePlace {
        if let previous = body.settings.previous {
            return try await self.after(previous, tenant, body, model)
        }
        if let conversation = body.settings.conversation {
            return try await self.within(conversation, tenant, body, model)
        }
        if let named {
            // Who names a conversation so keeps it, and sends all of it each time.
            let isKnown = try await Dialect.knows(tenant, model, named)
            return ResponsePlace(conversation: named, history: isKnown ? body.later : body.context)
        }
        return ResponsePlace(conversation: body.settings.stores ? try self.fresh() : nil, history: body.context)
    }

    /// A name for a conversation that nobody named.
    static func fresh(_ prefix: String = ResponseID.prefix) throws -> ConversationID {
        try ConversationID(prefix + Dialect.digits(try NewID.make(TurnID.self)))
    }

    /// Goes on after a response: in its conversation if the response is the newest there, else in a new one that is told
    /// what was said up to it.
    private static func after(
        _ previous: String,
        _ tenant: Tenant,
        _ body: ResponseBody,
        _ model: AgentID
    ) async throws -> ResponsePlace {
        let turn: TurnRecord
        do {
            guard let id = ResponseID(previous) else { throw GatewayError.notFound("response") }
            _ = try await tenant.response(id.turn)
            turn = try await tenant.turn(id.turn)
        } catch GatewayError.notFound {
            throw APIError(
                400,
                "previous_response_not_found",
                "no response of this id is kept",
                param: "previous_response_id"
            )
        }
        guard turn.agent == model.text else {
            throw APIError.invalid("model", "must be \(turn.agent), whose response it follows")
        }
        guard let name = turn.conversation else {
            throw APIError.invalid("previous_response_id", "names a response without a conversation")
        }
        let conversation = try ConversationID(name)
        guard try await tenant.conversation(model, conversation).lastTurn != turn.seq else {
            return ResponsePlace(conversation: conversation, history: body.context)
        }
        let (turns, _) = try await tenant.turns(model, conversation, before: turn.seq + 1, limit: 200)
        let said = turns.reversed().flatMap {
            [ConversationItem.input($0).message, ConversationItem.output($0)?.message]
        }
        return ResponsePlace(conversation: try self.fresh(), history: said.compactMap { $0 } + body.context)
    }

    private static func within(
        _ text: String,
        _ tenant: Tenant,
        _ body: ResponseBody,
        _ model: AgentID
    ) async throws -> ResponsePlace {
        let conversation: ConversationID
        do throws(InvalidName) {
            conversation = try ConversationID(text)
        } catch {
            throw APIError(400, "invalid_id", error.description, param: "conversation")
        }
        guard let thread = try await tenant.thread(conversation) else {
            guard try await Dialect.knows(tenant, model, conversation) else {
                throw APIError(
                    404,
                    "not_found",
                    "no such conversation; POST /v1/conversations makes one",
                    param: "conversation"
                )
            }
            return ResponsePlace(conversation: conversation, history: body.context)
        }
        if let agent = thread.agent, agent != model {
            throw APIError.invalid("model", "must be \(agent), whose conversation it is")
        }
        let untold = thread.items.dropFirst(thread.taken).map(\.message)
        return ResponsePlace(
            conversation: conversation,
            history: untold + body.context,
            thread: conversation,
            taken: thread.items.count
        )
    }
}
