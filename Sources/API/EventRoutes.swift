import Domain
import Gateway
import HTTP

/// Where a reader of a log stands.
enum EventCursor {
    /// The number in `Last-Event-ID`, which a browser sends when it comes back; nil without it. Throws 400.
    static func lastEventID(_ request: Request) throws(APIError) -> Int64? {
        guard let text = request.headers["Last-Event-ID"], !text.isEmpty else { return nil }
        return try QueryValues.integer(text, of: "Last-Event-ID", in: 0...Int64.max)
    }
}

/// A conversation's log, as a stream or in pages.
struct EventRoutes: Sendable {
    private static let usualPage: Int64 = 100
    private static let largestPage: Int64 = 1_000

    let follower: EventFollower

    /// `GET /v1/agents/{agent}/conversations/{conversation}/events`
    func read(_ call: Call) async throws -> Response {
        let agent = try call.name("agent", AgentID.self)
        let conversation = try call.name("conversation", ConversationID.self)
        let query = try call.query("after", "turn", "limit")
        // A browser that comes back repeats its URL, so the header is the newer word.
        let given = try query.integer("after", in: 0...Int64.max)
        let after = try EventCursor.lastEventID(call.request) ?? given ?? 0
        let turn = try Self.turn(query["turn"])
        let limit = try query.integer("limit", in: 1...Self.largestPage)
        let wantsPage =
            Accepted.names("application/json", call.request) && !Accepted.names("text/event-stream", call.request)
        if limit != nil, !wantsPage {
            throw APIError.invalid("limit", "is for pages: send Accept: application/json with it")
        }
        let log = try await call.tenant.log(agent, conversation)
        guard wantsPage else {
            return self.follower.stream(call, log.number, after: after, turn: turn, untilOutcome: false)
        }
        return try await self.page(call.tenant, log.number, after, turn, Int(limit ?? Self.usualPage))
    }

    private static func turn(_ text: String?) throws(APIError) -> TurnID? {
        guard let text else { return nil }
        guard let turn = TurnID(text) else { throw APIError(400, "invalid_id", "turn must be a UUID", param: "turn") }
        return turn
    }

    private func page(
        _ tenant: Tenant,
        _ number: ConversationNumber,
        _ after: Int64,
        _ turn: TurnID?,
        _ limit: Int
    ) async throws -> Response {
        let (page, hasMore) = try await tenant.events(number, after: after, turn: turn, limit: limit)
        let next = hasMore ? page.last?.seq : nil
        return .json(
            JSONWriter.object(capacity: 4_096) { json in
                json.member("events", objects: page) { $0.members(of: $1, withType: true) }
                json.member("next", json: next.map(String.init))
            }
        )
    }
}
