/// Who may ask, and who did what.
extension Commands {
    static let tokenRotate = CommandSpec(
        path: ["token", "rotate"],
        summary: "give a token another secret, which is shown this once",
        arguments: "ID",
        arity: 1...1,
        options: [
            OptionSpec(
                name: "--overlap",
                value: "SECONDS",
                help: "how long the secret before stays good (default: 3600; 0: it leaked)"
            )
        ] + Self.client + [Self.json],
        examples: [
            ("turnpike token rotate 0190a1b2-…", "put the new one in place within the hour"),
            ("turnpike token rotate 0190a1b2-… --overlap 0", "the old one has become known"),
        ]
    )

    static let audit = CommandSpec(
        path: ["audit"],
        summary: "who changed what, the newest first",
        options: [
            OptionSpec(name: "--org", value: "NAME", help: "one organization's entries (operators only)"),
            OptionSpec(name: "--limit", value: "NUMBER", help: "how many, up to 1000 (default: 100)"),
            OptionSpec(name: "--before", value: "NUMBER", help: "go on before this entry"),
        ] + Self.client + [Self.json],
        details: ["Needs a token with the scope admin, for its organization, or operator, for all of them."],
        examples: [("turnpike audit --limit 20", "the last changes"), ("turnpike audit --json", "for scripts")]
    )
}
