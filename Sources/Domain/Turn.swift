/// Where a turn stands. Terminal states are past participles.
package enum TurnState: String, Sendable, Hashable, Codable {
    /// Accepted and durable, not yet given to a worker. Can become: running, failed, cancelled.
    case queued
    /// A worker was given it; a marker stands for the debt. Can become: completed, failed, cancelled, queued (a retry).
    case running
    /// Answered.
    case completed
    /// Ended without an answer, with a failure code.
    case failed
    /// Ended because somebody asked for it.
    case cancelled

    /// Whether the turn has its outcome.
    package var isTerminal: Bool {
        switch self {
        case .queued, .running: false
        case .completed, .failed, .cancelled: true
        }
    }
}

/// What a user sends: text, or parts of which some may be opaque to the gateway (images, links).
package struct TurnInput: Hashable, Sendable, Codable {
    /// Content parts as ACP writes them: `{"type":"text","text":…}` and whatever else the agent takes.
    package var parts: [JSONValue]

    package init(parts: [JSONValue]) {
        self.parts = parts
    }

    /// A single text part.
    package init(text: String) {
        self.parts = [["type": "text", "text": .string(text)]]
    }

    /// All text parts, joined by newlines: what a `command` worker gets.
    package var text: String {
        self.parts.compactMap { $0["text"]?.text }.joined(separator: "\n")
    }
}

/// A turn that has been given to a deployment: its marker is armed and it is owed an outcome.
package struct ArmedTurn: Sendable, Hashable {
    /// Its identity.
    package let id: TurnID
    /// Its place in the conversation, from 1.
    package let seq: Int64
    /// Present when the turn may write the shared snapshot.
    package let run: RunID?
    /// 1 for the first run of this turn.
    package let attempt: Int
    /// What the user sent.
    package let input: TurnInput
    /// Seconds the worker may take in all; nil for the agent's own limit.
    package let deadlineSeconds: Int?
    /// Cancelled by its client before the worker got it.
    package let cancelRequested: Bool

    package init(
        id: TurnID,
        seq: Int64,
        run: RunID?,
        attempt: Int,
        input: TurnInput,
        deadlineSeconds: Int?,
        cancelRequested: Bool
    ) {
        self.id = id
        self.seq = seq
        self.run = run
        self.attempt = attempt
        self.input = input
        self.deadlineSeconds = deadlineSeconds
        self.cancelRequested = cancelRequested
    }
}
