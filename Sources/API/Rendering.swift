import Domain
import Gateway

// Records as JSON: members in a fixed order, snake_case, null for what is not there.

extension JSONWriter {
    /// The answer to a submission.
    mutating func members(of turn: SubmittedTurn, _ request: TurnRequest) {
        self.member("id", turn.id.text)
        self.member("seq", turn.seq)
        self.member("agent", request.agent.text)
        self.member("conversation", request.conversation?.text)
        self.member("state", turn.state.rawValue)
        self.member("position", turn.ahead)
        self.member("wait_seconds", number: turn.wait?.wholeSeconds)
    }

    mutating func members(of turn: TurnRecord) {
        self.member("id", turn.id.text)
        self.member("seq", turn.seq)
        self.member("agent", turn.agent)
        self.member("conversation", turn.conversation)
        self.member("input", json: turn.input)
        self.member("state", turn.state.rawValue)
        self.member("position", turn.ahead)
        self.member("wait_seconds", number: turn.wait?.wholeSeconds)
        self.member("attempt", turn.attempt)
        self.member("waiting_for", turn.deferredFor)
        self.member("queued_at", turn.queuedAt)
        self.member("started_at", turn.startedAt)
        self.member("ended_at", turn.endedAt)
        if let outcome = turn.outcome {
            self.member("outcome") { $0.members(of: outcome) }
        } else {
            self.member("outcome", json: nil)
        }
    }

    private mutating func members(of outcome: OutcomeRecord) {
        self.member("state", outcome.state.rawValue)
        self.member("code", outcome.code)
        self.member("message", outcome.message)
        self.member("remedy", outcome.code.flatMap(FailureCode.init(rawValue:))?.remedy)
        self.member("reply", outcome.reply)
        self.member("stop_reason", outcome.stopReason)
        self.member("usage", json: outcome.usage)
    }

    mutating func members(of conversation: ConversationRecord) {
        self.member("id", conversation.conversation)
        self.member("agent", conversation.agent)
        self.member("head", conversation.head)
        self.member("last_turn", conversation.lastTurn)
        self.member("last_event", conversation.lastEvent)
        self.member("queued", conversation.queued)
        self.member("running", conversation.running?.text)
        self.member("replica", conversation.ownerReplica?.text)
        self.member("epoch", conversation.epoch)
        self.member("worker_pid", number: conversation.workerPID)
        self.member("account", conversation.account?.text)
        self.member("backend", conversation.backend)
        self.member("created_at", conversation.createdAt)
        self.member("active_at", conversation.activeAt)
        if let origin = conversation.origin {
            self.member("origin") { json in
                json.member("conversation", origin.conversation)
                json.member("seq", origin.seq)
            }
        } else {
            self.member("origin", json: nil)
        }
    }

    mutating func members(of snapshot: SnapshotRecord) {
        self.member("seq", snapshot.seq)
        self.member("parent", snapshot.parent)
        self.member("kind", snapshot.kind.rawValue)
        self.member("format", snapshot.format.rawValue)
        self.member("bytes", snapshot.bytes)
        self.member("sha256", snapshot.sha256)
        self.member("at", snapshot.at)
    }

    /// An event: its number, turn and time, then its own members, whose text is not decoded on the way.
    mutating func members(of event: EventRecord, withType: Bool) {
        self.member("seq", event.seq)
        if withType { self.member("type", event.type) }
        self.member("turn", event.turn.text)
        self.member("at", event.at)
        self.members(ofObject: event.data)
    }

    /// An agent; `configuration` is its JSON text.
    mutating func members(of agent: AgentRecord, configuration: String) {
        self.member("id", agent.agent.text)
        self.member("version", agent.version)
        self.member("configuration", json: configuration)
        self.member("created_at", agent.createdAt)
        self.member("updated_at", agent.updatedAt)
    }

    /// A token; its secret only in the answer that creates it.
    mutating func members(of token: TokenRecord, secret: String? = nil) {
        self.member("id", token.id.text)
        self.member("organization", token.org.text)
        self.member("name", token.name)
        self.member("scopes", array: token.scopes.map(\.rawValue).sorted()) { $0.string($1) }
        self.member("created_at", token.createdAt)
        self.member("expires_at", token.expiresAt)
        self.member("revoked_at", token.revokedAt)
        self.member("parent", token.parent?.text)
        self.member("account", token.account?.text)
        if let secret { self.member("secret", secret) }
    }

    mutating func members(of replica: ReplicaRecord) {
        self.member("id", replica.id.text)
        self.member("label", replica.label)
        self.member("version", replica.version)
        self.member("started_at", replica.startedAt)
        self.member("seen_at", replica.seenAt)
        self.member("draining", flag: replica.draining)
        self.member("workers", replica.workers)
        self.member("conversations", replica.conversations)
    }

    mutating func members(of worker: WorkerRecord) {
        self.member("state", worker.state.rawValue)
        self.member("pid", worker.pid)
        self.member("organization", worker.org?.text)
        self.member("agent", worker.agent.text)
        self.member("conversation", worker.conversation?.text)
        self.member("deployment", worker.deployment?.text)
        self.member("age_seconds", worker.age.components.seconds)
        self.member("resident_bytes", worker.residentBytes)
        self.member("cpu_milliseconds", Int(worker.cpuSeconds * 1_000))
    }

    mutating func members(of circuit: CircuitRecord) {
        self.member("organization", circuit.org?.text)
        self.member("agent", circuit.agent.text)
        self.member("state", circuit.state(at: .now).rawValue)
        self.member("failures", circuit.failures)
        self.member("last_error", circuit.lastError)
    }

    mutating func members(of circuit: AgentCircuit) {
        self.member("replica", circuit.replica.text)
        self.member("label", circuit.label)
        self.member("state", circuit.state.rawValue)
        self.member("failures", circuit.failures)
        self.member("reason", circuit.reason)
        self.member("until", circuit.until)
    }

    mutating func members(of letter: DeadLetterRecord) {
        self.member("turn", letter.turn.text)
        self.member("organization", letter.org)
        self.member("agent", letter.agent)
        self.member("conversation", letter.conversation)
        self.member("code", letter.code)
        self.member("message", letter.message)
        self.member("attempts", letter.attempts)
        self.member("died_at", letter.diedAt)
        self.member("redriven_at", letter.redrivenAt)
        self.member("redriven_as", letter.redrivenAs?.text)
    }

    mutating func members(of approval: ApprovalRecord) {
        self.member("id", approval.id.text)
        self.member("turn", approval.turn.text)
        self.member("agent", approval.agent)
        self.member("conversation", approval.conversation)
        self.member("tool") { tool in
            tool.member("id", approval.tool.id)
            tool.member("name", approval.tool.name)
        }
        self.member("arguments", json: approval.arguments)
        self.member("arguments_hash", approval.argumentsHash)
        self.member("options", objects: approval.options) { json, option in
            json.member("id", option.id)
            json.member("name", option.name)
            json.member("kind", option.kind)
        }
        self.member("state", approval.state.rawValue)
        self.member("decision", approval.decision)
        self.member("decided_by", approval.decidedBy)
        self.member("rule", approval.rule?.text)
        self.member("reason", approval.reason)
        self.member("call", approval.call)
        self.member("call_state", approval.callState?.rawValue)
        self.member("asked_at", approval.askedAt)
        self.member("expires_at", approval.expiresAt)
        self.member("decided_at", approval.decidedAt)
    }
}

extension JSONWriter {
    mutating func members(of rule: ApprovalRule) {
        self.member("id", rule.id.text)
        self.member("agent", rule.agent)
        self.member("tool", rule.tool)
        self.member("arguments", json: rule.arguments)
        self.member("arguments_hash", rule.argumentsHash)
        self.member("effect", rule.effect?.rawValue ?? ApprovalEffect.ask.rawValue)
        self.member("created_by", rule.createdBy)
        self.member("reason", rule.reason)
        self.member("created_at", rule.createdAt)
    }
}

extension Duration {
    /// In seconds, the last one begun counted whole.
    var wholeSeconds: Int {
        let (seconds, attoseconds) = self.components
        return Int(seconds) + (attoseconds > 0 ? 1 : 0)
    }
}

extension AgentCheck {
    var json: JSONValue {
        let (whole, attoseconds) = self.duration.components
        var members: [String: JSONValue] = [
            "starts": .bool(self.failure == nil),
            "milliseconds": .integer(whole * 1_000 + attoseconds / 1_000_000_000_000_000),
            "memory_bytes": self.memoryBytes.map { .integer(Int64($0)) } ?? .null,
            "report": self.report?.json ?? .null,
        ]
        if let failure = self.failure {
            members["failure"] = [
                "code": .string(failure.code.rawValue), "message": .string(failure.message),
                "remedy": .string(failure.code.remedy),
            ]
        }
        return .object(members)
    }
}
