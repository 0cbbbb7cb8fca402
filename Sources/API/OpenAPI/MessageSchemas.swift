import Domain

/// Schemas of what people say: inputs, messages, content parts, items. They say what the bodies' readers check.
enum MessageSchemas {
    static let all: [String: JSONValue] = [
        "Input": Self.input, "Part": Self.part, "ChatPart": Self.chatPart, "ChatMessage": Self.message([:]),
        "MessageItem": Self.message(["type": Schema.orNull(["const": "message"])]), "EchoItem": Self.echo,
        "DecisionItem": Self.decision,
    ]

    private static let textType: JSONValue = ["const": "text"]

    // MARK: - The native API

    /// A string, or parts of which one at least says something.
    private static let input = Schema.either(
        Schema.something,
        [
            "type": "array", "minItems": 1, "items": Schema.reference("Part"),
            "contains": Schema.either(
                Schema.object(["type": Self.textType, "text": Schema.something]),
                Schema.object(["type": Self.other])
            ),
        ]
    )

    /// Text, or another part that the worker may know.
    private static let part = Schema.either(
        Schema.object(["type": Self.textType, "text": Schema.text]),
        Schema.object(["type": Self.other])
    )

    private static let other: JSONValue = ["type": "string", "minLength": 1, "not": Self.textType]

    // MARK: - The dialects

    private static let chatText = Schema.object(["type": Schema.choice(ContentParts.texts), "text": Schema.text])

    private static let chatPart = Schema.either(
        Self.chatText,
        Schema.object(["type": ["const": "refusal"], "refusal": Schema.text]),
        Schema.object([
            "type": Schema.choice(["image_url", "input_image"]),
            "image_url": Schema.either(Schema.something, Schema.object(["url": Schema.something])),
        ]),
        Schema.object(["type": ["const": "input_audio"], "input_audio": Schema.object(["data": Schema.text])])
    )

    private static func message(_ more: [String: JSONValue]) -> JSONValue {
        let members: [String: JSONValue] = [
            "role": Schema.choice(ChatMessage.Role.allCases.map(\.rawValue)),
            "content": Schema.orNull(Schema.either(Schema.text, Schema.list(Schema.reference("ChatPart")))),
        ]
        return Schema.object(
            members.merging(more) { first, _ in first },
            optional: ["content"] + more.keys
        )
    }

    /// A message of the user that says something: there must be one.
    static let saying: JSONValue = Schema.object([
        "role": ["const": "user"],
        "content": Schema.either(
            Schema.something,
            [
                "type": "array", "minItems": 1, "items": Schema.reference("ChatPart"),
                "contains": Schema.object(["type": Schema.choice(ContentParts.texts), "text": Schema.something]),
            ]
        ),
    ])

    private static let echo = Schema.object(["type": Schema.choice(ResponseBody.echoes.sorted())])

    private static let decision = Schema.object(
        [
            "type": ["const": "mcp_approval_response"],
            "approval_request_id": ["type": "string", "pattern": "^mcpr_[0-9a-f]{32}$"], "approve": Schema.flag,
            "reason": Schema.orNull(Schema.text(0...1_000)),
        ],
        optional: ["reason"]
    )
}
