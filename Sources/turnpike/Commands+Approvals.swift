/// The commands for workers' questions and the rules that decide them.
extension Commands {
    static let approvalList = CommandSpec(
        path: ["approval", "list"],
        summary: "list the questions of workers that wait for a decision",
        options: [
            OptionSpec(name: "--state", value: "STATE", help: "pending (default), decided, expired or withdrawn")
        ] + Self.client + [Self.json],
        examples: [("turnpike approval list", "the oldest first, at most 1000")]
    )

    static let approvalDecide = CommandSpec(
        path: ["approval", "decide"],
        summary: "decide a question; the first decision wins",
        arguments: "ID DECISION",
        arity: 2...2,
        options: [OptionSpec(name: "--reason", value: "TEXT", help: "why, for the log and the worker")] + Self.client
            + [Self.json],
        details: [
            "DECISION is allow, deny, or the id of an option that the worker offers. An option for always makes a rule as",
            "well and decides all open questions like it; it needs a token with the agents scope.",
        ],
        examples: [
            ("turnpike approval decide 0190a1b2-… allow", "this once"),
            (#"turnpike approval decide 0190a1b2-… deny --reason "not today""#, "with a reason"),
        ]
    )

    static let ruleList = CommandSpec(
        path: ["rule", "list"],
        summary: "list the standing rules for workers' questions",
        options: Self.client + [Self.json],
        details: ["Needs a token with the agents scope."],
        examples: [("turnpike rule list", "the oldest first, at most 1000")]
    )

    static let ruleAdd = CommandSpec(
        path: ["rule", "add"],
        summary: "decide questions for a tool from now on, or leave them to people each time",
        arguments: "allow|deny|ask TOOL",
        arity: 2...2,
        options: [
            OptionSpec(name: "--agent", value: "NAME", help: "of this agent only (default: of every agent)"),
            OptionSpec(name: "--arguments", value: "JSON", help: "only when the arguments have what this object has"),
            OptionSpec(name: "--reason", value: "TEXT", help: "why, for whoever reads the rule"),
        ] + Self.client + [Self.json],
        details: [
            "TOOL is the name that the questions show; * stands for any text. A denial comes before ask, and ask before an",
            "allowance, whatever the agent's own permissions are. Open questions stay for people. Needs a token with the",
            "agents scope.",
        ],
        examples: [
            ("turnpike rule add allow read_file --agent helper", "of this agent"),
            ("turnpike rule add ask 'delete*'", "people decide, each time"),
        ]
    )

    static let ruleDelete = CommandSpec(
        path: ["rule", "delete"],
        summary: "remove a standing rule",
        arguments: "ID",
        arity: 1...1,
        options: Self.client + [Self.json],
        details: ["Needs a token with the agents scope."],
        examples: [("turnpike rule delete 0190a1b2-…", "the id is in rule list")]
    )
}
