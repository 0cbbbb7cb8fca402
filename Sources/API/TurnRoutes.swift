import Domain
import Gateway
import HTTP

/// Submit, read and cancel turns.
struct TurnRoutes: Sendable {
    let follower: EventFollower

    /// `POST /v1/agents/{agent}/conversations/{conversation}/turns`
    func submit(_ call: Call) async throws -> Response {
        try await self.submit(call, conversation: try call.name("conversation"))
    }

    /// `POST /v1/agents/{agent}/turns`: a direct turn, outside every conversation.
    func submitDirect(_ call: Call) async throws -> Response {
        try await self.submit(call, conversation: nil)
    }

    private func submit(_ call: Call, conversation: ConversationID?) async throws -> Response {
        _ = try call.query()
        let agent = try call.name("agent", AgentID.self)
        let body = try TurnBody(call.json(), headerKeys: call.request.headers.all("Idempotency-Key"))
        var request = body.request(agent: agent, conversation: conversation)
        request.submitter = call.principal.token
        guard Accepted.names("text/event-stream", call.request) else {
            let turn = try await call.tenant.submit(request)
            let json = JSONWriter.object { $0.member("turn") { $0.members(of: turn, request) } }
            return .json(json, status: turn.isRepeat ? 200 : 202, headers: Self.location(turn.id))
        }
        let turn = try await call.tenant.submit(request)
        return self.follower.stream(
            call,
            turn.number,
            // Where a repeated turn began is not known; the client may know what it has.
            after: turn.isRepeat ? try EventCursor.lastEventID(call.request) ?? 0 : turn.logStart,
            turn: turn.id,
            untilOutcome: true,
            cancelsOnDisconnect: body.cancelsOnDisconnect,
            headers: Self.location(turn.id)
        )
    }

    private static func location(_ turn: TurnID) -> Headers {
        ["Location": "/v1/turns/\(turn.text)"]
    }

    /// `GET /v1/turns/{turn}?wait=`: the turn; with `wait`, held back until it has its outcome or so many seconds passed.
    func show(_ call: Call) async throws -> Response {
        let id = try call.id("turn", TurnID.self)
        let wait = try call.query("wait").integer("wait", in: 0...60) ?? 0
        let turn = try await call.tenant.turn(id, waitingAtMost: .seconds(wait))
        return .json(JSONWriter.object { $0.member("turn") { $0.members(of: turn) } })
    }

    /// `GET /v1/agents/{agent}/conversations/{conversation}/turns?before=&limit=`: the newest first, in pages.
    func list(_ call: Call) async throws -> Response {
        let agent = try call.name("agent", AgentID.self)
        let conversation = try call.name("conversation", ConversationID.self)
        let query = try call.query("before", "limit")
        let (page, hasMore) = try await call.tenant.turns(
            agent,
            conversation,
            before: try query.integer("before", in: 1...Int64.max) ?? Int64.max,
            limit: Int(try query.integer("limit", in: 1...200) ?? 50)
        )
        return .json(
            JSONWriter.object(capacity: 4_096) { json in
                json.member("turns", objects: page) { $0.members(of: $1) }
                json.member("next", json: hasMore ? page.last.map { String($0.seq) } : nil)
            }
        )
    }

    /// `POST /v1/turns/{turn}/cancel`
    func cancel(_ call: Call) async throws -> Response {
        let id = try call.id("turn", TurnID.self)
        _ = try call.query()
        try call.refuseBody()
        let turn = try await call.tenant.cancel(id)
        // A running turn's worker has been told; its outcome is still to come.
        return .json(
            JSONWriter.object { $0.member("turn") { $0.members(of: turn) } },
            status: turn.state.isTerminal ? 200 : 202
        )
    }
}
