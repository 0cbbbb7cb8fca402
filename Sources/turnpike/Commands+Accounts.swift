/// The commands for whom workers act as.
extension Commands {
    static let accountList = CommandSpec(
        path: ["account", "list"],
        summary: "list the accounts that workers may act as, and who hosts them",
        options: Self.client + [Self.json],
        details: ["Needs a token with the admin scope."],
        examples: [("turnpike account list", "identity, labels, conversations held, replicas")]
    )

    static let accountAdd = CommandSpec(
        path: ["account", "add"],
        summary: "register an account; provider and principal make it one, a label is its name for people",
        arguments: "PROVIDER PRINCIPAL",
        arity: 2...2,
        options: [
            OptionSpec(name: "--label", value: "TEXT", help: "a name for people; refused when it is another account's"),
            OptionSpec(name: "--pool", value: "NAME", help: "the pool that agents may ask for (default: default)"),
            OptionSpec(name: "--slots", value: "NUMBER", help: "conversations at once on all replicas together"),
        ] + Self.client + [Self.json],
        details: [
            "Doing it again changes only what is named. A replica that hosts an account (setting accounts) registers it",
            "by itself. Needs a token with the admin scope.",
        ],
        examples: [(#"turnpike account add example seat-17 --label "seat 17""#, "an upstream seat")]
    )

    static let accountToken = CommandSpec(
        path: ["account", "token"],
        summary: "create a token that enrols remote workers which act as an account; its secret is shown this once",
        arguments: "ID NAME",
        arity: 2...2,
        options: [OptionSpec(name: "--expires-days", value: "NUMBER", help: "when it ends (default: never)")]
            + Self.client + [Self.json],
        details: [
            "Such a token claims turns of agents with the driver remote, and opens nothing else. token revoke ends it.",
            "Needs a token with the admin scope.",
        ],
        examples: [("turnpike account token 0190a1b2-… my-machine", "for deploy/examples/remote_worker.py")]
    )

    static let accountDelete = CommandSpec(
        path: ["account", "delete"],
        summary: "remove an account and its workers' tokens; its conversations wait for it as for an absent one",
        arguments: "ID",
        arity: 1...1,
        options: Self.client + [Self.json],
        details: ["Needs a token with the admin scope."],
        examples: [("turnpike account delete 0190a1b2-…", "the id is in account list")]
    )
}
