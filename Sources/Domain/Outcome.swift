/// The terminal result of a turn. Exactly one is ever stored.
package enum Outcome: Sendable, Hashable {
    /// The worker answered.
    case completed(Reply)
    /// The turn ended without an answer; `partial` is the text that had been streamed.
    case failed(FailureCode, message: String, partial: String)
    /// Somebody cancelled the turn; `partial` is the text that had been streamed.
    case cancelled(partial: String)

    /// The state a turn with this outcome is in.
    package var state: TurnState {
        switch self {
        case .completed: .completed
        case .failed: .failed
        case .cancelled: .cancelled
        }
    }

    /// The reply, or the part of it that had been streamed.
    package var text: String {
        switch self {
        case .completed(let reply): reply.text
        case .failed(_, _, let partial), .cancelled(let partial): partial
        }
    }

    /// The outcome's label in metrics and logs: the state, or the failure code.
    package var label: String {
        switch self {
        case .completed: "completed"
        case .failed(let code, _, _): code.rawValue
        case .cancelled: "cancelled"
        }
    }
}

/// What a worker answered.
package struct Reply: Sendable, Hashable {
    /// The whole text.
    package var text: String
    /// Why the worker stopped, in its own words (`end_turn`, `max_tokens`, `exit_0`).
    package var stopReason: String
    /// Token counts as the worker reported them.
    package var usage: JSONValue?

    package init(text: String, stopReason: String, usage: JSONValue? = nil) {
        self.text = text
        self.stopReason = stopReason
        self.usage = usage
    }
}

/// Why a turn failed: the one catalogue, used in SQL, JSON, logs, metrics and documents.
package enum FailureCode: String, Sendable, Hashable, CaseIterable {
    case workerExited = "worker_exited"
    case workerStartFailed = "worker_start_failed"
    case workerUnresponsive = "worker_unresponsive"
    case deadlineExceeded = "deadline_exceeded"
    case outputLimit = "output_limit"
    case protocolError = "protocol_error"
    case snapshotFailed = "snapshot_failed"
    case snapshotTooLarge = "snapshot_too_large"
    case guardRefused = "guard_refused"
    case leaseTimeout = "lease_timeout"
    case accountUnavailable = "account_unavailable"
    case approvalExpired = "approval_expired"
    case retriesExhausted = "retries_exhausted"
    case agentNotConfigured = "agent_not_configured"
    case refused = "refused"
    case noCapacity = "no_capacity"
    case inputUnsupported = "input_unsupported"
    case interrupted = "interrupted"
    case replicaLost = "replica_lost"

    /// What happened, in one sentence.
    package var meaning: String {
        switch self {
        case .workerExited: "The worker process ended before it answered."
        case .workerStartFailed: "The worker process could not be started or did not become ready in time."
        case .workerUnresponsive: "The worker made no progress within the agent's progress limit."
        case .deadlineExceeded: "The turn took longer than its hard deadline."
        case .outputLimit: "The worker wrote more than the agent's output limits allow."
        case .protocolError: "The worker spoke something other than its protocol, or reported an error."
        case .snapshotFailed: "The conversation's state could not be saved or restored."
        case .snapshotTooLarge: "The conversation's state is larger than the agent's limit."
        case .guardRefused: "The turn may write shared state but names no organization or conversation to guard."
        case .leaseTimeout: "The conversation or a worker for it did not become free within the lease wait."
        case .accountUnavailable: "No live replica hosts the account that owns the conversation."
        case .approvalExpired: "A question of the worker was not decided in time."
        case .retriesExhausted: "Every allowed run of the turn failed."
        case .agentNotConfigured: "The agent does not exist or its configuration cannot run."
        case .refused: "The worker refused the request."
        case .noCapacity: "The worker had no capacity for the turn, and there was no other account to try."
        case .inputUnsupported: "The input has a part that the agent does not take; it was not sent."
        case .interrupted: "A newer turn interrupted this one."
        case .replicaLost: "The replica that ran the worker died."
        }
    }

    /// What a user or operator can do about it.
    package var remedy: String {
        switch self {
        case .workerExited: "Send the turn again; look at the worker's error output in the message."
        case .workerStartFailed: "Check the agent's command with `turnpike agent show`; then send the turn again."
        case .workerUnresponsive: "Send the turn again, or raise `progress_seconds` of the agent."
        case .deadlineExceeded: "Ask for less at once, or raise `turn_seconds` of the agent."
        case .outputLimit: "Ask for less output, or raise `output_bytes` or `line_bytes` of the agent."
        case .protocolError: "Check that the agent's driver fits its command; look at the message."
        case .snapshotFailed: "Send the turn again; the conversation is as it was before the turn."
        case .snapshotTooLarge: "Raise `snapshot_bytes` of the agent, or start a new conversation."
        case .guardRefused: "Enqueue the turn with its organization and conversation, or without a run id."
        case .leaseTimeout: "Send the turn again; add replicas or raise `max_workers` when it recurs."
        case .accountUnavailable: "Bring the account's replica back, or let the agent migrate."
        case .approvalExpired: "Send the turn again and decide in time."
        case .retriesExhausted: "Look at the last error in the message."
        case .agentNotConfigured: "Configure the agent with `turnpike agent put` or PUT /v1/agents/{agent}."
        case .refused: "Rephrase the request."
        case .noCapacity: "Send the turn again later, or add accounts to the agent's provider or pool."
        case .inputUnsupported: "Leave the part out, or use an agent that takes it; look at the message."
        case .interrupted: "Nothing: the newer turn has been accepted."
        case .replicaLost: "Send the turn again; another replica has taken over."
        }
    }
}
