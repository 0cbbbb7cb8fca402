import Domain
import Gateway
import HTTP

/// `/v1/responses`: turns, their parts as responses.
struct ResponseRoutes: Sendable {
    private static let cancelPatience: Duration = .seconds(5)

    let follower: DialectFollower
    /// The largest input of a turn, in bytes of its JSON.
    let inputBytes: Int

    /// `POST /v1/responses`
    func create(_ call: Call) async throws -> Response {
        _ = try call.query()
        let body = try ResponseBody(call.json())
        guard let message = body.message, let model = body.model else { return try await self.decide(call, body) }
        let named = try Dialect.conversation(call.request, members: [("prompt_cache_key", body.cacheKey)])
        var place = ResponsePlace(conversation: nil, history: [])
        var followed = try await Dialect.submit(call, digest: body.digest, conversation: named) {
            place = try await ResponsePlace.find(call.tenant, body, model, named: named)
            let input = try ChatHistory.input(message, after: place.history, atMost: self.inputBytes)
            var request = TurnRequest(agent: model, conversation: place.conversation, input: input)
            var note = DialectNote(response: body.settings.stored)
            note.thread = place.thread
            note.taken = place.taken
            request.note = note
            return request
        }
        followed.cancelsOnDisconnect = body.cancelsOnDisconnect
        var headers: Headers = [:]
        if let named = named ?? place.thread { headers.set(Dialect.conversationHeader, named.text) }
        let start = ResponseProjection(ResponseID(turn: followed.id), model: model.text, settings: body.settings)
        return try await self.answer(call, body, followed, start, headers)
    }

    private func answer(
        _ call: Call,
        _ body: ResponseBody,
        _ followed: FollowedTurn,
        _ start: ResponseProjection,
        _ headers: Headers = [:]
    ) async throws -> Response {
        if body.streams { return self.follower.stream(call, followed, start, headers: headers) }
        if body.settings.background { return .json(start.object(), headers: headers) }
        return .json(try await self.follower.whole(call, followed, start).object(), headers: headers)
    }

    // MARK: - Decisions

    /// Decides the questions and answers with the part of the turn that comes after them. No new turn begins.
    private func decide(_ call: Call, _ body: ResponseBody) async throws -> Response {
        var last: (turn: TurnID, part: Int)?
        for decision in body.decisions {
            let asked = try await call.tenant.approval(decision.approval)
            guard last?.turn == nil || last?.turn == asked.turn else {
                throw APIError.invalid("input", "decides questions of two turns")
            }
            if let previous = body.settings.previous, ResponseID(previous)?.turn != asked.turn {
                throw APIError.invalid("previous_response_id", "is not the response that asked")
            }
            _ = try await call.tenant.response(asked.turn)
            let part = try await Self.part(call.tenant, asked)
            _ = try await call.tenant.decide(
                decision.approval,
                decision.approves ? .allow : .deny,
                reason: decision.reason,
                by: call.principal.token
            )
            last = (asked.turn, max(part, last?.part ?? 0))
        }
        guard let last else { throw APIError.invalid("input", "holds nothing for the agent") }
        let id = ResponseID(turn: last.turn, part: last.part)
        let (start, number) = try await Self.start(call.tenant, id)
        var followed = FollowedTurn(id: id.turn, number: number, after: 0)
        followed.cancelsOnDisconnect = body.cancelsOnDisconnect
        return try await self.answer(call, body, followed, start)
    }

    /// How many questions the turn had asked with this one.
    private static func part(_ tenant: Tenant, _ asked: ApprovalRecord) async throws -> Int {
        var (questions, part) = (0, 0)
        try await self.eachEvent(tenant, asked.number, asked.turn) { event in
            guard event.type == "approval.requested" else { return true }
            questions += 1
            if event.members["approval"]?.text == asked.id.text { part = questions }
            return true
        }
        return part
    }

    // MARK: - One response

    /// `GET /v1/responses/{response}?stream=&starting_after=`
    func show(_ call: Call) async throws -> Response {
        let id = try Self.id(call)
        let query = try call.query("stream", "starting_after", "include", "include[]", "include_obfuscation")
        let after = try query.integer("starting_after", in: 0...Int64(Int32.max))
        // Where a stream begins; a whole response has all of it anyway.
        let streams = try Self.flag(query["stream"], "stream")
        // Padding against guesses by length, which nothing here sends either way.
        _ = try Self.flag(query["include_obfuscation"], "include_obfuscation")
        let current = try await Self.current(call.tenant, id)
        guard streams else { return .json(current.object()) }
        let (start, number) = try await Self.start(call.tenant, id, after: after.map(Int.init) ?? -1)
        return self.follower.stream(call, FollowedTurn(id: id.turn, number: number, after: 0), start)
    }

    /// `DELETE /v1/responses/{response}`: the response is gone, the turn stays a part of its conversation.
    func delete(_ call: Call) async throws -> Response {
        let id = try Self.id(call)
        _ = try call.query()
        try await call.tenant.deleteResponse(id.turn)
        return .json(
            JSONWriter.object { json in
                json.member("id", id.text)
                json.member("object", "response")
                json.member("deleted", flag: true)
            }
        )
    }

    /// `POST /v1/responses/{response}/cancel`: the response as it ends, or as it stands when its worker takes long.
    func cancel(_ call: Call) async throws -> Response {
        let id = try Self.id(call)
        _ = try call.query()
        try call.refuseBody()
        _ = try await call.tenant.response(id.turn)
        do {
            _ = try await call.tenant.cancel(id.turn)
            _ = try await call.tenant.turn(id.turn, waitingAtMost: Self.cancelPatience)
        } catch GatewayError.alreadyEnded {
            // Cancelling again, or too late, shows how it ended.
        }
        return .json(try await Self.current(call.tenant, id).object())
    }

    /// `GET /v1/responses/{response}/input_items`: the one message. What a later part begins with is a decision, which is
    /// not an item but an approval.
    func inputItems(_ call: Call) async throws -> Response {
        let id = try Self.id(call)
        let page = try ItemPage(call.query("after", "limit", "order", "include", "include[]"))
        _ = try await call.tenant.response(id.turn)
        let turn = try await call.tenant.turn(id.turn)
        let items = id.part == 0 ? [ConversationItem.input(turn)] : []
        return page.response(items.filter { $0.id != page.after }, hasMore: false)
    }

    // MARK: - Reading

    private static func id(_ call: Call) throws(APIError) -> ResponseID {
        guard let id = ResponseID(call.request.parameters["response"] ?? "") else {
            throw APIError(404, "not_found", "no such response")
        }
        return id
    }

    private static func flag(_ text: String?, _ name: String) throws(APIError) -> Bool {
        switch text {
        case nil, "false": false
        case "true": true
        default: throw .invalid(name, "must be true or false")
        }
    }

    /// Where the stream of a response starts. Throws `notFound` when there is no such response, or none any more.
    private static func start(
        _ tenant: Tenant,
        _ id: ResponseID,
        after: Int = -1
    ) async throws -> (ResponseProjection, ConversationNumber) {
        let settings = ResponseSettings(stored: try await tenant.response(id.turn))
        let turn = try await tenant.turn(id.turn)
        return (ResponseProjection(id, model: turn.agent, settings: settings, after: after), turn.number)
    }

    /// The response as the log has it now.
    private static func current(_ tenant: Tenant, _ id: ResponseID) async throws -> ResponseProjection {
        var (projection, number) = try await self.start(tenant, id, after: .max)
        try await self.eachEvent(tenant, number, id.turn) { event in
            _ = try projection.take(event)
            return !projection.isOver
        }
        guard projection.hasBegun || id.part == 0 else { throw GatewayError.notFound("response") }
        return projection
    }

    /// Reads a turn's events until `body` says that it has enough, or there are no more.
    private static func eachEvent(
        _ tenant: Tenant,
        _ number: ConversationNumber,
        _ turn: TurnID,
        _ body: (EventRecord) throws -> Bool
    ) async throws {
        var cursor: Int64 = 0
        while true {
            let (page, hasMore) = try await tenant.events(number, after: cursor, turn: turn, limit: 500)
            for event in page where try !body(event) { return }
            guard hasMore, let last = page.last else { return }
            cursor = last.seq
        }
    }
}
