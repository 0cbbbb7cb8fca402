import Domain

/// Parts of the schema of an agent's configuration. They say what `AgentConfiguration.problems` checks, as far as a schema
/// can: sizes taken together, and names that must differ, are checked only there.
enum AgentSchemas {
    /// A plain absolute path, not in /proc, /sys or /dev.
    static let path: JSONValue = [
        "type": "string",
        "pattern": #"^(?!/(proc|sys|dev)(/|$))(/(?!\.{1,2}(/|$))[^/\x00]+)+$"#,
    ]

    /// How state gets into snapshots; patterns are for directories.
    static let snapshots = Schema.either(
        Schema.object(
            ["kind": Schema.orNull(["const": "blob"]), "include": Self.nothing, "exclude": Self.nothing],
            optional: ["kind", "include", "exclude"],
            isClosed: true
        ),
        Schema.object(
            ["kind": ["const": "directory"], "include": Self.patterns, "exclude": Self.patterns],
            optional: ["include", "exclude"],
            isClosed: true
        )
    )

    private static let nothing = Schema.orNull(["type": "array", "maxItems": 0])

    private static let patterns = Schema.orNull([
        "type": "array", "maxItems": 200,
        "items": [
            "type": "string", "maxLength": 1_000,
            "pattern":
                #"^(?!!)((?!\.{1,2}/?$)[^/\x00]+|(home|work|[^/\x00]*[*?\[][^/\x00]*)(/(?!\.{1,2}(/|$))[^/\x00]+)+)/?$"#,
        ],
    ])

    /// The account that its workers act as.
    static let account = Schema.request(
        [
            "provider": Schema.name, "pool": Schema.name, "label": Schema.line(1...200),
            "on_absence": Schema.choice(AbsencePolicy.allCases.map(\.rawValue)),
            "grace_seconds": Schema.integer(0...604_800),
        ],
        required: ["provider"]
    )

    /// A tool server: a program, or an address.
    static let server = Schema.either(
        Schema.object(
            [
                "name": Schema.something, "type": Schema.orNull(["const": "stdio"]),
                "command": ["type": "string", "pattern": "^/"],
                "args": Schema.orNull(Schema.list(Schema.text)), "env": Self.pairs, "url": ["type": "null"],
                "headers": Self.nothing,
            ],
            optional: ["type", "args", "env", "url", "headers"],
            isClosed: true
        ),
        Schema.object(
            [
                "name": Schema.something, "type": Schema.choice(["http", "sse"]),
                "url": ["type": "string", "pattern": "^https?://"],
                "headers": Self.pairs, "command": ["type": "null"], "args": Self.nothing, "env": Self.nothing,
            ],
            optional: ["headers", "command", "args", "env"],
            isClosed: true
        )
    )

    private static let pairs = Schema.orNull(
        Schema.list(Schema.object(["name": Schema.something, "value": Schema.text], isClosed: true))
    )

    /// What the members mean together.
    static let rules: [String: JSONValue] = [
        "allOf": [
            [
                "if": ["properties": ["driver": ["const": "remote"]], "required": ["driver"]],
                // Nothing is started for it here.
                "then": [
                    "properties": [
                        "command": Self.nothing, "mcp_servers": Self.nothing, "account": ["type": "object"],
                        "isolation": ["enum": ["none", nil]], "model": ["type": "null"],
                        "snapshots": Schema.orNull(["properties": ["kind": ["enum": ["blob", nil]]]]),
                    ],
                    "required": ["account"],
                ],
                "else": ["properties": ["command": ["type": "array", "minItems": 1]], "required": ["command"]],
            ],
            [
                "if": ["properties": ["network": ["const": "none"]], "required": ["network"]],
                "then": ["properties": ["model": ["type": "null"]]],
            ],
            [
                "if": ["properties": ["driver": ["const": "command"]], "required": ["driver"]],
                "then": [
                    "properties": ["warm": ["enum": [0, nil]], "mcp_servers": Self.nothing],
                    // A program that is run once a turn has nobody to hand its state over.
                    "anyOf": [
                        ["properties": ["store_mode": ["enum": ["file", "none", nil]]]],
                        [
                            "properties": [
                                "snapshots": Schema.object(["kind": ["const": "directory"]])
                            ],
                            "required": ["snapshots"],
                        ],
                    ],
                ],
            ],
            [
                "if": ["properties": ["account": ["type": "object"]], "required": ["account"]],
                "then": ["properties": ["warm": ["enum": [0, nil]]]],
            ],
            [
                "if": ["properties": ["isolation": ["const": "sandbox"]], "required": ["isolation"]],
                "else": ["properties": ["network": ["enum": ["host", nil]], "read_only_paths": Self.nothing]],
            ],
        ]
    ]
}
