import Crypto
import Domain

// What an agent says within a turn: updates, questions, and the result that ends it.

extension ACPDriver {
    /// `session/update`. What belongs to no open prompt (a replay, a banner before the first prompt, chatter after the
    /// last) is no part of any turn, and unknown kinds are for clients that know more.
    mutating func updated(_ params: JSONValue, bytes: Int) -> [DriverAction] {
        guard params["sessionId"]?.text == self.openSession, let update = params["update"],
            let kind = update["sessionUpdate"]?.text
        else { return [] }
        if kind == "usage_update", case .object(var members) = update {
            members["sessionUpdate"] = nil
            // Looked at between prompts, too: the next turn's share begins where this report ends.
            let usage = self.meter.progress(.object(members))
            return self.isPrompting ? [.counted(bytes), .event(.usage(usage))] : []
        }
        guard self.isPrompting else { return [] }
        return Self.backend(params) + self.updated(kind, update, bytes: bytes)
    }

    /// The model backend that the agent names beside what it says, in `_meta.turnpike`.
    static func backend(_ members: JSONValue) -> [DriverAction] {
        guard let named = members["_meta"]?["turnpike"]?["backend"]?.text, let id = BackendID(named) else { return [] }
        return [.counted(named.utf8.count), .event(.backend(BackendSwitch(id: id)))]
    }

    private mutating func updated(_ kind: String, _ update: JSONValue, bytes: Int) -> [DriverAction] {
        switch kind {
        case "agent_message_chunk":
            guard let text = update["content"]?["text"]?.text else {
                return [.counted(bytes), .odd(.contentDropped)]
            }
            return text.isEmpty ? [] : [.event(.delta(text: text))]
        case "agent_thought_chunk":
            guard let text = update["content"]?["text"]?.text, !text.isEmpty else { return [] }
            return [.event(.thought(text: text))]
        case "tool_call", "tool_call_update":
            guard let id = update["toolCallId"]?.text else { return [] }
            let tool = self.tools[id, default: Tool(id: id)].updated(update)
            self.tools[id] = tool
            return [.counted(bytes), .event(.tool(tool.activity))]
        case "plan":
            return [.counted(bytes), .event(.plan(update["entries"] ?? []))]
        default:
            return []
        }
    }

    private var isPrompting: Bool {
        if case .prompting = self.phase { true } else { false }
    }

    /// A tool as its updates leave it: each names only what changed.
    struct Tool: Sendable, Hashable {
        private(set) var activity: ToolActivity
        /// It has given raw output, which says more than what it shows.
        private var hasRawOutput = false

        init(id: String) {
            self.activity = ToolActivity(id: id, name: "tool", status: "pending")
        }

        func updated(_ update: JSONValue) -> Tool {
            var tool = self
            let isNamed = self.activity.name != "tool"
            if let name = update["title"]?.text ?? (isNamed ? nil : update["kind"]?.text), !name.isEmpty {
                tool.activity.name = name
            }
            if let status = update["status"]?.text { tool.activity.status = status }
            if let input = update["rawInput"], input != .null { tool.activity.input = input }
            if let output = update["rawOutput"], output != .null {
                tool.activity.output = output
                tool.hasRawOutput = true
            } else if !tool.hasRawOutput, let content = update["content"], content != .null {
                tool.activity.output = content == [] ? Optional.none : content
            }
            return tool
        }
    }

    /// A request of the agent. Every one is answered: an agent that waits for an answer waits for ever.
    mutating func requested(_ method: String, _ id: RequestID, _ params: JSONValue, bytes: Int) -> [DriverAction] {
        if Self.noteMethods.contains(method) { return self.noted(method, id, params, bytes: bytes) }
        guard method == "session/request_permission" else {
            return [.odd(.unknownRequest), self.refuse(id, -32601, "method not found: \(method.prefix(200))")]
        }
        guard case .prompting(_, let prompt) = self.phase, !prompt.isCancelled,
            params["sessionId"]?.text == self.openSession, self.waiting.count < Self.maximumQuestions
        else { return [self.cancelled(id)] }
        let question = JSONWriter.text(id.json)
        guard id.isProper else { return [self.refuse(id, -32600, "the id of a request is a number or a short string")] }
        guard self.waiting[question] == nil else {
            return [self.refuse(id, -32600, "a request with this id is waiting for its answer")]
        }
        let options = (params["options"]?.elements ?? []).compactMap { option -> PermissionOption? in
            guard let id = option["optionId"]?.text else { return nil }
            return PermissionOption(id: id, name: option["name"]?.text ?? id, kind: option["kind"]?.text ?? "")
        }
        guard !options.isEmpty else { return [self.cancelled(id)] }
        let call = params["toolCall"] ?? [:]
        let toolID = call["toolCallId"]?.text ?? question
        // Some agents ask about an id that no tool has; the question stands by itself then.
        let tool = (self.tools[toolID] ?? Tool(id: toolID)).updated(call)
        self.waiting[question] = Waiting(id: id, options: options)
        let asked = PermissionQuestion(id: question, tool: tool.activity, options: options)
        return [.counted(bytes), .ask(asked)]
    }

    /// The result of `session/prompt`: the turn is over.
    mutating func prompted(_ result: JSONValue, wants: Snapshot.Kind?) -> [DriverAction] {
        guard let stopReason = result["stopReason"]?.text else {
            return [.failed(.protocolError, "the worker ended the turn without a stop reason", sure: false)]
        }
        // What a refused prompt said is in no later one, the seed included.
        if stopReason != "refusal" { self.seed = nil }
        if let parked = result["_meta"]?["turnpike"]?["parked"], parked != .null {
            return self.parked(parked, stopReason: stopReason)
        }
        let usage = result["usage"].flatMap { $0 == .null ? nil : self.meter.turn($0) }
        let offered = result["_meta"]?["turnpike"]?["snapshot"].flatMap { $0 == .null ? nil : $0 }
        guard wants != nil else {
            let stop = DriverStop(stopReason: stopReason, usage: usage, snapshot: .none)
            return Self.backend(result) + (offered == nil ? [] : [.odd(.snapshotDropped)]) + [.idle(stop)]
        }
        let snapshot = self.read(offered)
        if case .update(let update) = snapshot, update.kind == .base { self.hasBase = true }
        return Self.backend(result) + [.idle(DriverStop(stopReason: stopReason, usage: usage, snapshot: snapshot))]
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

    /// Bytes of a line that are a state, which has a limit of its own.
    static func snapshotSize(_ members: [String: JSONValue]) -> Int {
        let ours = members["result"]?["_meta"]?["turnpike"]
        return (ours?["snapshot"]?["body"]?.text?.utf8.count ?? 0)
            + (ours?["parked"]?["continuation"]?.text?.utf8.count ?? 0)
    }
}
