import Domain
import HTTP

/// One turn's log as a response: a value that takes the turn's events from its first on and gives the response's events,
/// numbered without a gap, and the response as it stands.
///
/// A question of the worker ends the response, as the dialect wants it; the turn goes on, and what it says after the
/// question is the next part, a response of its own.
struct ResponseProjection: DialectProjection {
    enum Status: String, Sendable, CaseIterable {
        case queued
        case inProgress = "in_progress"
        case completed, failed, cancelled, incomplete
    }

    let id: ResponseID
    let model: String
    let settings: ResponseSettings
    /// The number of the last event that the client has; -1 for none.
    let after: Int
    var status = Status.queued
    var items: [ResponseItem] = []
    var usage: TokenUsage?
    var failure: (code: String, message: String)?
    private var sequence = 0
    private var questions = 0
    private(set) var hasBegun = false
    /// The text that the run has said so far, in the parts before this one too.
    private var said = ""
    /// Where the item is that grows: the message or the reasoning at the end.
    private var growing: Int?
    private var tools: [String: Int] = [:]
    private var frames: [UInt8] = []

    private(set) var isOver = false

    init(_ id: ResponseID, model: String, settings: ResponseSettings, after: Int = -1) {
        self.id = id
        self.model = model
        self.settings = settings
        self.after = after
    }

    mutating func take(_ event: EventRecord) throws -> [UInt8] {
        guard !self.isOver else { return [] }
        self.frames = []
        let members = event.members
        if self.questions < self.id.part {
            try self.skip(event.type, members)
        } else {
            try self.show(event.type, members)
        }
        return self.frames
    }

    /// Takes an event of the parts before this one.
    private mutating func skip(_ type: String, _ members: JSONValue) throws {
        switch type {
        case "delta": self.said += members["text"]?.text ?? ""
        case "turn.retried": self.said = ""
        case "approval.requested":
            self.questions += 1
            if self.questions == self.id.part { try self.begin(.inProgress) }
        case "turn.completed", "turn.failed", "turn.cancelled": try self.show(type, members)
        default: break
        }
    }

    private mutating func show(_ type: String, _ members: JSONValue) throws {
        try self.begin(.queued)
        switch type {
        case "turn.started": try self.progress()
        case "delta": try self.say(members["text"]?.text ?? "")
        case "thought": try self.think(members["text"]?.text ?? "")
        case "tool": try self.use(members)
        case "approval.requested": try self.ask(members)
        case "turn.retried":
            try self.closeAll(.incomplete)
            self.said = ""
        case "turn.completed": try self.complete(members)
        case "turn.cancelled": try self.end(.cancelled, "response.incomplete", items: .incomplete)
        case "turn.failed":
            self.failure = (members["code"]?.text ?? "internal", members["message"]?.text ?? "the turn failed")
            try self.end(.failed, "response.failed", items: .incomplete)
        default: break
        }
    }

    // MARK: - The response's own events

    private mutating func begin(_ status: Status) throws {
        guard !self.hasBegun else { return }
        self.hasBegun = true
        self.status = self.settings.background ? status : .inProgress
        try self.sendResponse("response.created")
        if self.status == .queued {
            try self.sendResponse("response.queued")
        } else {
            try self.sendResponse("response.in_progress")
        }
    }

    private mutating func progress() throws {
        guard self.status == .queued else { return }
        self.status = .inProgress
        try self.sendResponse("response.in_progress")
    }

    private mutating func complete(_ members: JSONValue) throws {
        let reply = members["reply"]?.text ?? ""
        // A worker may say at its end what it has not streamed; and a response without any item would be an odd one.
        if reply.utf8.count > self.said.utf8.count, reply.utf8.starts(with: self.said.utf8) {
            try self.say(String(decoding: reply.utf8.dropFirst(self.said.utf8.count), as: UTF8.self))
        } else if self.items.isEmpty {
            _ = try self.grow("msg", .message(text: ""))
        }
        self.usage = TokenUsage(members["usage"])
        let isCut = ["max_tokens", "max_turn_requests"].contains(members["stop_reason"]?.text)
        try isCut
            ? self.end(.incomplete, "response.incomplete", items: .incomplete)
            : self.end(.completed, "response.completed", items: .completed)
    }

    private mutating func ask(_ members: JSONValue) throws {
        try self.closeAll(.completed)
        let approval = members["approval"]?.text.flatMap { ApprovalID($0) }
        let question = ResponseItem(
            id: "mcpr_" + (approval.map { Dialect.digits($0) } ?? ""),
            content: .question(
                name: members["tool"]?["name"]?.text ?? "",
                arguments: ResponseItem.text(members["arguments"]) ?? "{}"
            )
        )
        let index = try self.add(question)
        try self.close(index, .completed)
        try self.end(.completed, "response.completed", items: .completed)
    }

    private mutating func end(_ status: Status, _ type: String, items: ResponseItem.Status) throws {
        try self.closeAll(items)
        self.status = status
        self.isOver = true
        try self.sendResponse(type)
    }

    private mutating func sendResponse(_ type: String) throws {
        let response = String(decoding: self.object(), as: UTF8.self)
        try self.send(type) { $0.member("response", json: response) }
    }

    // MARK: - Items

    private mutating func say(_ text: String) throws {
        self.said += text
        guard !text.isEmpty else { return }
        let index = try self.grow("msg", .message(text: ""))
        guard case .message(let before) = self.items[index].content else { return }
        self.items[index].content = .message(text: before + text)
        let item = self.items[index].id
        try self.send("response.output_text.delta") { json in
            Self.place(item, index, "content_index", &json)
            json.member("delta", text)
            json.member("logprobs", array: [Int]()) { _, _ in }
        }
    }

    private mutating func think(_ text: String) throws {
        guard !text.isEmpty else { return }
        let index = try self.grow("rs", .reasoning(text: ""))
        guard case .reasoning(let before) = self.items[index].content else { return }
        self.items[index].content = .reasoning(text: before + text)
        let item = self.items[index].id
        try self.send("response.reasoning_summary_text.delta") { json in
            Self.place(item, index, "summary_index", &json)
            json.member("delta", text)
        }
    }

    /// The item at the end, if it is one of this kind that grows, else a new one.
    private mutating func grow(_ kind: String, _ content: ResponseItem.Content) throws -> Int {
        if let growing = self.growing, self.items[growing].id.hasPrefix(kind) { return growing }
        try self.closeGrowing(.completed)
        let index = try self.add(ResponseItem(id: self.id.item(kind, self.items.count), content: content))
        self.growing = index
        let item = self.items[index].id
        if case .message = content {
            try self.send("response.content_part.added") { json in
                Self.place(item, index, "content_index", &json)
                json.member("part") { ResponseItem.writePart("", &$0) }
            }
        } else {
            try self.send("response.reasoning_summary_part.added") { json in
                Self.place(item, index, "summary_index", &json)
                json.member("part") { ResponseItem.writeSummary("", &$0) }
            }
        }
        return index
    }

    private mutating func use(_ members: JSONValue) throws {
        var tool = ToolActivity(
            id: members["id"]?.text ?? "",
            name: members["name"]?.text ?? "",
            status: members["status"]?.text ?? "",
            input: members["input"],
            output: members["output"]
        )
        try self.closeGrowing(.completed)
        let index: Int
        if let known = self.tools[tool.id], case .tool(let before) = self.items[known].content {
            index = known
            tool.input = tool.input ?? before.input
            tool.output = tool.output ?? before.output
            self.items[index].content = .tool(tool)
        } else {
            index = try self.add(ResponseItem(id: self.id.item("mcp", self.items.count), content: .tool(tool)))
            self.tools[tool.id] = index
            let item = self.items[index].id
            try self.send("response.mcp_call.in_progress") { json in
                json.member("item_id", item)
                json.member("output_index", index)
            }
        }
        guard tool.status == "completed" || tool.status == "failed" else { return }
        let item = self.items[index].id
        try self.send("response.mcp_call.\(tool.status)") { json in
            json.member("item_id", item)
            json.member("output_index", index)
        }
        try self.close(index, tool.status == "failed" ? .failed : .completed)
    }

    private mutating func add(_ item: ResponseItem) throws -> Int {
        let index = self.items.count
        self.items.append(item)
        try self.send("response.output_item.added") { json in
            json.member("output_index", index)
            json.member("item", object: item.write)
        }
        return index
    }

    /// Ends an item; harmless for one that has ended.
    private mutating func close(_ index: Int, _ status: ResponseItem.Status) throws {
        guard self.items[index].status == .inProgress else { return }
        self.items[index].status = status
        let item = self.items[index]
        if case .tool(let tool) = item.content { self.tools[tool.id] = nil }
        try self.send("response.output_item.done") { json in
            json.member("output_index", index)
            json.member("item", object: item.write)
        }
    }

    private mutating func closeGrowing(_ status: ResponseItem.Status) throws {
        guard let index = self.growing else { return }
        self.growing = nil
        let item = self.items[index]
        switch item.content {
        case .message(let text):
            try self.send("response.output_text.done") { json in
                Self.place(item.id, index, "content_index", &json)
                json.member("text", text)
                json.member("logprobs", array: [Int]()) { _, _ in }
            }
            try self.send("response.content_part.done") { json in
                Self.place(item.id, index, "content_index", &json)
                json.member("part") { ResponseItem.writePart(text, &$0) }
            }
        case .reasoning(let text):
            try self.send("response.reasoning_summary_text.done") { json in
                Self.place(item.id, index, "summary_index", &json)
                json.member("text", text)
            }
            try self.send("response.reasoning_summary_part.done") { json in
                Self.place(item.id, index, "summary_index", &json)
                json.member("part") { ResponseItem.writeSummary(text, &$0) }
            }
        case .tool, .question: break
        }
        try self.close(index, status)
    }

    private mutating func closeAll(_ status: ResponseItem.Status) throws {
        try self.closeGrowing(status)
        // A tool that is still at work has not been completed, however the response ends.
        for index in self.items.indices { try self.close(index, .incomplete) }
        self.tools = [:]
    }

    // MARK: - Sending

    private static func place(_ item: String, _ index: Int, _ inner: String, _ json: inout JSONWriter) {
        json.member("item_id", item)
        json.member("output_index", index)
        json.member(inner, 0)
    }

    private mutating func send(_ type: String, _ body: (inout JSONWriter) -> Void) throws {
        let number = self.sequence
        self.sequence += 1
        guard number > self.after else { return }
        let data = JSONWriter.object { json in
            json.member("type", type)
            json.member("sequence_number", number)
            body(&json)
        }
        self.frames += try EventStream.frame(name: type, data: String(decoding: data, as: UTF8.self))
    }
}
