import Crypto
import Domain
import Gateway

/// The body of a submitted turn.
struct TurnBody: Hashable, Sendable {
    private static let members = ["input", "on_busy", "deadline_seconds", "metadata", "client_key", "on_disconnect"]
    /// The longest client key, in characters.
    private static let keyLength = 200
    /// The largest metadata, in bytes of its shortest text.
    private static let metadataBytes = 16 << 10

    var input: TurnInput
    /// Nil for what the agent is configured to do.
    var onBusy: BusyPolicy?
    var deadlineSeconds: Int?
    var metadata: JSONValue?
    var clientKey: String?
    /// Whether a client that leaves the turn's stream wants no answer any more. Without it the turn goes on.
    var cancelsOnDisconnect: Bool

    /// Checks every member. `headerKeys` are the values of `Idempotency-Key`. Throws 400 with the member's path.
    init(_ json: JSONValue, headerKeys: [String]) throws(APIError) {
        let members = try JSONMembers(json, known: Self.members)
        guard let input = members["input"] else { throw .invalid("input", "is missing") }
        self.input = try Self.input(input)
        self.onBusy = try Self.policy(try members.text("on_busy"))
        self.deadlineSeconds = try members.integer("deadline_seconds", in: 1...86_400).map(Int.init)
        self.metadata = try Self.metadata(members["metadata"])
        self.clientKey = try Self.key(try members.text("client_key"), headerKeys)
        self.cancelsOnDisconnect = try members.cancelsOnDisconnect()
    }

    /// What a user sends, as text or as parts, under the name `input`.
    static func input(_ value: JSONValue) throws(APIError) -> TurnInput {
        if let text = value.text {
            guard !text.isEmpty else { throw .invalid("input", "must not be empty") }
            return TurnInput(text: text)
        }
        guard let parts = value.elements else { throw .invalid("input", "must be a string or an array of parts") }
        guard !parts.isEmpty else { throw .invalid("input", "must not be empty") }
        var isEmpty = true
        for (index, part) in parts.enumerated() {
            guard case .object = part else { throw .invalid("input[\(index)]", "must be an object") }
            guard let type = part["type"]?.text, !type.isEmpty else {
                throw .invalid("input[\(index)].type", "must be a string")
            }
            guard type == "text" else {
                isEmpty = false
                continue
            }
            guard let text = part["text"]?.text else { throw .invalid("input[\(index)].text", "must be a string") }
            if !text.isEmpty { isEmpty = false }
        }
        guard !isEmpty else { throw .invalid("input", "must not be empty") }
        return TurnInput(parts: parts)
    }

    private static func policy(_ text: String?) throws(APIError) -> BusyPolicy? {
        guard let text else { return nil }
        guard let policy = BusyPolicy(rawValue: text) else {
            throw .invalid("on_busy", "must be \(BusyPolicy.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        return policy
    }

    private static func metadata(_ value: JSONValue?) throws(APIError) -> JSONValue? {
        guard let value else { return nil }
        guard case .object = value else { throw .invalid("metadata", "must be an object") }
        guard JSONWriter.text(value).count <= self.metadataBytes else {
            throw .invalid("metadata", "must not be longer than \(self.metadataBytes) bytes")
        }
        return value
    }

    /// The client's own key, from a member, from the `Idempotency-Key` headers, or both if they agree.
    static func key(_ member: String?, _ headers: [String]) throws(APIError) -> String? {
        var all: [(key: String, param: String)] = headers.map { ($0, "Idempotency-Key") }
        if let member { all.append((member, "client_key")) }
        for (key, param) in all {
            let isPrintable = key.utf8.allSatisfy { (0x20...0x7e).contains($0) }
            guard isPrintable, (1...self.keyLength).contains(key.utf8.count) else {
                throw .invalid(param, "must be 1 to \(self.keyLength) printable ASCII characters")
            }
            guard key == all[0].key else {
                throw .invalid(param, "says another key than the Idempotency-Key header before it")
            }
        }
        return all.first?.key
    }

    /// What the gateway is asked for.
    func request(agent: AgentID, conversation: ConversationID?) -> TurnRequest {
        var request = TurnRequest(agent: agent, conversation: conversation, input: self.input)
        request.onBusy = self.onBusy
        request.deadlineSeconds = self.deadlineSeconds
        request.metadata = self.metadata
        request.clientKey = self.clientKey
        // Only a client key makes requests comparable.
        if self.clientKey != nil { request.bodyHash = self.digest(agent: agent, conversation: conversation) }
        return request
    }

    /// SHA-256 over all that makes two submissions the same, in one spelling: member order, escapes and the two forms of
    /// a text input do not matter.
    func digest(agent: AgentID, conversation: ConversationID?) -> [UInt8] {
        let canonical: JSONValue = [
            "agent": .string(agent.text),
            "conversation": conversation.map { .string($0.text) } ?? .null,
            "input": .array(self.input.parts),
            "deadline_seconds": self.deadlineSeconds.map { .integer(Int64($0)) } ?? .null,
            "metadata": self.metadata ?? .null,
            "on_busy": .string((self.onBusy ?? .enqueue).rawValue),
        ]
        return Digest.sha256(JSONWriter.text(canonical))
    }
}
