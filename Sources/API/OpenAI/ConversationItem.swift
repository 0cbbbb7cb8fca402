import Domain
import HTTP

/// One message of a conversation, as `/v1/conversations` and `input_items` show it.
struct ConversationItem: Hashable, Sendable {
    let id: String
    let message: ChatMessage
    let status: String

    /// What the user sent.
    static func input(_ turn: TurnRecord) -> ConversationItem {
        let parts = StoredText.value(turn.input).elements ?? []
        return ConversationItem(
            id: "msg_\(Dialect.digits(turn.id))_in",
            message: ChatMessage(role: .user, parts: parts),
            status: "completed"
        )
    }

    /// What the agent answered; nil while there is nothing.
    static func output(_ turn: TurnRecord) -> ConversationItem? {
        guard let outcome = turn.outcome, !outcome.reply.isEmpty else { return nil }
        return ConversationItem(
            id: "msg_\(Dialect.digits(turn.id))_out",
            message: ChatMessage(role: .assistant, parts: [ContentParts.text(outcome.reply)]),
            status: outcome.state == .completed ? "completed" : "incomplete"
        )
    }

    /// What somebody put in by hand.
    static func added(_ item: ThreadItem) -> ConversationItem {
        ConversationItem(id: item.id, message: item.message, status: "completed")
    }

    /// The turn whose input or output an item of this id is; nil for one that was put in by hand.
    static func turn(_ id: String) -> (TurnID, isInput: Bool)? {
        let pieces = id.split(separator: "_", omittingEmptySubsequences: false)
        guard pieces.count == 3, pieces[0] == "msg", ["in", "out"].contains(pieces[2]) else { return nil }
        return Dialect.id(pieces[1], TurnID.self).map { ($0, pieces[2] == "in") }
    }

    func write(_ json: inout JSONWriter) {
        json.member("id", self.id)
        json.member("type", "message")
        json.member("status", self.status)
        json.member("role", self.message.role.rawValue)
        json.member("content", objects: self.message.parts) { json, part in
            switch part["type"]?.text {
            case "text" where self.message.role == .assistant: ResponseItem.writePart(part["text"]?.text ?? "", &json)
            case "image":
                json.member("type", "input_image")
                json.member("detail", "auto")
                let (type, data) = (part["mimeType"]?.text ?? "", part["data"]?.text ?? "")
                json.member("image_url", "data:\(type);base64,\(data)")
            default:
                // Whatever else a worker takes has no name in the dialect; it is shown as what it is.
                json.member("type", "input_text")
                json.member("text", part["text"]?.text ?? ResponseItem.text(part) ?? "")
            }
        }
    }
}

extension ThreadItem {
    /// As the worker is told.
    var message: ChatMessage {
        ChatMessage(role: ChatMessage.Role(rawValue: self.role) ?? .user, parts: self.parts)
    }
}

/// Which page of items a client wants.
struct ItemPage: Hashable, Sendable {
    let after: String?
    let limit: Int
    let isAscending: Bool

    init(_ query: QueryValues) throws(APIError) {
        self.after = query["after"]
        self.limit = Int(try query.integer("limit", in: 1...100) ?? 20)
        switch query["order"] {
        case nil, "desc": self.isAscending = false
        case "asc": self.isAscending = true
        default: throw .invalid("order", "must be asc or desc")
        }
    }

    func response(_ items: [ConversationItem], hasMore: Bool) -> Response {
        .json(
            JSONWriter.object(capacity: 4_096) { json in
                json.member("object", "list")
                json.member("data", objects: items) { $1.write(&$0) }
                json.member("first_id", items.first?.id)
                json.member("last_id", items.last?.id)
                json.member("has_more", flag: hasMore)
            }
        )
    }
}
