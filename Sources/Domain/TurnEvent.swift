/// One entry of a conversation's log, before it has a number.
package enum TurnEvent: Sendable, Hashable {
    case queued
    case started(attempt: Int)
    /// What a fresh worker knows of the turns before; only where there were any.
    case context(ContextReport)
    case delta(text: String)
    case thought(text: String)
    case tool(ToolActivity)
    case plan(JSONValue)
    case usage(JSONValue)
    /// The conversation is served by another model backend. Of a worker: one that it says served a call.
    case backend(BackendSwitch)
    case approvalRequested(ApprovalQuestion)
    case approvalResolved(ApprovalResolution)
    /// No live replica hosts an account that the conversation could run on.
    case waitingAccount(AccountWait)
    /// The conversation is no longer this account's, which was absent for too long; another goes on from the snapshot.
    case accountMigrated(from: AccountID)
    /// The turn waits for the answers to these questions without a worker.
    case parked([ApprovalID])
    /// How far a call of a parked turn got.
    case call(ApprovalID, String, CallState)
    /// A run ended without an outcome and another will follow.
    case retried(FailureCode, message: String)
    case ended(Outcome)

    /// The event's name on every stream.
    package var type: String {
        switch self {
        case .queued: "turn.queued"
        case .started: "turn.started"
        case .context: "context"
        case .delta: "delta"
        case .thought: "thought"
        case .tool: "tool"
        case .plan: "plan"
        case .usage: "usage"
        case .backend: "backend"
        case .approvalRequested: "approval.requested"
        case .approvalResolved: "approval.resolved"
        case .waitingAccount: "waiting_account"
        case .accountMigrated: "account.migrated"
        case .parked: "turn.parked"
        case .call: "call"
        case .retried: "turn.retried"
        case .ended(.completed): "turn.completed"
        case .ended(.failed): "turn.failed"
        case .ended(.cancelled): "turn.cancelled"
        }
    }

    /// The event's own members on every stream; number, turn and time are added by the log.
    package var data: JSONValue {
        switch self {
        case .queued: [:]
        case .started(let attempt): ["attempt": .integer(Int64(attempt))]
        case .context(let report): report.json
        case .delta(let text), .thought(let text): ["text": .string(text)]
        case .tool(let tool): tool.json
        case .plan(let plan): ["entries": plan]
        case .usage(let usage): ["usage": usage]
        case .backend(let change): change.json
        case .approvalRequested(let question): question.json
        case .approvalResolved(let resolution): resolution.json
        case .waitingAccount(let wait): wait.json
        case .accountMigrated(let account): ["from": .string(account.text)]
        case .parked(let questions): ["approvals": .array(questions.map { .string($0.text) })]
        case .call(let approval, let call, let state):
            ["approval": .string(approval.text), "call": .string(call), "state": .string(state.rawValue)]
        case .retried(let code, let message): ["code": .string(code.rawValue), "message": .string(message)]
        case .ended(let outcome): outcome.json
        }
    }
}

/// What a worker's tool is doing.
package struct ToolActivity: Sendable, Hashable {
    /// Its identity.
    package var id: String
    /// A name for people.
    package var name: String
    /// How it stands.
    package var status: String
    /// What the user sent.
    package var input: JSONValue?
    /// What it gave back.
    package var output: JSONValue?

    package init(id: String, name: String, status: String, input: JSONValue? = nil, output: JSONValue? = nil) {
        self.id = id
        self.name = name
        self.status = status
        self.input = input
        self.output = output
    }

    fileprivate var json: JSONValue {
        var members: [String: JSONValue] = [
            "id": .string(self.id), "name": .string(self.name), "status": .string(self.status),
        ]
        if let input = self.input { members["input"] = input }
        if let output = self.output { members["output"] = output }
        return .object(members)
    }
}

extension Outcome {
    /// The members of the terminal event. It is self-contained: it holds the whole reply.
    package var json: JSONValue {
        switch self {
        case .completed(let reply):
            var members: [String: JSONValue] = [
                "reply": .string(reply.text), "stop_reason": .string(reply.stopReason),
            ]
            if let usage = reply.usage { members["usage"] = usage }
            return .object(members)
        case .failed(let code, let message, let partial):
            return ["code": .string(code.rawValue), "message": .string(message), "partial": .string(partial)]
        case .cancelled(let partial):
            return ["partial": .string(partial)]
        }
    }
}
