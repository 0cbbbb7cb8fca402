// A worker's question to the people of its organization, as values.

/// Where a question stands.
package enum ApprovalState: String, Sendable, Hashable, CaseIterable {
    /// Nobody has decided. Can become: all others.
    case pending
    /// Somebody has.
    case decided
    /// Nobody did in time; that is no denial.
    case expired
    /// The turn ended, or was cancelled, before anybody decided.
    case withdrawn
}

/// One answer that the worker offers.
package struct ApprovalOption: Sendable, Hashable, Codable {
    /// Its identity within the question.
    package let id: String
    /// A name for people.
    package let name: String
    /// `allow_once`, `allow_always`, `reject_once`, `reject_always`, or what the worker made up.
    package let kind: String

    package init(id: String, name: String, kind: String) {
        self.id = id
        self.name = name
        self.kind = kind
    }

    fileprivate var json: JSONValue {
        ["id": .string(self.id), "name": .string(self.name), "kind": .string(self.kind)]
    }
}

/// A question before it has been stored.
package struct ApprovalQuestion: Sendable, Hashable {
    /// Its identity.
    package let id: ApprovalID
    /// The tool whose use is in question, as the worker names it.
    package let tool: ApprovalTool
    /// What the tool would be given; nil when the worker did not say.
    package let arguments: JSONValue?
    /// What may be answered, in the worker's order.
    package let options: [ApprovalOption]
    /// Seconds until it expires.
    package let lifetimeSeconds: Int

    package init(
        id: ApprovalID,
        tool: ApprovalTool,
        arguments: JSONValue?,
        options: [ApprovalOption],
        lifetimeSeconds: Int
    ) {
        self.id = id
        self.tool = tool
        self.arguments = arguments
        self.options = options
        self.lifetimeSeconds = lifetimeSeconds
    }

    /// What makes two questions of one turn the same.
    package var subject: JSONValue {
        ["name": .string(self.tool.name), "arguments": self.arguments ?? .null]
    }

    /// The members of its event; the log adds when it expires.
    package var json: JSONValue {
        [
            "approval": .string(self.id.text),
            "tool": ["id": .string(self.tool.id), "name": .string(self.tool.name)],
            "arguments": self.arguments ?? .null,
            "options": .array(self.options.map(\.json)),
        ]
    }
}

/// The tool that a question is about.
package struct ApprovalTool: Sendable, Hashable, Codable {
    /// The worker's id of the call. It may belong to no tool that the turn has shown.
    package let id: String
    /// A name for people.
    package let name: String

    package init(id: String, name: String) {
        self.id = id
        self.name = name
    }
}

/// How a question ended.
package struct ApprovalResolution: Sendable, Hashable {
    /// The question.
    package let id: ApprovalID
    /// Decided or expired.
    package let state: ApprovalState
    /// The chosen option's id, when decided.
    package let decision: String?
    /// Why, in the words of whoever decided.
    package let reason: String?
    /// The token that decided.
    package let decidedBy: TokenID?
    /// The rule that decided, or that this decision made.
    package let rule: ApprovalRuleID?
    /// What the question was, where the log has not shown it.
    package let question: ApprovalQuestion?

    package init(
        id: ApprovalID,
        state: ApprovalState,
        decision: String?,
        reason: String? = nil,
        decidedBy: TokenID? = nil,
        rule: ApprovalRuleID? = nil,
        question: ApprovalQuestion? = nil
    ) {
        self.id = id
        self.rule = rule
        self.question = question
        self.state = state
        self.decision = decision
        self.reason = reason
        self.decidedBy = decidedBy
    }

    /// The members of its event.
    package var json: JSONValue {
        var members: [String: JSONValue] = ["approval": .string(self.id.text), "state": .string(self.state.rawValue)]
        if let decision { members["decision"] = .string(decision) }
        if let reason { members["reason"] = .string(reason) }
        if let decidedBy { members["decided_by"] = .string(decidedBy.text) }
        if let rule { members["rule"] = .string(rule.text) }
        if let question {
            for name in ["tool", "arguments"] { members[name] = question.json[name] }
        }
        return .object(members)
    }
}

/// What somebody decides, before it is held against what the worker offers.
package enum ApprovalWish: Sendable, Hashable {
    /// This once, never always.
    case allow
    /// This once, never always.
    case deny
    /// Exactly this option.
    case option(String)

    /// `allow`, `deny`, or an option's id.
    package init(_ text: String) {
        switch text {
        case "allow": self = .allow
        case "deny": self = .deny
        default: self = .option(text)
        }
    }

    /// The id to answer with; nil when the worker offers nothing that fits.
    ///
    /// An agent may offer two options of a kind of which the later one is an escalation, so the first of a kind is
    /// taken. A denial is always possible: where nothing is offered for it, its own word names no option, which a worker
    /// hears as "cancelled".
    package func choice(of options: [ApprovalOption]) -> String? {
        switch self {
        case .allow: Self.first("allow_once", of: options)
        case .deny: Self.first("reject_once", of: options) ?? "deny"
        case .option(let id): Self.storable(options).first { $0.id == id }?.id
        }
    }

    private static func first(_ kind: String, of options: [ApprovalOption]) -> String? {
        self.storable(options).first { $0.kind == kind }?.id
    }

    /// Options whose id a decision can hold.
    private static func storable(_ options: [ApprovalOption]) -> [ApprovalOption] {
        options.filter { !$0.id.isEmpty && $0.id.utf8.count <= 1_000 && !$0.id.utf8.contains(0) }
    }
}

/// A stored question as its organization sees it.
package struct ApprovalRecord: Sendable, Hashable {
    /// Its identity.
    package var id: ApprovalID
    /// The row by which the database knows the conversation.
    package var number: ConversationNumber
    /// The agent that serves it.
    package var agent: String
    /// Nil for a direct turn.
    package var conversation: String?
    /// The turn that waits for it.
    package var turn: TurnID
    /// The tool whose use is in question.
    package var tool: ApprovalTool
    /// What the tool would be given, as JSON text.
    package var arguments: String?
    /// SHA-256 over the tool's name and the arguments, as hexadecimal digits.
    package var argumentsHash: String
    /// What may be answered, in the worker's order.
    package var options: [ApprovalOption]
    /// Where it stands.
    package var state: ApprovalState
    /// The chosen option's id, when decided.
    package var decision: String?
    /// The token that decided.
    package var decidedBy: String?
    /// The rule that decided; nil for a person, or for nobody yet.
    package var rule: ApprovalRuleID?
    /// Why, in the words of whoever decided.
    package var reason: String?
    /// The call of a parked turn, by the worker's name; nil where the worker itself waits.
    package var call: String?
    /// How far that call got.
    package var callState: CallState?
    /// RFC 3339 in UTC.
    package var askedAt: String
    /// When it expires, RFC 3339 in UTC.
    package var expiresAt: String
    /// When it was decided or expired, RFC 3339 in UTC; nil before that.
    package var decidedAt: String?
    /// The replica that holds the conversation.
    package var ownerReplica: ReplicaID?

    package init(
        id: ApprovalID,
        number: ConversationNumber,
        agent: String,
        conversation: String?,
        turn: TurnID,
        tool: ApprovalTool,
        arguments: String?,
        argumentsHash: String,
        options: [ApprovalOption],
        state: ApprovalState,
        decision: String?,
        decidedBy: String?,
        rule: ApprovalRuleID? = nil,
        reason: String?,
        call: String? = nil,
        callState: CallState? = nil,
        askedAt: String,
        expiresAt: String,
        decidedAt: String?,
        ownerReplica: ReplicaID?
    ) {
        self.id = id
        self.number = number
        self.agent = agent
        self.conversation = conversation
        self.turn = turn
        self.tool = tool
        self.arguments = arguments
        self.argumentsHash = argumentsHash
        self.options = options
        self.state = state
        self.decision = decision
        self.decidedBy = decidedBy
        self.rule = rule
        self.reason = reason
        self.call = call
        self.callState = callState
        self.askedAt = askedAt
        self.expiresAt = expiresAt
        self.decidedAt = decidedAt
        self.ownerReplica = ownerReplica
    }
}
