import Crypto
import Domain

/// The body of `POST /v1/responses`, as far as the gateway has a use for it.
struct ResponseBody: Hashable, Sendable {
    /// What a person decided about a question.
    struct Decision: Hashable, Sendable {
        var approval: ApprovalID
        var approves: Bool
        var reason: String?
    }

    /// Items that are the output of earlier responses, sent back by clients that keep a conversation themselves: the worker
    /// has them in its own memory.
    static let echoes: Set<String> = [
        "reasoning", "mcp_call", "mcp_approval_request", "mcp_list_tools", "item_reference",
    ]
    private static let metadataBytes = 16 << 10

    /// All messages but the new one.
    var context: [ChatMessage] { self.history + self.later }

    /// Nil where the request only decides.
    var model: AgentID?
    /// What was said before the new message.
    var history: [ChatMessage] = []
    /// The new message: the last of the user's that says anything.
    var message: ChatMessage?
    /// What stands after it.
    var later: [ChatMessage] = []
    var decisions: [Decision] = []
    var settings = ResponseSettings()
    var streams: Bool
    var cancelsOnDisconnect: Bool
    var cacheKey: String?
    /// SHA-256 over the whole body in one spelling: what makes two requests the same.
    var digest: [UInt8]

    /// Checks what is read. Throws 400 with the member's path.
    init(_ json: JSONValue) throws(APIError) {
        let body = try JSONMembers(ofDialect: json)
        self.streams = try body.flag("stream") ?? false
        self.cancelsOnDisconnect = try body.cancelsOnDisconnect()
        self.cacheKey = try body.text("prompt_cache_key")
        self.digest = Digest.sha256(JSONWriter.text(json))
        self.settings.previous = try body.text("previous_response_id")
        self.settings.conversation = try Self.conversation(body["conversation"])
        if self.settings.previous != nil, self.settings.conversation != nil {
            throw .invalid("conversation", "cannot be combined with previous_response_id")
        }
        self.settings.instructions = try body.text("instructions")
        self.settings.background = try body.flag("background") ?? false
        self.settings.stores = try body.flag("store") ?? true
        if self.settings.background, !self.settings.stores {
            throw .invalid("background", "needs store: what is not kept cannot be asked for later")
        }
        self.settings.metadata = try Self.metadata(body["metadata"])
        try self.read(body["input"])
        if !self.decisions.isEmpty {
            guard self.message == nil else {
                throw .invalid("input", "decides and says something: send the message once the turn has ended")
            }
            return
        }
        guard let message = self.message, !message.isEmpty else {
            throw .invalid("input", "must have a message of the user that is not empty")
        }
        self.model = try body.model()
        if let instructions = self.settings.instructions {
            self.history.insert(ChatMessage(role: .system, parts: [ContentParts.text(instructions)]), at: 0)
        }
    }

    private mutating func read(_ input: JSONValue?) throws(APIError) {
        switch input {
        case .string(let text): self.message = ChatMessage(role: .user, parts: [ContentParts.text(text)])
        case .array(let items):
            for (index, item) in items.enumerated() { try self.read(item, at: "input[\(index)]") }
            if let (before, message, after) = ChatMessage.split(self.history) {
                (self.history, self.message, self.later) = (before, message, after)
            }
        default: throw .invalid("input", "must be a string or an array of items")
        }
    }

    private mutating func read(_ item: JSONValue, at path: String) throws(APIError) {
        guard case .object = item else { throw .invalid(path, "must be an object") }
        switch item["type"] {
        case nil, .null?, .string("message")?: self.history.append(try ChatMessage(item, at: path))
        case .string("mcp_approval_response")?:
            self.decisions.append(try Self.decision(item, at: path))
            // What stands before a decision was said before the question.
            self.history = []
        case .string(let type)? where Self.echoes.contains(type): break
        default: throw .invalid("\(path).type", "must be message or mcp_approval_response")
        }
    }

    private static func decision(_ item: JSONValue, at path: String) throws(APIError) -> Decision {
        let id = item["approval_request_id"]?.text ?? ""
        guard id.hasPrefix("mcpr_"), let approval = Dialect.id(id.dropFirst(5), ApprovalID.self) else {
            throw .invalid("\(path).approval_request_id", "must be the id of an mcp_approval_request")
        }
        guard let approves = item["approve"]?.flag else { throw .invalid("\(path).approve", "must be true or false") }
        let reason = item["reason"]?.text.flatMap { $0.isEmpty ? nil : $0 }
        if let reason { try ApprovalRoutes.check(reason) }
        return Decision(approval: approval, approves: approves, reason: reason)
    }

    private static func conversation(_ value: JSONValue?) throws(APIError) -> String? {
        guard let value else { return nil }
        guard let id = value.text ?? value["id"]?.text else {
            throw .invalid("conversation", "must be an id or an object with one")
        }
        return id
    }

    /// The client's own pairs, kept as they are.
    static func metadata(_ value: JSONValue?) throws(APIError) -> JSONValue {
        guard let value else { return [:] }
        guard case .object = value else { throw .invalid("metadata", "must be an object") }
        guard JSONWriter.text(value).count <= self.metadataBytes else {
            throw .invalid("metadata", "must not be longer than \(self.metadataBytes) bytes")
        }
        return value
    }
}
