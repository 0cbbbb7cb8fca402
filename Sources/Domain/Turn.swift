/// Where a turn stands. Terminal states are past participles.
package enum TurnState: String, Sendable, Hashable, Codable {
    /// Accepted and durable, not yet given to a worker. Can become: running, failed, cancelled.
    case queued
    /// A worker was given it; a marker stands for the debt. Can become: completed, failed, cancelled, queued (a retry),
    /// parked.
    case running
    /// It waits for people without a worker, first in its queue. Stored as queued: the conversation's row says that it is
    /// parked. Can become: queued, cancelled.
    case parked
    /// Answered.
    case completed
    /// Ended without an answer, with a failure code.
    case failed
    /// Ended because somebody asked for it.
    case cancelled

    /// Whether the turn has its outcome.
    package var isTerminal: Bool {
        switch self {
        case .queued, .running, .parked: false
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
    /// Seconds the worker may take in all, over every run that parked; nil for the agent's own limit.
    package let deadlineSeconds: Int?
    /// Cancelled by its client, or interrupted, before the worker got it.
    package let cancelRequested: Bool
    /// For how long it had run when it parked, which is off its time to run; nil for one that has not parked.
    package let ran: Duration?
    /// It was a newer turn that asked for the end.
    package let isInterrupted: Bool
    /// What was left until its marker's hard deadline when it was handed over, or found; nil where that is not known.
    package let remaining: Duration?

    package init(
        id: TurnID,
        seq: Int64,
        run: RunID?,
        attempt: Int,
        input: TurnInput,
        deadlineSeconds: Int?,
        cancelRequested: Bool,
        ran: Duration? = nil,
        isInterrupted: Bool = false,
        remaining: Duration? = nil
    ) {
        self.remaining = remaining
        self.id = id
        self.seq = seq
        self.run = run
        self.attempt = attempt
        self.input = input
        self.deadlineSeconds = deadlineSeconds
        self.cancelRequested = cancelRequested
        self.ran = ran
        self.isInterrupted = isInterrupted
    }

    /// It was parked: there is something to go on with.
    package var isResumed: Bool { self.ran != nil }
}
