import Domain
import Gateway
import HTTP

/// What workers outside the gateway ask for. `deploy/examples/remote_worker.py` is one.
struct RemoteRoutes: Sendable {
    private static let usualLease: Int64 = 30
    private static let leases: ClosedRange<Int64> = 2...600
    private static let waits: ClosedRange<Int64> = 0...30

    /// `POST /v1/remote/claims` with `{claim_key, lease_seconds?, wait_seconds?}`: a turn, or null when none came in time.
    func claim(_ call: WorkerCall) async throws -> Response {
        let body = try call.body("claim_key", "lease_seconds", "wait_seconds")
        guard let key = try body.text("claim_key") else { throw APIError.invalid("claim_key", "is missing") }
        let isPrintable = key.utf8.allSatisfy { (0x20...0x7e).contains($0) }
        guard isPrintable, (1...200).contains(key.utf8.count) else {
            throw APIError.invalid("claim_key", "must be 1 to 200 printable ASCII characters")
        }
        let assignment = try await call.desk.claim(
            key,
            leaseSeconds: Int(try body.integer("lease_seconds", in: Self.leases) ?? Self.usualLease),
            patience: .seconds(try body.integer("wait_seconds", in: Self.waits) ?? 20)
        )
        guard let assignment else { return .json(JSONWriter.object { $0.member("assignment", json: nil) }) }
        return .json(
            JSONWriter.object(capacity: 4_096) { json in json.member("assignment") { $0.members(of: assignment) } }
        )
    }

    /// `POST /v1/remote/turns/{turn}/heartbeat`: keeps the lease; the answer says whether the turn is to be cancelled.
    func beat(_ call: WorkerCall) async throws -> Response {
        let ticket = try call.ticket(try call.body())
        let (isCancelling, lease) = try await call.desk.beat(ticket)
        return .json(
            JSONWriter.object { json in
                json.member("cancel", flag: isCancelling)
                json.member("lease_seconds", lease)
            }
        )
    }

    /// `POST /v1/remote/turns/{turn}/events` with `{batch, events}`: batches are numbered from 1; the same again writes
    /// nothing.
    func append(_ call: WorkerCall) async throws -> Response {
        let body = try call.body("batch", "events")
        let ticket = try call.ticket(body)
        guard let batch = try body.integer("batch", in: 1...Int64.max) else {
            throw APIError.invalid("batch", "is missing")
        }
        try await call.desk.append(ticket, batch: batch, try RemoteEvents.read(body["events"]))
        return .json(JSONWriter.object { $0.member("batch", batch) })
    }

    /// `POST /v1/remote/turns/{turn}/approvals` with `{question, tool, arguments?, options, wait_seconds?}`: asks whoever
    /// decides, or asks again how the question stands.
    func ask(_ call: WorkerCall) async throws -> Response {
        let body = try call.body("question", "tool", "arguments", "options", "wait_seconds")
        let ticket = try call.ticket(body)
        guard let number = try body.integer("question", in: 1...1_000_000) else {
            throw APIError.invalid("question", "is missing")
        }
        guard let tool = body["tool"], let name = tool["name"]?.text else {
            throw APIError.invalid("tool", #"must be {"id": …, "name": …}"#)
        }
        let options = (body["options"]?.elements ?? []).compactMap { option -> ApprovalOption? in
            guard let id = option["id"]?.text, let kind = option["kind"]?.text else { return nil }
            return ApprovalOption(id: id, name: option["name"]?.text ?? id, kind: kind)
        }
        guard (1...50).contains(options.count), options.count == body["options"]?.elements?.count else {
            throw APIError.invalid("options", "must be 1 to 50 of {id, name, kind}")
        }
        let question = RemoteDesk.Question(
            number: number,
            tool: ApprovalTool(id: tool["id"]?.text ?? "", name: name),
            arguments: body["arguments"],
            options: options
        )
        let wait = try body.integer("wait_seconds", in: Self.waits) ?? 20
        let (state, decision) = try await call.desk.ask(ticket, question, patience: .seconds(wait))
        return .json(
            JSONWriter.object { json in
                json.member("state", state.rawValue)
                json.member("decision", decision)
            }
        )
    }

    /// `POST /v1/remote/turns/{turn}/outcome` with `{state, reply?, stop_reason?, usage?, code?, message?, snapshot?}`: ends
    /// the run, once; the same again says so.
    func settle(_ call: WorkerCall) async throws -> Response {
        let body = try call.body("state", "reply", "stop_reason", "usage", "code", "message", "snapshot")
        let ticket = try call.ticket(body)
        let ending = try await call.desk.settle(
            ticket,
            try RemoteOutcome.read(body),
            state: try body.text("snapshot")
        )
        let word =
            switch ending {
            case .settled: "settled"
            case .repeated: "repeated"
            case .requeued: "requeued"
            }
        return .json(JSONWriter.object { $0.member("result", word) })
    }
}

/// The events that a remote worker may write.
enum RemoteEvents {
    static func read(_ value: JSONValue?) throws(APIError) -> [TurnEvent] {
        guard let elements = value?.elements, (1...1_000).contains(elements.count) else {
            throw .invalid("events", "must be 1 to 1000 events")
        }
        var events: [TurnEvent] = []
        for (index, element) in elements.enumerated() {
            guard let event = self.event(element) else {
                throw .invalid("events[\(index)]", "must be a delta, a thought, a tool or a usage")
            }
            events.append(event)
        }
        return events
    }

    private static func event(_ json: JSONValue) -> TurnEvent? {
        switch json["type"]?.text {
        case "delta": return json["text"]?.text.map { .delta(text: $0) }
        case "thought": return json["text"]?.text.map { .thought(text: $0) }
        case "usage": return json["usage"].map { .usage($0) }
        case "tool":
            guard let id = json["id"]?.text, let name = json["name"]?.text, let status = json["status"]?.text else {
                return nil
            }
            let activity = ToolActivity(
                id: id,
                name: name,
                status: status,
                input: json["input"],
                output: json["output"]
            )
            return .tool(activity)
        default: return nil
        }
    }
}

/// How a remote worker says that a turn ended.
enum RemoteOutcome {
    /// The failures that are a worker's to tell.
    static let codes: [FailureCode] = [
        .workerExited, .workerUnresponsive, .outputLimit, .protocolError, .refused, .inputUnsupported, .noCapacity,
    ]

    static func read(_ body: JSONMembers) throws(APIError) -> Outcome {
        let reply = try body.text("reply") ?? ""
        switch try body.text("state") {
        case "completed":
            let stopReason = try body.text("stop_reason") ?? "end_turn"
            return .completed(Reply(text: reply, stopReason: stopReason, usage: body["usage"]))
        case "cancelled": return .cancelled(partial: reply)
        case "failed":
            guard let code = try body.text("code").flatMap(FailureCode.init(rawValue:)), Self.codes.contains(code)
            else {
                let known = Self.codes.map(\.rawValue).joined(separator: ", ")
                throw .invalid("code", "must be one of \(known)")
            }
            return .failed(code, message: try body.text("message") ?? code.meaning, partial: reply)
        default: throw .invalid("state", "must be completed, failed or cancelled")
        }
    }
}

extension JSONWriter {
    mutating func members(of assignment: RemoteAssignment) {
        let (run, turn) = (assignment.run, assignment.turn)
        self.member("turn", turn.id.text)
        self.member("attempt", run.attempt)
        self.member("epoch", run.fence.epoch)
        self.member("lease", run.fence.nonce.text)
        self.member("lease_seconds", run.leaseSeconds)
        self.member("agent", run.agent.text)
        self.member("conversation", run.conversation?.text)
        self.member("seq", turn.seq)
        self.member("input", array: turn.input.parts) { $0.value($1) }
        self.member("deadline_seconds", number: turn.deadlineSeconds)
        self.member("cancel", flag: turn.cancelRequested)
        self.member("snapshot", assignment.state)
        self.member("transcript", objects: assignment.transcript?.exchanges ?? []) { json, exchange in
            json.member("input", exchange.input)
            json.member("reply", exchange.reply)
        }
        self.member("transcript_cut", flag: assignment.transcript?.isCut ?? false)
    }
}
