import Crypto
import Domain
import HTTP

/// The body of `POST /v1/chat/completions`, as far as the gateway has a use for it. What else the dialect has (sampling,
/// tools of the client's own) is the agent's business and is not looked at.
struct ChatBody: Hashable, Sendable {
    var model: AgentID
    /// What was said before the new message.
    var history: [ChatMessage]
    /// The new message: the last of the user's that says anything.
    var message: ChatMessage
    /// What stands after it, such as a frontend's reminder or the beginning of an answer: nobody has been told it yet.
    var later: [ChatMessage]
    var streams: Bool
    /// Whether the stream ends with a chunk that counts tokens.
    var wantsUsage: Bool
    var cancelsOnDisconnect: Bool
    /// `prompt_cache_key` and `metadata.conversation_id`: ways to name the conversation in a body.
    var cacheKey: String?
    var metadataKey: String?
    /// SHA-256 over the whole body in one spelling: what makes two requests the same.
    var digest: [UInt8]

    /// Checks what is read. Throws 400 with the member's path.
    init(_ json: JSONValue) throws(APIError) {
        let body = try JSONMembers(ofDialect: json)
        self.model = try body.model()
        guard let list = body["messages"]?.elements, !list.isEmpty else {
            throw .invalid("messages", "must be an array with at least one message")
        }
        var messages: [ChatMessage] = []
        for (index, element) in list.enumerated() {
            messages.append(try ChatMessage(element, at: "messages[\(index)]"))
        }
        guard let (before, message, after) = ChatMessage.split(messages) else {
            throw .invalid("messages", "must have a message of the user that is not empty")
        }
        (self.history, self.message, self.later) = (before, message, after)
        self.streams = try body.flag("stream") ?? false
        self.wantsUsage = try Self.wantsUsage(body["stream_options"])
        self.cancelsOnDisconnect = try body.cancelsOnDisconnect()
        guard try body.integer("n", in: 1...1) ?? 1 == 1 else { throw .invalid("n", "must be 1") }
        self.cacheKey = try body.text("prompt_cache_key")
        self.metadataKey = body["metadata"]?["conversation_id"]?.text
        self.digest = Digest.sha256(JSONWriter.text(json))
    }

    private static func wantsUsage(_ options: JSONValue?) throws(APIError) -> Bool {
        guard let options else { return false }
        guard case .object = options else { throw .invalid("stream_options", "must be an object") }
        guard let wants = options["include_usage"], wants != .null else { return false }
        guard let flag = wants.flag else { throw .invalid("stream_options.include_usage", "must be true or false") }
        return flag
    }
}

/// One message of a chat.
struct ChatMessage: Hashable, Sendable {
    enum Role: String, Sendable, CaseIterable {
        case system, developer, user, assistant, tool, function
    }

    var role: Role
    /// Content parts as workers take them.
    var parts: [JSONValue]

    init(role: Role, parts: [JSONValue]) {
        self.role = role
        self.parts = parts
    }

    /// Reads a message of either dialect. Throws 400 with the path of what is wrong.
    init(_ json: JSONValue, at path: String) throws(APIError) {
        guard case .object = json else { throw .invalid(path, "must be an object") }
        guard let role = json["role"]?.text.flatMap(Role.init(rawValue:)) else {
            let known = Role.allCases.map(\.rawValue).joined(separator: ", ")
            throw .invalid("\(path).role", "must be one of \(known)")
        }
        self.role = role
        self.parts = try ContentParts.read(json["content"], at: "\(path).content")
    }

    /// All text, parts joined by newlines.
    var text: String { TurnInput(parts: self.parts).text }

    var isEmpty: Bool {
        self.parts.allSatisfy { $0["type"] == "text" && $0["text"]?.text?.isEmpty ?? true }
    }

    /// The last message of the user that says anything, and what stands before and after it; nil when there is none.
    static func split(
        _ messages: [ChatMessage]
    ) -> (before: [ChatMessage], message: ChatMessage, after: [ChatMessage])? {
        guard let last = messages.lastIndex(where: { $0.role == .user && !$0.isEmpty }) else { return nil }
        return (Array(messages[..<last]), messages[last], Array(messages[(last + 1)...]))
    }
}

// What several bodies of the dialect have.
extension JSONMembers {
    /// The agent that the request names as its model.
    func model() throws(APIError) -> AgentID {
        guard let text = try self.text("model") else { throw .invalid("model", "is missing") }
        do throws(InvalidName) {
            return try AgentID(text)
        } catch {
            throw Dialect.unknownModel(text)
        }
    }

    /// `on_disconnect`, an addition of the gateway's own: `continue` (what happens without it) or `cancel`.
    func cancelsOnDisconnect() throws(APIError) -> Bool {
        switch try self.text("on_disconnect") {
        case nil, "continue": return false
        case "cancel": return true
        default: throw .invalid("on_disconnect", "must be continue or cancel")
        }
    }
}
