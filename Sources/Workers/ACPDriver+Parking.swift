import Crypto
import Domain

// Turnpike's extension for turns that wait for people without a worker: how an agent leaves one, how it is given one to go
// on with, and how it says what becomes of the calls that were decided.

extension ACPDriver {
    /// Requests of an agent that goes on with a parked turn: `{sessionId, call}`, for the former with the
    /// `arguments` that the tool will get, for the latter with a `result`, both optional. It must not begin a call before
    /// `call_start` has been answered with `granted: true`.
    static let noteMethods: Set<String> = ["_turnpike/call_start", "_turnpike/call_done"]

    /// The result of a prompt that parks its turn: `{continuation, calls: [{call, tool, arguments?, options?,
    /// idempotent?}]}`, the continuation in base64.
    mutating func parked(_ offered: JSONValue, stopReason: String) -> [DriverAction] {
        func bad(_ problem: String) -> [DriverAction] {
            [.failed(.protocolError, "the worker parked the turn, but \(problem)", sure: false)]
        }
        guard self.abilities.parksTurns else { return bad("it had not said that it can") }
        guard let text = offered["continuation"]?.text else { return bad("gave no continuation") }
        guard Base64.decodedSize(text) <= self.setup.snapshotBytes + 2, let continuation = Base64.decode(text) else {
            return bad("its continuation is no base64 or over the agent's limit for snapshots")
        }
        let elements = offered["calls"]?.elements ?? []
        let calls = elements.compactMap(Self.call)
        guard !calls.isEmpty, calls.count == elements.count, calls.count <= Self.maximumQuestions else {
            return bad("did not name from 1 to \(Self.maximumQuestions) proper calls")
        }
        guard Set(calls.map(\.call)).count == calls.count else { return bad("named a call twice") }
        let parking = Parking(continuation: continuation, calls: calls)
        return [.idle(DriverStop(stopReason: stopReason, usage: nil, snapshot: .none, parking: parking))]
    }

    private static func call(_ json: JSONValue) -> ParkedCall? {
        guard let call = json["call"]?.text, (1...1_000).contains(call.unicodeScalars.count), !call.utf8.contains(0),
            let tool = json["tool"]?["name"]?.text ?? json["tool"]?.text, !tool.isEmpty
        else { return nil }
        let options = (json["options"]?.elements ?? []).compactMap { option -> ApprovalOption? in
            guard let id = option["optionId"]?.text else { return nil }
            return ApprovalOption(id: id, name: option["name"]?.text ?? id, kind: option["kind"]?.text ?? "")
        }
        return ParkedCall(
            call: call,
            tool: ApprovalTool(id: json["tool"]?["id"]?.text ?? call, name: tool),
            arguments: json["arguments"],
            options: options.isEmpty ? ParkedCall.plainOptions : options,
            isIdempotent: json["idempotent"] == true
        )
    }

    /// What the prompt of a turn that goes on has in `_meta.turnpike.resume`.
    static func json(_ resumption: Resumption) -> JSONValue {
        let calls = resumption.calls.map { call -> JSONValue in
            var members: [String: JSONValue] = [
                "call": .string(call.call), "state": .string(call.state.rawValue), "allowed": .bool(call.isAllowed),
                "verdict": .string(call.verdict.rawValue),
            ]
            if let decision = call.decision { members["decision"] = .string(decision) }
            if let reason = call.reason { members["reason"] = .string(reason) }
            if let result = call.result { members["result"] = result }
            return .object(members)
        }
        return ["continuation": .string(Base64.encode(resumption.continuation)), "calls": .array(calls)]
    }

    /// A note about a call. Each waits for its own answer, as questions do.
    mutating func noted(_ method: String, _ id: RequestID, _ params: JSONValue, bytes: Int) -> [DriverAction] {
        let name = JSONWriter.text(id.json)
        guard id.isProper, self.notes[name] == nil, self.notes.count < Self.maximumQuestions else {
            return [self.refuse(id, -32600, "the id of a request is a number or a short string that is not in use")]
        }
        guard case .prompting(_, let prompt) = self.phase, params["sessionId"]?.text == self.openSession,
            let call = params["call"]?.text
        else { return [self.refuse(id, -32602, "there is no such call in a turn that runs")] }
        let isStart = method == "_turnpike/call_start"
        // What has not begun when the turn is cancelled never begins.
        guard !isStart || !prompt.isCancelled else { return [self.answer(id, .refused("cancelled"))] }
        self.notes[name] = id
        let note: CallNote =
            isStart
            ? .start(call: call, arguments: params["arguments"]) : .done(call: call, result: params["result"])
        return [.counted(bytes), .note(name, note)]
    }

    mutating func noted(_ note: String, _ verdict: CallVerdict) -> [DriverAction] {
        guard let id = self.notes.removeValue(forKey: note) else { return [] }
        return [self.answer(id, verdict)]
    }

    private func answer(_ id: RequestID, _ verdict: CallVerdict) -> DriverAction {
        switch verdict {
        case .granted: self.respond(id, ["granted": true])
        case .refused(let state): self.respond(id, ["granted": false, "state": .string(state)])
        case .fenced: self.refuse(id, -32000, "the turn is no longer this worker's")
        }
    }
}
