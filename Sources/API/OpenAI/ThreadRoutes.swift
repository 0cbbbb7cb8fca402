import Domain
import Gateway
import HTTP

/// `/v1/conversations`: conversations that are named before they have an agent, which the first response brings.
struct ThreadRoutes: Sendable {
    private static let prefix = "conv_"
    /// The most messages that one request puts in.
    private static let mostItems = 20

    /// `POST /v1/conversations`
    func create(_ call: Call) async throws -> Response {
        _ = try call.query()
        let body = call.request.body.isEmpty ? nil : try JSONMembers(ofDialect: call.json())
        let thread = try await call.tenant.createThread(
            try ResponsePlace.fresh(Self.prefix),
            metadata: Self.text(try ResponseBody.metadata(body?["metadata"])),
            items: try Self.items(body?["items"], after: 0)
        )
        return Self.response(thread)
    }

    /// `GET /v1/conversations/{conversation}`
    func show(_ call: Call) async throws -> Response {
        _ = try call.query()
        return Self.response(try await Self.thread(call))
    }

    /// `POST /v1/conversations/{conversation}`: other metadata.
    func update(_ call: Call) async throws -> Response {
        _ = try call.query()
        let body = try JSONMembers(ofDialect: call.json())
        guard let metadata = body["metadata"] else { throw APIError.invalid("metadata", "is missing") }
        return Self.response(
            try await call.tenant.changeThread(
                try call.name("conversation", ConversationID.self),
                metadata: Self.text(try ResponseBody.metadata(metadata))
            )
        )
    }

    /// `DELETE /v1/conversations/{conversation}`: with all that was said in it.
    func delete(_ call: Call) async throws -> Response {
        let id = try call.name("conversation", ConversationID.self)
        _ = try call.query()
        try await call.tenant.deleteThread(id)
        return .json(
            JSONWriter.object { json in
                json.member("id", id.text)
                json.member("object", "conversation.deleted")
                json.member("deleted", flag: true)
            }
        )
    }

    // MARK: - Items

    /// `POST /v1/conversations/{conversation}/items`: messages that the agent is told with the next turn.
    func add(_ call: Call) async throws -> Response {
        _ = try call.query("include", "include[]")
        let body = try JSONMembers(ofDialect: call.json())
        guard let list = body["items"] else { throw APIError.invalid("items", "is missing") }
        let thread = try await Self.thread(call)
        let last = try await Self.lastTurn(call.tenant, thread)
        let items = try Self.items(list, after: last)
        _ = try await call.tenant.changeThread(thread.id, adding: items)
        return try ItemPage(QueryValues(call.request, known: ["include", "include[]"]))
            .response(items.map(ConversationItem.added), hasMore: false)
    }

    /// `GET /v1/conversations/{conversation}/items?after=&limit=&order=`
    func items(_ call: Call) async throws -> Response {
        let page = try ItemPage(call.query("after", "limit", "order", "include", "include[]"))
        let thread = try await Self.thread(call)
        var window = ItemWindow(page)
        var added = thread.items[...]
        var before = Int64.max
        while let agent = thread.agent, !window.isFull {
            let (turns, hasMore) = try await call.tenant.turns(agent, thread.id, before: before, limit: 100)
            for turn in turns {
                while let item = added.last, item.after >= turn.seq { window.take(.added(added.removeLast())) }
                if let output = ConversationItem.output(turn) { window.take(output) }
                window.take(.input(turn))
            }
            guard hasMore, let last = turns.last else { break }
            before = last.seq
        }
        while !added.isEmpty { window.take(.added(added.removeLast())) }
        return page.response(window.items, hasMore: window.hasMore)
    }

    /// `GET /v1/conversations/{conversation}/items/{item}`
    func item(_ call: Call) async throws -> Response {
        _ = try call.query("include", "include[]")
        let thread = try await Self.thread(call)
        let id = call.request.parameters["item"] ?? ""
        guard let item = try await Self.item(id, of: thread, call.tenant) else {
            throw APIError(404, "not_found", "no such item")
        }
        return .json(JSONWriter.object(item.write))
    }

    private static func item(
        _ id: String,
        of thread: ThreadRecord,
        _ tenant: Tenant
    ) async throws -> ConversationItem? {
        guard let (turnID, isInput) = ConversationItem.turn(id) else {
            return thread.items.first { $0.id == id }.map(ConversationItem.added)
        }
        let turn: TurnRecord
        do {
            turn = try await tenant.turn(turnID)
        } catch GatewayError.notFound {
            return nil
        }
        guard turn.conversation == thread.id.text, turn.agent == thread.agent?.text else { return nil }
        return isInput ? .input(turn) : .output(turn)
    }

    private static func thread(_ call: Call) async throws -> ThreadRecord {
        let id = try call.name("conversation", ConversationID.self)
        guard let thread = try await call.tenant.thread(id) else { throw GatewayError.notFound("conversation") }
        return thread
    }

    private static func lastTurn(_ tenant: Tenant, _ thread: ThreadRecord) async throws -> Int64 {
        guard let agent = thread.agent else { return 0 }
        return try await tenant.conversation(agent, thread.id).lastTurn
    }

    private static func items(_ list: JSONValue?, after last: Int64) throws -> [ThreadItem] {
        guard let list else { return [] }
        guard let elements = list.elements, elements.count <= Self.mostItems else {
            throw APIError.invalid("items", "must be an array of at most \(Self.mostItems) items")
        }
        return try elements.enumerated().map { index, element in
            let type = element["type"] ?? .null
            guard type == .null || type == "message" else {
                throw APIError.invalid("items[\(index)].type", "must be message")
            }
            let message = try ChatMessage(element, at: "items[\(index)]")
            let id = "msg_" + Dialect.digits(try NewID.make(TurnID.self))
            return ThreadItem(id: id, role: message.role.rawValue, parts: message.parts, after: last)
        }
    }

    private static func text(_ metadata: JSONValue) -> String {
        String(decoding: JSONWriter.text(metadata), as: UTF8.self)
    }

    private static func response(_ thread: ThreadRecord) -> Response {
        .json(
            JSONWriter.object { json in
                json.member("id", thread.id.text)
                json.member("object", "conversation")
                json.member("created_at", UnixTime.seconds(thread.createdAt))
                json.member("metadata", json: thread.metadata)
            }
        )
    }
}

/// Picks a page out of items that come newest first, holding no more than the page.
struct ItemWindow: Sendable {
    private let page: ItemPage
    private var kept: [ConversationItem] = []
    /// Whether the item is behind us that the page comes after, in the order of the items that come.
    private var hasPassed: Bool

    init(_ page: ItemPage) {
        self.page = page
        self.hasPassed = page.after == nil && !page.isAscending
    }

    /// Whether nothing that comes can change the page.
    var isFull: Bool { self.page.isAscending ? self.hasPassed : self.kept.count > self.page.limit }

    mutating func take(_ item: ConversationItem) {
        guard !self.isFull else { return }
        guard item.id != self.page.after else {
            self.hasPassed = true
            return
        }
        if self.page.isAscending {
            // The page is the oldest of what is newer than the item that it comes after.
            self.kept.append(item)
            if self.kept.count > self.page.limit + 1 { self.kept.removeFirst() }
        } else if self.hasPassed {
            self.kept.append(item)
        }
    }

    var hasMore: Bool { self.kept.count > self.page.limit }

    /// The page in its order.
    var items: [ConversationItem] {
        Array((self.page.isAscending ? self.kept.reversed() : self.kept).prefix(self.page.limit))
    }
}
