/// Every command of the program. Help texts, the parser and the tests read this list.
enum Commands {
    static let all: [CommandSpec] =
        [
            Self.dev, Self.serve, Self.migrate, Self.doctor, Self.agentList, Self.agentShow, Self.agentPut,
            Self.agentPresets, Self.agentAdd, Self.agentCheck, Self.agentDelete, Self.tokenCreate, Self.tokenList,
            Self.tokenRotate, Self.tokenRevoke, Self.audit, Self.quotaShow, Self.quotaSet, Self.chat,
            Self.snapshotsList, Self.snapshotsExport, Self.snapshotsPrune, Self.snapshotsVerify, Self.fork,
            Self.approvalList, Self.approvalDecide, Self.ruleList,
            Self.ruleAdd, Self.ruleDelete, Self.status, Self.workers, Self.redrive, Self.drain, Self.accountList,
            Self.accountAdd,
            Self.accountDelete, Self.accountToken,
        ] + Self.schedules

    // MARK: Options that several commands share

    /// The settings of the server as flags.
    static let settings: [OptionSpec] =
        [
            OptionSpec(name: "--config", value: "FILE", help: "a JSON object of settings (or TURNPIKE_CONFIG)"),
            OptionSpec(name: "--print-config", value: nil, help: "print the settings in force and end"),
        ] + Setting.allCases.map { OptionSpec(name: $0.flag, value: $0.placeholder, help: $0.help) }

    static let client: [OptionSpec] = [
        OptionSpec(name: "--url", value: "URL", help: "the gateway (TURNPIKE_URL; default http://127.0.0.1:7100)"),
        OptionSpec(name: "--token", value: "TOKEN", help: "an API token (TURNPIKE_TOKEN, TURNPIKE_TOKEN_FILE)"),
        Self.data,
    ]

    static let json = OptionSpec(name: "--json", value: nil, help: "print JSON for scripts")

    private static let data = OptionSpec(
        name: "--data",
        value: "DIR",
        help: "the folder of turnpike dev (TURNPIKE_DATA; default ./.turnpike)"
    )

    // MARK: The server

    static let dev = CommandSpec(
        path: ["dev"],
        summary: "everything on this machine: a private PostgreSQL, an example agent, a token",
        options: [Self.data] + Self.settings,
        details: [
            "Keeps everything in one folder and finds it there on the next run. PostgreSQL listens on a private",
            "socket in that folder and on no port. Without --listen it serves on port 7100, or the next free one.",
            "Ctrl-C stops it.",
        ],
        examples: [("turnpike dev", "start, and print what to try"), ("turnpike dev --data /srv/tp", "elsewhere")]
    )

    static let serve = CommandSpec(
        path: ["serve"],
        summary: "one replica of the gateway, on a PostgreSQL of yours",
        options: Self.settings,
        details: [
            "Start as many as you like on one database; they need nothing else in common. SIGTERM lets running turns",
            "finish. Refuses a database without the current schema (see migrate) or with unsafe settings (see doctor).",
        ],
        examples: [
            ("turnpike serve --config /etc/turnpike.json", "with a file of settings"),
            ("TURNPIKE_DATABASE_URL_FILE=/run/secrets/db turnpike serve", "with a secret from a file"),
        ]
    )

    static let migrate = CommandSpec(
        path: ["migrate"],
        summary: "bring the database's schema up to date",
        options: [
            OptionSpec(name: "--status", value: nil, help: "list the migrations and change nothing"),
            Self.json,
        ] + Self.settings,
        details: ["Safe to run from many places at once, and again."],
        examples: [("turnpike migrate", "apply what is missing"), ("turnpike migrate --status", "only look")]
    )

    static let doctor = CommandSpec(
        path: ["doctor"],
        summary: "look for what would keep the gateway from working, and say how to mend it",
        options: [Self.json] + Self.settings,
        details: ["Changes nothing. Ends with 1 when something fails, with 3 when the database cannot be reached."],
        examples: [("turnpike doctor", "check the settings in force"), ("turnpike doctor --json", "for scripts")]
    )

    // MARK: The client

    static let agentList = CommandSpec(
        path: ["agent", "list"],
        summary: "list the agents",
        options: Self.client + [Self.json],
        examples: [("turnpike agent list", "names and commands")]
    )

    static let agentShow = CommandSpec(
        path: ["agent", "show"],
        summary: "show an agent's configuration as JSON, as agent put --file takes it",
        arguments: "NAME",
        arity: 1...1,
        options: Self.client + [Self.json],
        examples: [("turnpike agent show echo > echo.json", "keep it in a file")]
    )

    static let agentPut = CommandSpec(
        path: ["agent", "put"],
        summary: "create or replace an agent",
        arguments: "NAME [-- PROGRAM ARGUMENT…]",
        arity: 1...1,
        takesRest: true,
        options: [
            OptionSpec(name: "--command", value: nil, help: "says that the program follows after --"),
            OptionSpec(
                name: "--driver",
                value: "acp|command|remote",
                help: "how the program is spoken to (default: acp)"
            ),
            OptionSpec(name: "--store-mode", value: "snapshot|file|none", help: "where its state is kept"),
            OptionSpec(name: "--model", value: "UPSTREAM", help: "whose models it may use through the gateway"),
            OptionSpec(name: "--file", value: "FILE", help: "the whole configuration as JSON; - is standard input"),
        ] + Self.client + [Self.json],
        details: [
            "Either --file, or a program after --. With both, the program and the options replace what the file says."
        ],
        examples: [
            ("turnpike agent put helper -- python3 /opt/helper/agent.py", "an ACP agent"),
            ("turnpike agent put upper --driver command -- tr a-z A-Z", "any program: prompt in, reply out"),
            ("turnpike agent put helper --file helper.json", "everything from a file"),
        ]
    )

    static let agentPresets = CommandSpec(
        path: ["agent", "presets"],
        summary: "list the agents of others that agent add knows",
        options: [Self.json],
        examples: [("turnpike agent presets", "what they are and what they need")]
    )

    static let agentAdd = CommandSpec(
        path: ["agent", "add"],
        summary: "set up an agent of others from its preset, after a start to see that it works",
        arguments: "PRESET",
        arity: 1...1,
        options: [
            OptionSpec(name: "--name", value: "NAME", help: "what it is to be called (default: as the preset)"),
            OptionSpec(
                name: "--set",
                value: "KEY=VALUE",
                help: "a setting of the preset, or a member of the configuration; =@FILE reads a file",
                repeats: true
            ),
            OptionSpec(name: "--print", value: nil, help: "print the configuration and do nothing"),
            OptionSpec(name: "--no-check", value: nil, help: "set it up without starting it"),
        ] + Self.client + [Self.json],
        details: [
            "The check runs where the workers run, on the replica that is asked, and needs a token with the admin scope."
        ],
        examples: [
            (
                "turnpike agent add hermes --set base_url=http://127.0.0.1:8080/v1 --set model=qwen3",
                "with a model of yours"
            ),
            ("turnpike agent add vibe --set program=/opt/vibe/bin/vibe-acp", "installed off the search path"),
            ("turnpike agent add vibe --set permissions=allow --print", "look first"),
        ]
    )

    static let agentCheck = CommandSpec(
        path: ["agent", "check"],
        summary: "start an agent once and say what it can do",
        arguments: "NAME",
        arity: 1...1,
        options: [
            OptionSpec(name: "--file", value: "FILE", help: "try this configuration instead; nothing is stored")
        ] + Self.client + [Self.json],
        details: [
            "Starts it on the replica that is asked, outside every conversation, and leaves nothing. Ends with 1 when the",
            "agent does not start. Needs a token with the admin scope.",
        ],
        examples: [
            ("turnpike agent check hermes", "the agent as it is set up"),
            ("turnpike agent check new --file new.json", "one that is not set up yet"),
        ]
    )

    static let agentDelete = CommandSpec(
        path: ["agent", "delete"],
        summary: "delete an agent",
        arguments: "NAME",
        arity: 1...1,
        options: Self.client + [Self.json],
        examples: [("turnpike agent delete helper", "its conversations stay readable")]
    )

    static let tokenCreate = CommandSpec(
        path: ["token", "create"],
        summary: "create an API token; its secret is shown this once",
        arguments: "NAME",
        arity: 1...1,
        options: [
            OptionSpec(
                name: "--scope",
                value: "SCOPE",
                help: "turns, agents, admin or operator (default: turns)",
                repeats: true
            ),
            OptionSpec(name: "--expires-days", value: "NUMBER", help: "when it ends (default: never)"),
            OptionSpec(name: "--direct", value: nil, help: "write it into the database, for the very first token"),
        ] + Self.client + [Self.json] + Self.settings.filter { $0.name != "--print-config" },
        examples: [
            ("turnpike token create ci --scope turns --expires-days 90", "through the gateway"),
            ("turnpike token create first --direct --scope admin --scope operator", "a new installation's first"),
        ]
    )

    static let tokenList = CommandSpec(
        path: ["token", "list"],
        summary: "list the tokens, without their secrets",
        options: Self.client + [Self.json],
        examples: [("turnpike token list", "newest first")]
    )

    static let tokenRevoke = CommandSpec(
        path: ["token", "revoke"],
        summary: "revoke a token, on every replica within a second",
        arguments: "ID",
        arity: 1...1,
        options: Self.client + [Self.json],
        examples: [("turnpike token revoke 0190a1b2-…", "the id is in token list")]
    )

    static let chat = CommandSpec(
        path: ["chat"],
        summary: "talk to an agent",
        arguments: "[TEXT]",
        arity: 0...1,
        options: [
            OptionSpec(name: "--agent", value: "NAME", help: "the agent (default: default)"),
            OptionSpec(name: "--conversation", value: "NAME", help: "go on with this one (default: a new one)"),
        ] + Self.client,
        details: [
            "With TEXT: one turn, the reply on standard output, and 4 as the exit code when there is none.",
            "Without: one turn a line. Ctrl-C cancels the running turn, a second Ctrl-C leaves, and so does Ctrl-D.",
            "At a terminal it puts the worker's questions to you; a script is told on standard error where to decide.",
        ],
        examples: [
            ("turnpike chat", "a conversation"),
            (#"turnpike chat "What is in this folder?" --agent helper"#, "a question from a script"),
        ]
    )

    static let status = CommandSpec(
        path: ["status"],
        summary: "replicas, workers and dead letters",
        options: Self.client + [Self.json],
        details: ["Needs a token with the operator scope."],
        examples: [("turnpike status", "one screen"), ("turnpike status --json", "for scripts")]
    )

    static let workers = CommandSpec(
        path: ["workers"],
        summary: "the workers of the replica that answers, and agents that do not start there",
        options: Self.client + [Self.json],
        details: ["Needs a token with the operator scope."],
        examples: [
            ("turnpike workers", "state, process, age, memory, processor time"), ("turnpike workers --json", "all"),
        ]
    )

    static let redrive = CommandSpec(
        path: ["redrive"],
        summary: "send a dead letter again, as a new turn",
        arguments: "TURN",
        arity: 1...1,
        options: Self.client + [Self.json],
        details: [
            "The new turn has the same input and goes to the end of the same conversation; the old one keeps its outcome.",
            "Once: asked for again it names the same turn. Needs a token with the operator scope.",
        ],
        examples: [("turnpike redrive 0190a1b2-…", "the turn is in status")]
    )

    static let drain = CommandSpec(
        path: ["drain"],
        summary: "empty a replica: it claims nothing more and hands its conversations over",
        options: [
            OptionSpec(name: "--replica", value: "ID", help: "which one (default: the one that answers)"),
            OptionSpec(name: "--timeout", value: "SECONDS", help: "how long to wait until it is empty (default: 60)"),
        ] + Self.client + [Self.json],
        details: [
            "Running turns finish first. The replica is not ready from then on, answers until it is stopped, and never",
            "serves again: stop it and start another. Ends with 1 when it is not empty in time; asking again is harmless.",
            "Needs a token with the operator scope.",
        ],
        examples: [
            ("turnpike drain --replica 0190a1b2-…", "the id is in status"),
            ("turnpike drain --url http://10.0.0.7:7100 --timeout 300", "this one, with time for long turns"),
        ]
    )
}
