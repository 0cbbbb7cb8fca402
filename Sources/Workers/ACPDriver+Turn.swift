import Domain

// What an agent says within a turn: updates, questions, and the result that ends it.

extension ACPDriver {
    /// `session/update`. What belongs to no open prompt (a replay, a banner before the first prompt, chatter after the
    /// last) is no part of any turn, and unknown kinds are for clients that know more.
    mutating func updated(_ params: JSONValue, bytes: Int) -> [DriverAction] {
        guard case .prompting = self.phase, params["sessionId"]?.text == self.session else { return [] }
        guard let update = params["update"], let kind = update["sessionUpdate"]?.text else { return [] }
        switch kind {
        case "agent_message_chunk":
            guard let text = update["content"]?["text"]?.text, !text.isEmpty else { return [] }
            return [.event(.delta(text: text))]
        case "agent_thought_chunk":
            guard let text = update["content"]?["text"]?.text, !text.isEmpty else { return [] }
            return [.event(.thought(text: text))]
        case "tool_call", "tool_call_update":
            guard let tool = self.merge(update) else { return [] }
            return [.counted(bytes), .event(.tool(tool))]
        case "plan":
            return [.counted(bytes), .event(.plan(update["entries"] ?? []))]
        case "usage_update":
            guard case .object(var members) = update else { return [] }
            members["sessionUpdate"] = nil
            return [.counted(bytes), .event(.usage(.object(members)))]
        default:
            return []
        }
    }

    /// The tool as it stands after `update`; nil without an id.
    private mutating func merge(_ update: JSONValue) -> ToolActivity? {
        guard let id = update["toolCallId"]?.text else { return nil }
        var tool = self.tools[id] ?? ToolActivity(id: id, name: "tool", status: "pending")
        Self.apply(update, to: &tool)
        self.tools[id] = tool
        return tool
    }

    private static func apply(_ update: JSONValue, to tool: inout ToolActivity) {
        if let name = update["title"]?.text ?? (tool.name == "tool" ? update["kind"]?.text : nil) { tool.name = name }
        if let status = update["status"]?.text { tool.status = status }
        if let input = update["rawInput"], input != .null { tool.input = input }
        if let output = update["rawOutput"], output != .null {
            tool.output = output
        } else if let content = update["content"], content != .null, content != [] {
            tool.output = content
        }
    }

    /// A request of the agent. Every one is answered: an agent that waits for an answer waits for ever.
    mutating func requested(_ method: String, _ id: RequestID, _ params: JSONValue) -> [DriverAction] {
        guard method == "session/request_permission" else {
            let error: JSONValue = ["code": -32601, "message": .string("method not found: \(method.prefix(200))")]
            return [.odd(.unknownRequest), self.send(["id": id.json, "error": error])]
        }
        guard case .prompting = self.phase, params["sessionId"]?.text == self.session else {
            return [self.cancelled(id)]
        }
        let question = JSONWriter.text(id.json)
        guard self.waiting[question] == nil else {
            let error: JSONValue = ["code": -32600, "message": "a request with this id is waiting for its answer"]
            return [self.send(["id": id.json, "error": error])]
        }
        let options = (params["options"]?.elements ?? []).compactMap { option -> PermissionOption? in
            guard let id = option["optionId"]?.text else { return nil }
            return PermissionOption(id: id, name: option["name"]?.text ?? id, kind: option["kind"]?.text ?? "")
        }
        guard !options.isEmpty else { return [self.cancelled(id)] }
        let call = params["toolCall"] ?? [:]
        let toolID = call["toolCallId"]?.text ?? question
        // Some agents ask about an id that no tool has; the question stands by itself then.
        var tool = self.tools[toolID] ?? ToolActivity(id: toolID, name: "tool", status: "pending")
        Self.apply(call, to: &tool)
        self.waiting[question] = Waiting(id: id, options: options)
        return [.ask(PermissionQuestion(id: question, tool: tool, options: options))]
    }

    /// The result of `session/prompt`: the turn is over.
    mutating func prompted(_ result: JSONValue, wants: Snapshot.Kind?) -> [DriverAction] {
        guard let stopReason = result["stopReason"]?.text else {
            return [.failed(.protocolError, "the worker ended the turn without a stop reason", sure: false)]
        }
        let usage = result["usage"].flatMap { $0 == .null ? nil : $0 }
        let offered = result["_meta"]?["turnpike"]?["snapshot"].flatMap { $0 == .null ? nil : $0 }
        guard wants != nil else {
            let stop = DriverStop(stopReason: stopReason, usage: usage, snapshot: .none)
            return (offered == nil ? [] : [.odd(.snapshotDropped)]) + [.idle(stop)]
        }
        let snapshot = self.read(offered)
        if case .update(let update) = snapshot, update.kind == .base { self.hasBase = true }
        return [.idle(DriverStop(stopReason: stopReason, usage: usage, snapshot: snapshot))]
    }

    private func read(_ offered: JSONValue?) -> OfferedSnapshot {
        guard let offered else { return .bad("the worker hands over snapshots but gave none with its reply") }
        guard let kind = offered["kind"]?.text.flatMap(Snapshot.Kind.init(rawValue:)) else {
            return .bad("the worker's snapshot is neither a base nor a delta")
        }
        guard let text = offered["body"]?.text else { return .bad("the worker's snapshot has no body") }
        // Judged before it is decoded, so that one that is far too large costs no second copy.
        let size = Base64.decodedSize(text)
        guard size <= self.setup.snapshotBytes + 2 else { return .tooLarge(size) }
        guard let body = Base64.decode(text) else { return .bad("the worker's snapshot is not base64") }
        guard body.count <= self.setup.snapshotBytes else { return .tooLarge(body.count) }
        guard kind == .base || self.hasBase else { return .bad("the worker gave a delta, but there is no base") }
        return .update(SnapshotUpdate(kind: kind, body: body))
    }

    /// Bytes of a line that are a snapshot, which has a limit of its own.
    static func snapshotSize(_ members: [String: JSONValue]) -> Int {
        members["result"]?["_meta"]?["turnpike"]?["snapshot"]?["body"]?.text?.utf8.count ?? 0
    }
}
