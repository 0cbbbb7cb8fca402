// A turn that waits for people without a worker, as values.

/// What a worker leaves when it parks its turn.
package struct Parking: Sendable, Hashable {
    /// What it wants to be given when the turn goes on.
    package let continuation: [UInt8]
    /// What it would do, each once people have decided; at least one, each under its own name.
    package let calls: [ParkedCall]
    /// The reply so far.
    package var said = ""

    package init(continuation: [UInt8], calls: [ParkedCall]) {
        self.continuation = continuation
        self.calls = calls
    }
}

/// The call of a tool that a parked turn waits for.
package struct ParkedCall: Sendable, Hashable {
    /// The worker's name for it, unique within the turn.
    package let call: String
    /// The tool.
    package let tool: ApprovalTool
    /// What the tool would be given; nil when the worker did not say.
    package let arguments: JSONValue?
    /// What may be answered, in the worker's order.
    package let options: [ApprovalOption]
    /// The worker says that a second call does no harm.
    package let isIdempotent: Bool

    package init(
        call: String,
        tool: ApprovalTool,
        arguments: JSONValue?,
        options: [ApprovalOption],
        isIdempotent: Bool
    ) {
        self.call = call
        self.tool = tool
        self.arguments = arguments
        self.options = options
        self.isIdempotent = isIdempotent
    }

    /// Options of a call for which the worker names none.
    package static let plainOptions = [
        ApprovalOption(id: "allow", name: "Allow", kind: "allow_once"),
        ApprovalOption(id: "deny", name: "Deny", kind: "reject_once"),
    ]
}

/// How far a call got.
package enum CallState: String, Sendable, Hashable, CaseIterable {
    /// Nobody has begun it. Can become: started.
    case pending
    /// A run has begun it. Can become: done, unknown, and pending again where that does no harm.
    case started
    /// It ended, and its result is known.
    case done
    /// The run that had begun it died: what came of it is not known, and it is never begun again.
    case unknown
}

/// A call as the worker that goes on with its turn sees it.
package struct CallRecord: Sendable, Hashable {
    /// The worker's name for it.
    package let call: String
    /// Its question.
    package let approval: ApprovalID
    /// What people were shown that the tool would be given.
    package let arguments: JSONValue?
    /// How far it got.
    package let state: CallState
    /// The term that started it.
    package let epoch: Int64?
    /// What it gave back.
    package let result: JSONValue?
    /// How its question stands.
    package let verdict: ApprovalState
    /// The chosen option's id, when decided.
    package let decision: String?
    /// Why, in the words of whoever decided.
    package let reason: String?
    /// What could have been answered.
    package let options: [ApprovalOption]

    package init(
        call: String,
        approval: ApprovalID,
        arguments: JSONValue?,
        state: CallState,
        epoch: Int64?,
        result: JSONValue?,
        verdict: ApprovalState,
        decision: String?,
        reason: String?,
        options: [ApprovalOption]
    ) {
        self.call = call
        self.approval = approval
        self.arguments = arguments
        self.state = state
        self.epoch = epoch
        self.result = result
        self.verdict = verdict
        self.decision = decision
        self.reason = reason
        self.options = options
    }

    /// Whether people, or a rule, allowed it.
    package var isAllowed: Bool {
        self.verdict == .decided && self.options.first { $0.id == self.decision }?.allows == true
    }
}

/// What a run that goes on with a parked turn is given.
package struct Resumption: Sendable, Hashable {
    /// What the worker left.
    package let continuation: [UInt8]
    /// The reply so far.
    package let said: String
    /// All calls of the turn, in the order in which they were asked for.
    package let calls: [CallRecord]

    package init(continuation: [UInt8], said: String, calls: [CallRecord]) {
        self.continuation = continuation
        self.said = said
        self.calls = calls
    }
}

/// What a worker says about a call of its turn.
package enum CallNote: Sendable, Hashable {
    /// It is about to begin, and does not before it has the answer; with these arguments, where the worker says so.
    case start(call: String, arguments: JSONValue?)
    /// It is over, with this result.
    case done(call: String, result: JSONValue?)
}

/// What the worker is answered.
package enum CallVerdict: Sendable, Hashable {
    /// Begin it, now and once; or its end is noted.
    case granted
    /// Do not; how far it got, or that it was not allowed.
    case refused(String)
    /// Nothing more that this run does counts.
    case fenced
}
