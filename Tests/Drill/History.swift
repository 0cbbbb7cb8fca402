import Domain

/// How a turn ended, as somebody saw it.
struct SeenOutcome: Sendable, Hashable {
    let state: String
    let code: String?
    /// The reply, or the part of it that had come.
    let text: String
}

/// One event as somebody read it, or as the database has it.
struct LoggedEvent: Sendable, Hashable {
    let seq: Int
    let type: String
    let turn: String

    var isTerminal: Bool { ["turn.completed", "turn.failed", "turn.cancelled"].contains(self.type) }
}

/// One turn as its client lived it.
struct ClientTurn: Sendable {
    let client: String
    /// Organization, agent and conversation, as in the database.
    let conversation: String
    /// The client key; also the item that the worker is to append.
    let key: String
    /// Since the run began.
    let begun: Duration
    /// What each try to submit it came to.
    var answers: [String] = []
    /// The turns that the gateway called it; more than one is a violation.
    var turns: [String] = []
    /// Refused with `conversation_busy`, as the client had asked for.
    var isRefused = false
    var wantedCancel = false
    /// What its outcome was each time it was read.
    var seen: [SeenOutcome] = []
    /// What it read as a stream, over all connections; nil when it read none.
    var stream: [LoggedEvent]?
    /// How many connections the stream took.
    var connections = 0
    /// Why it gave up.
    var problem: String?

    /// Tries that did not succeed at once.
    var setbacks: [String] { self.answers.filter { !["submit 200 ", "submit 202 "].contains($0) } }
    /// Whether its stream broke off and went on elsewhere.
    var isResumed: Bool { self.answers.contains { $0.hasPrefix("resume 200") } }
}

/// A whole conversation's log as one reader read it from its beginning, over any number of connections.
struct LogReading: Sendable {
    let conversation: String
    var events: [LoggedEvent] = []
    var connections = 0
    /// How many of them broke off after some events, and not by the reader's wish.
    var breaks = 0
}

/// A turn as the database has it.
struct TurnEvidence: Sendable {
    let turn: String
    let seq: Int
    let key: String?
    let state: String
    let attempt: Int
    let outcome: SeenOutcome?
}

/// A snapshot as the database has it.
struct SnapshotEvidence: Sendable {
    let seq: Int
    let parent: Int
    let isBase: Bool
    let body: String
    let epoch: Int
    let nonce: String
}

/// A conversation as the database has it.
struct ConversationEvidence: Sendable {
    let name: String
    var head = 0
    var lastEvent = 0
    var queued = 0
    /// What still points at it: a running turn, an owner, a claim.
    var ties: [String] = []
    /// In the order of their numbers.
    var turns: [TurnEvidence] = []
    var events: [LoggedEvent] = []
    var snapshots: [SnapshotEvidence] = []
}

/// Everything that is known after a run.
struct History: Sendable {
    var turns: [ClientTurn] = []
    var readings: [LogReading] = []
    var conversations: [ConversationEvidence] = []
}

/// Something that must not be.
struct Violation: Sendable, Hashable, CustomStringConvertible {
    let check: String
    /// Empty when it is none of a conversation.
    let conversation: String
    let message: String

    var description: String {
        "\(self.check): \(self.conversation.isEmpty ? "" : "\(self.conversation): ")\(self.message)"
    }
}

/// The worker's list as a reply or a snapshot says it.
enum ItemList {
    /// The items; what the worker said while it thought is left out.
    static func items(_ text: String) -> [String] {
        text.drop { $0 == "~" }.split(separator: "\n").map(String.init)
    }
}
