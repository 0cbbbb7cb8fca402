package import Domain

/// What a worker asks before it does something.
package struct PermissionQuestion: Sendable, Hashable {
    /// The JSON-RPC id of the question as JSON text: `7` and `"7"` are two questions. Unique among those that wait.
    package let id: String
    /// What it wants to do. Its id may belong to no tool the turn has shown.
    package let tool: ToolActivity
    /// What may be answered, in the worker's order.
    package let options: [PermissionOption]

    package init(id: String, tool: ToolActivity, options: [PermissionOption]) {
        self.id = id
        self.tool = tool
        self.options = options
    }
}

/// One answer that a worker offers.
package struct PermissionOption: Sendable, Hashable {
    /// Its identity.
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
}

extension PermissionOption {
    /// The same, as it was stored.
    package init(_ option: ApprovalOption) {
        self.init(id: option.id, name: option.name, kind: option.kind)
    }
}

/// How a question is answered.
package enum PermissionAnswer: Sendable, Hashable {
    /// The option with this id; an id that was not offered counts as cancelled.
    case select(String)
    /// Nobody decided, or nothing offered fits.
    case cancelled
}

extension PermissionPolicy {
    /// The answer when nobody is there to decide: the first option for this once, never one for always, because an
    /// agent may offer two of a kind of which the later one is an escalation. Where people are to be asked but cannot be,
    /// that is a denial.
    package func answer(_ options: [PermissionOption]) -> PermissionAnswer {
        let kind =
            switch self {
            case .allow: "allow_once"
            case .deny, .ask: "reject_once"
            }
        return options.first { $0.kind == kind }.map { .select($0.id) } ?? .cancelled
    }
}
