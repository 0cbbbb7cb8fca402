import Domain
import Gateway

/// The named schemas of `/openapi.json`.
enum Components {
    static let all = Self.shared.merging(Self.native) { first, _ in first }
        .merging(Self.dialects) { first, _ in first }.merging(Self.agents) { first, _ in first }
        .merging(Self.accounts) { first, _ in first }.merging(MessageSchemas.all) { first, _ in first }

    private static let shared: [String: JSONValue] = [
        "Any": Schema.map,
        "Empty": Schema.object([:], isClosed: true),
        // One event of a stream; in the native API its data is JSON and its id its number in the log.
        "StreamedEvent": Schema.object(
            ["id": Schema.text, "event": Schema.text, "data": Schema.text],
            optional: ["id", "event"]
        ),
        "Status": Schema.object(["status": Schema.text]),
        "Organization": Schema.object(["id": Schema.name]),
        "Error": Schema.object([
            "error": Schema.object([
                "type": Schema.text, "code": Schema.text, "message": Schema.text, "param": Schema.orNull(Schema.text),
                "request_id": Schema.orNull(Schema.text),
            ])
        ]),
        "Replica": Schema.object([
            "id": Schema.uuid, "label": Schema.text, "draining": Schema.flag, "workers": Schema.number,
            "conversations": Schema.number,
        ]),
        "OneReplica": Schema.object(["replica": Schema.reference("Replica")]),
        "Replicas": Schema.object(["replicas": Schema.list(Schema.reference("Replica"))]),
        "Snapshots": Schema.object([
            "snapshots": Schema.list(Schema.object(["seq": Schema.number, "kind": Schema.text])),
            "next": Schema.orNull(Schema.number),
        ]),
        "Pruned": Schema.object(["links": Schema.number, "bytes": Schema.number]),
        "Fork": Schema.request(
            ["conversation": Schema.name, "from_seq": Schema.integer(1...Int64.max)],
            required: ["conversation"]
        ),
        "Workers": Schema.object([
            "workers": Schema.list(Schema.object(["state": Schema.text, "pid": Schema.number, "agent": Schema.name])),
            "circuits": Schema.list(Schema.object(["agent": Schema.name, "state": Schema.text])),
        ]),
        "Quota": Schema.request(
            Dictionary(
                uniqueKeysWithValues: QuotaCap.allCases.map { ($0.rawValue, Schema.integer(0...Int64(Quota.largest))) }
            ),
            required: []
        ),
        "Quotas": Schema.object([
            "quota": Schema.reference("Quota"), "own": Schema.reference("Quota"), "ceiling": Schema.reference("Quota"),
            "open_turns": Schema.number,
        ]),
        "DeadLetter": Schema.object(
            ["turn": Schema.uuid, "code": Schema.text, "redriven_as": Schema.uuid],
            optional: ["redriven_as"]
        ),
        "OneDeadLetter": Schema.object(["dead_letter": Schema.reference("DeadLetter")]),
        "DeadLetters": Schema.object(["dead_letters": Schema.list(Schema.reference("DeadLetter"))]),
        "Organizations": Schema.object(
            ["organizations": Schema.list(Schema.reference("Organization")), "next": Schema.orNull(Schema.name)]
        ),
        "TokenRequest": Schema.request(
            [
                "name": Schema.line(1...128),
                "expires_in_seconds": Schema.integer(1...315_360_000),
                "scopes": Schema.list(Schema.choice(Scope.allCases.map(\.rawValue)), atLeast: 1),
            ],
            required: ["name", "scopes"]
        ),
        "Token": Schema.object(
            ["id": Schema.uuid, "name": Schema.text, "scopes": Schema.list(Schema.text), "secret": Schema.text],
            optional: ["secret"]
        ),
        "OneToken": Schema.object(["token": Schema.reference("Token")]),
        "Tokens": Schema.object(["tokens": Schema.list(Schema.reference("Token"))]),
        "Rotation": Schema.request(["overlap_seconds": Schema.integer(0...2_592_000)], required: []),
        "Audit": Schema.object([
            "entries": Schema.list(
                Schema.object([
                    "id": Schema.number, "at": Schema.text, "organization": Schema.orNull(Schema.name),
                    "actor": Schema.text, "action": Schema.text, "subject": Schema.text, "details": Schema.map,
                ])
            ),
            "next": Schema.orNull(Schema.number),
        ]),
        "Session": Schema.object(["session": Schema.map]),
        "Speaker": Schema.object(["organization": Schema.name, "scopes": Schema.list(Schema.text)]),
    ]

    /// Five fields or a word for them; `CronExpression` looks at their values.
    private static let cron =
        "^ *(@(hourly|daily|weekly|monthly|yearly)|[-*/,0-9A-Za-z]+( +[-*/,0-9A-Za-z]+){4}) *$"

    private static let native: [String: JSONValue] = [
        "TurnRequest": Schema.request(
            [
                "input": Schema.reference("Input"),
                "on_busy": Schema.choice(BusyPolicy.allCases.map(\.rawValue)),
                "deadline_seconds": Schema.integer(1...86_400),
                "metadata": Schema.map, "client_key": Schema.text(1...200, pattern: "^[ -~]+$"),
                "on_disconnect": Schema.choice(["continue", "cancel"]),
            ],
            required: ["input"]
        ),
        "ScheduleRequest": Schema.request(
            [
                "agent": Schema.name, "cron": Schema.text(1...200, pattern: Self.cron),
                "time_zone": Schema.text(1...100),
                "catch_up": Schema.choice(CatchUp.allCases.map(\.rawValue)), "paused": Schema.flag,
                "input": Schema.reference("Input"),
            ],
            required: ["cron", "input"]
        ),
        "Schedule": Schema.object([
            "id": Schema.name, "agent": Schema.name, "cron": Schema.text, "time_zone": Schema.text,
            "catch_up": Schema.text, "input": Schema.list(Schema.map), "paused": Schema.flag, "runs": Schema.number,
            "next_at": Schema.orNull(Schema.time), "last_at": Schema.orNull(Schema.time),
            "last_turn": Schema.orNull(Schema.uuid), "problem": Schema.orNull(Schema.text),
            "created_at": Schema.time, "updated_at": Schema.time,
        ]),
        "OneSchedule": Schema.object(["schedule": Schema.reference("Schedule")]),
        "Schedules": Schema.object([
            "schedules": Schema.list(Schema.reference("Schedule")), "next": Schema.orNull(Schema.name),
        ]),
        "SubmittedTurn": Schema.object([
            "turn": Schema.object([
                "id": Schema.uuid, "seq": Schema.number, "position": Schema.number,
                "wait_seconds": Schema.orNull(Schema.number),
            ])
        ]),
        "Turn": Schema.object([
            "id": Schema.uuid, "seq": Schema.number, "agent": Schema.name, "state": Schema.text,
            "position": Schema.number, "wait_seconds": Schema.orNull(Schema.number),
            "input": Schema.list(Schema.map), "outcome": Schema.orNull(Schema.map),
        ]),
        "OneTurn": Schema.object(["turn": Schema.reference("Turn")]),
        "Turns": Schema.object(["turns": Schema.list(Schema.reference("Turn")), "next": Schema.orNull(Schema.number)]),
        "Events": Schema.object([
            "events": Schema.list(Schema.object(["seq": Schema.number, "type": Schema.text, "turn": Schema.uuid])),
            "next": Schema.orNull(Schema.number),
        ]),
        "Conversation": Schema.object([
            "id": Schema.name, "agent": Schema.name, "last_turn": Schema.number, "backend": Schema.orNull(Schema.text),
        ]),
        "Conversations": Schema.object([
            "conversations": Schema.list(Schema.reference("Conversation")), "next": Schema.orNull(Schema.name),
        ]),
        "Approval": Schema.object(["id": Schema.uuid, "turn": Schema.uuid, "state": Schema.text]),
        "OneApproval": Schema.object(["approval": Schema.reference("Approval")]),
        "Approvals": Schema.object([
            "approvals": Schema.list(Schema.reference("Approval")), "next": Schema.orNull(Schema.uuid),
        ]),
        "ApprovalRule": Schema.object([
            "id": Schema.uuid, "agent": Schema.orNull(Schema.name), "tool": Schema.text, "effect": Schema.text,
        ]),
        "OneApprovalRule": Schema.object(["rule": Schema.reference("ApprovalRule")]),
        "ApprovalRules": Schema.object([
            "rules": Schema.list(Schema.reference("ApprovalRule")), "next": Schema.orNull(Schema.uuid),
        ]),
        "ApprovalRuleRequest": Schema.request(
            [
                "effect": Schema.choice(ApprovalEffect.allCases.map(\.rawValue)), "tool": Schema.text(1...1_000),
                "agent": Schema.name, "arguments": Schema.map, "reason": Schema.text(1...1_000),
            ],
            required: ["effect", "tool"]
        ),
        "Decision": Schema.request(
            ["decision": Schema.something, "reason": Schema.text(1...1_000)],
            required: ["decision"]
        ),
    ]

    private static let agents: [String: JSONValue] = [
        // What the members mean together is checked too, by `AgentConfiguration.problems`.
        "AgentConfiguration": Schema.request(
            [
                // The program; its arguments may be empty.
                "command": [
                    "type": "array", "items": Schema.text(0...131_071),
                    "prefixItems": [Schema.text(1...131_071)],
                ],
                "driver": Schema.choice(DriverKind.allCases.map(\.rawValue)),
                "environment": Schema.map(Schema.text, names: "^[^=\\x00]+$"),
                "files": Schema.map(
                    Schema.either(
                        Schema.text,
                        Schema.object(
                            [
                                "text": Schema.text,
                                "owner": Schema.orNull(Schema.choice(FileOwner.allCases.map(\.rawValue))),
                            ],
                            optional: ["owner"],
                            isClosed: true
                        )
                    ),
                    names: #"^(home|work)(/(?!\.{1,2}(/|$))[^/\x00]{1,255})+$"#
                ),
                "store_mode": Schema.choice(["snapshot", "file", "none"]), "snapshots": AgentSchemas.snapshots,
                "isolation": Schema.choice(Isolation.allCases.map(\.rawValue)),
                "network": Schema.choice(WorkerNetwork.allCases.map(\.rawValue)),
                "read_only_paths": Schema.list(AgentSchemas.path),
                "permissions": Schema.choice(PermissionPolicy.allCases.map(\.rawValue)),
                "on_busy": Schema.choice(BusyPolicy.allCases.map(\.rawValue)),
                "account": AgentSchemas.account, "retries": Schema.integer(0...10), "warm": Schema.integer(0...100),
                "usage": Schema.choice(UsageMode.allCases.map(\.rawValue)),
                "mcp_servers": Schema.list(AgentSchemas.server), "limits": Schema.reference("AgentLimits"),
                "model": Schema.reference("ModelAccess"),
            ],
            required: [],
            rules: AgentSchemas.rules
        ),
        "ModelAccess": Schema.request(
            [
                "upstream": Schema.text(1...64, pattern: "^[a-z0-9_-]+$"),
                "models": Schema.list(Schema.something), "calls": Schema.integer(1...Int64.max),
                "tokens": Schema.integer(1...Int64.max), "bytes": Schema.integer(1...Int64.max),
            ],
            required: ["upstream"]
        ),
        "AgentLimits": Schema.request(
            [
                "max_workers": Schema.integer(1...100_000), "start_seconds": Schema.integer(1...3_600),
                "turn_seconds": Schema.integer(1...86_400), "progress_seconds": Schema.integer(1...86_400),
                "idle_seconds": Schema.integer(1...604_800), "approval_seconds": Schema.integer(1...86_400),
                "grace_seconds": Schema.integer(0...600), "line_bytes": Schema.integer(1_024...(256 << 20)),
                "output_bytes": Schema.integer(1_024...(256 << 20)),
                "snapshot_bytes": Schema.integer(1_024...(512 << 20)), "snapshot_deltas": Schema.integer(0...10_000),
                "seed_bytes": Schema.integer(0...(1 << 20)), "age_seconds": Schema.integer(1...31_536_000),
                "resident_bytes": Schema.integer((1 << 20)...(1 << 42)),
                "snapshot_keep_turns": Schema.integer(0...1_000_000_000),
                "workspace_bytes": Schema.integer(1_024...(64 << 30)),
                "workspace_entries": Schema.integer(1...10_000_000), "processes": Schema.integer(1...1_000_000),
                "memory_bytes": Schema.integer((16 << 20)...(1 << 42)), "open_files": Schema.integer(16...1_000_000),
                "file_bytes": Schema.integer(4_096...(1 << 42)),
            ],
            required: []
        ),
        "Agent": Schema.object(
            [
                "id": Schema.name, "version": Schema.number, "configuration": Schema.reference("AgentConfiguration"),
                "created_at": Schema.text, "updated_at": Schema.text,
                "circuits": Schema.list(Schema.reference("AgentCircuit")),
            ],
            optional: ["circuits"]
        ),
        "AgentCircuit": Schema.object([
            "replica": Schema.uuid, "label": Schema.text, "failures": Schema.number, "reason": Schema.text,
            "state": Schema.choice(CircuitState.allCases.map(\.rawValue)), "until": Schema.orNull(Schema.time),
        ]),
        "Agents": Schema.object(["agents": Schema.list(Schema.reference("Agent"))]),
        "Check": Schema.object(["check": Schema.map]),
    ]

    /// A name, or nothing.
    private static let keyed = Schema.orNull(Schema.either(Schema.name, ["const": ""]))
    /// Anything; a text that names a conversation must be a name.
    private static let chatMetadata: JSONValue = [
        "properties": ["conversation_id": ["pattern": "^[A-Za-z0-9._:-]{0,128}$"]]
    ]
    /// A string, items of which one at least is a message of the user that says something, or decisions alone.
    private static let responseInput = Schema.either(
        Schema.something,
        [
            "type": "array", "minItems": 1, "contains": MessageSchemas.saying,
            "items": Schema.either(Schema.reference("MessageItem"), Schema.reference("EchoItem")),
        ],
        Schema.list(Schema.reference("DecisionItem"), atLeast: 1)
    )

    private static let responseOptions: [String: JSONValue] = [
        "model": Schema.name, "input": Self.responseInput, "instructions": Schema.orNull(Schema.text),
        "stream": Schema.orNull(Schema.flag), "background": Schema.orNull(Schema.flag),
        "store": Schema.orNull(Schema.flag), "metadata": Schema.orNull(Schema.map),
        "previous_response_id": Schema.orNull(Schema.text),
        "conversation": Schema.orNull(Schema.either(Schema.name, Schema.object(["id": Schema.name]))),
        "prompt_cache_key": Self.keyed, "on_disconnect": Schema.orNull(Schema.choice(["continue", "cancel"])),
    ]

    private static let dialects: [String: JSONValue] = [
        "Model": Schema.object([
            "id": Schema.name, "object": Schema.choice(["model"]), "created": Schema.number, "owned_by": Schema.name,
        ]),
        "Models": Schema.object(["object": Schema.choice(["list"]), "data": Schema.list(Schema.reference("Model"))]),
        "ChatRequest": Schema.object(
            [
                "model": Schema.name,
                "messages": [
                    "type": "array", "minItems": 1, "items": Schema.reference("ChatMessage"),
                    "contains": MessageSchemas.saying,
                ],
                "stream": Schema.orNull(Schema.flag),
                "stream_options": Schema.orNull(
                    Schema.object(["include_usage": Schema.orNull(Schema.flag)], optional: ["include_usage"])
                ),
                "n": Schema.orNull(Schema.integer(1...1)), "prompt_cache_key": Self.keyed,
                "metadata": Self.chatMetadata,
                "on_disconnect": Schema.orNull(Schema.choice(["continue", "cancel"])),
            ],
            optional: [
                "stream", "stream_options", "n", "prompt_cache_key", "metadata", "on_disconnect",
            ]
        ),
        "ChatCompletion": Schema.object([
            "id": Schema.text, "object": Schema.choice(["chat.completion"]), "created": Schema.number,
            "model": Schema.name, "choices": Schema.list(Schema.map), "usage": Schema.orNull(Schema.map),
        ]),
        "ResponseRequest": Schema.object(
            Self.responseOptions,
            optional: Self.responseOptions.keys.filter { $0 != "input" },
            rules: [
                // Decisions go to whoever asked; anything else needs to say to whom it goes.
                "anyOf": [
                    ["required": ["model"]],
                    ["properties": ["input": Schema.list(Schema.reference("DecisionItem"), atLeast: 1)]],
                ],
                "not": Schema.either(
                    [
                        "required": ["previous_response_id", "conversation"],
                        "properties": [
                            "previous_response_id": ["type": "string"], "conversation": ["type": ["string", "object"]],
                        ],
                    ],
                    [
                        "required": ["background", "store"],
                        "properties": ["background": ["const": true], "store": ["const": false]],
                    ]
                ),
            ]
        ),
        "Response": Schema.object([
            "id": Schema.text, "object": Schema.choice(["response"]), "created_at": Schema.number,
            "status": Schema.choice(ResponseProjection.Status.allCases.map(\.rawValue)), "model": Schema.name,
            "output": Schema.list(Schema.map), "metadata": Schema.map, "usage": Schema.orNull(Schema.map),
            "previous_response_id": Schema.orNull(Schema.text), "error": Schema.orNull(Schema.map),
        ]),
        "Deleted": Schema.object(["id": Schema.text, "object": Schema.text, "deleted": Schema.flag]),
        "Item": Schema.object([
            "id": Schema.text, "type": Schema.choice(["message"]), "role": Schema.text,
            "content": Schema.list(Schema.map),
        ]),
        "Items": Schema.object([
            "object": Schema.choice(["list"]), "data": Schema.list(Schema.reference("Item")),
            "first_id": Schema.orNull(Schema.text), "last_id": Schema.orNull(Schema.text), "has_more": Schema.flag,
        ]),
        "Thread": Schema.object([
            "id": Schema.name, "object": Schema.choice(["conversation"]), "created_at": Schema.number,
            "metadata": Schema.map,
        ]),
        "ThreadRequest": Schema.object(
            [
                "metadata": Schema.orNull(Schema.map),
                "items": Schema.orNull(["type": "array", "items": Schema.reference("MessageItem"), "maxItems": 20]),
            ],
            optional: ["metadata", "items"]
        ),
        "ThreadChange": Schema.object(["metadata": Schema.map]),
        "ItemsRequest": Schema.object([
            "items": ["type": "array", "items": Schema.reference("MessageItem"), "maxItems": 20]
        ]),
    ]
}
