import Crypto
import Domain
import Gateway
import HTTP

/// What both dialects of OpenAI's API share.
enum Dialect {
    /// The header that names the conversation, in requests and in answers.
    static let conversationHeader = "X-Conversation-Id"

    /// Headers that name the conversation, the first that is there wins. The second is Open WebUI's, the rest are those of
    /// coding clients.
    private static let conversationHeaders = [
        Self.conversationHeader, "X-OpenWebUI-Chat-Id", "session-id", "thread-id", "X-Session-Id",
    ]

    /// The conversation that a request names: by a header, else by a member of its body; nil when by none.
    static func conversation(
        _ request: Request,
        members: [(name: String, value: String?)]
    ) throws(APIError) -> ConversationID? {
        let headers = self.conversationHeaders.map { (name: $0, value: request.headers[$0]) }
        for (name, value) in headers + members {
            guard let value, !value.isEmpty else { continue }
            do throws(InvalidName) {
                return try ConversationID(value)
            } catch {
                throw APIError(400, "invalid_id", error.description, param: name)
            }
        }
        return nil
    }

    /// Whether the request is a frontend's own errand (a title, tags), which carries the conversation's name but is no
    /// part of it. `X-Task` is what Open WebUI can be configured to send; its prompts for such errands begin alike.
    static func isErrand(_ request: Request, _ message: ChatMessage) -> Bool {
        request.headers["X-Task"]?.isEmpty == false || message.text.hasPrefix("### Task:")
    }

    static func unknownModel(_ name: String) -> APIError {
        APIError(404, "model_not_found", "no agent is named \(name.prefix(128)); see GET /v1/models", param: "model")
    }

    /// Submits the turn that `make` gives, or finds the one that an earlier try of the same request has made. Speaks of
    /// models where the gateway speaks of agents.
    ///
    /// A client says that two requests are one by `Idempotency-Key`. OpenAI's SDKs do not: they count their tries. So what
    /// they send leaves a fingerprint, and a try that is not the first takes the turn that has it. A first try makes the
    /// fingerprints of ended turns void, even if it is refused itself; of one that could not, see `refusal`. `digest` is
    /// what makes two requests the same, beside the conversation.
    static func submit(
        _ call: Call,
        digest: [UInt8],
        conversation: ConversationID?,
        _ make: () async throws -> TurnRequest
    ) async throws -> FollowedTurn {
        let key = try TurnBody.key(nil, call.request.headers.all("Idempotency-Key"))
        let fingerprint = Digest.sha256(digest + Array((conversation?.text ?? "").utf8))
        let tries = call.request.headers["x-stainless-retry-count"]
        let isMarked = key == nil && tries != nil
        if isMarked, tries != "0", let turn = try await call.tenant.turn(of: fingerprint) {
            return FollowedTurn(id: turn.id, number: turn.number, after: 0, isFoundAgain: true)
        }
        do {
            var request = try await make()
            request.submitter = call.principal.token
            request.clientKey = key
            if key != nil { request.bodyHash = fingerprint }
            if isMarked || request.note != nil {
                var note = request.note ?? DialectNote()
                if isMarked { note.fingerprint = fingerprint }
                request.note = note
            }
            let turn = try await call.tenant.submit(request)
            let isFoundAgain = isMarked || key != nil
            return FollowedTurn(id: turn.id, number: turn.number, after: turn.logStart, isFoundAgain: isFoundAgain)
        } catch GatewayError.agentNotConfigured(let agent) {
            throw self.unknownModel(agent)
        }
    }

    /// Whether the conversation has turns, so that its worker has seen, or can be told by its snapshot, what came before.
    static func knows(_ tenant: Tenant, _ agent: AgentID, _ conversation: ConversationID) async throws -> Bool {
        do {
            return try await tenant.log(agent, conversation).lastEvent > 0
        } catch GatewayError.notFound {
            return false
        }
    }

    /// The failure of an accepted turn. Whoever sends the request again would start another turn, so they are told not to.
    static func failure(code: String, message: String) -> APIError {
        var error = APIError(502, code, message)
        error.headers.set("x-should-retry", "false")
        return error
    }

    /// What `error` is to a client of a dialect. A first try that did not reach the database is not to be tried again by a
    /// program: the next try might be given the reply to an earlier request of the same words.
    static func refusal(_ error: any Error, _ request: Request) -> APIError {
        var refusal = APIError(error)
        guard case GatewayError.unavailable = error, request.headers["x-stainless-retry-count"] == "0",
            request.headers["Idempotency-Key"] == nil
        else { return refusal }
        refusal.headers.set("x-should-retry", "false")
        return refusal
    }

    /// Why the answer to an accepted turn ends without its outcome. Whoever sends the request again would start another
    /// turn, unless the gateway knows it again.
    static func givenUp(_ error: any Error, _ turn: FollowedTurn) -> APIError {
        let cause = APIError(error)
        let message = "the turn was accepted and goes on; read its outcome at /v1/turns/\(turn.id.text)"
        var refusal = APIError(cause.status, cause.code, message)
        refusal.cause = error
        if !turn.isFoundAgain { refusal.headers.set("x-should-retry", "false") }
        return refusal
    }

    /// 32 digits: the id of a turn or a question inside the dialects' own ids.
    static func digits<Kind>(_ id: UniqueID<Kind>) -> String {
        id.text.replacing("-", with: "")
    }

    /// Reads what `digits` wrote.
    static func id<Kind>(_ digits: some StringProtocol, _: UniqueID<Kind>.Type = UniqueID<Kind>.self) -> UniqueID<Kind>?
    {
        let text = Array(digits.utf8)
        guard text.count == 32 else { return nil }
        let parts = [text[0..<8], text[8..<12], text[12..<16], text[16..<20], text[20..<32]]
        return UniqueID<Kind>(parts.map { String(decoding: $0, as: UTF8.self) }.joined(separator: "-"))
    }
}

/// Token counts as the dialects show them.
struct TokenUsage: Hashable, Sendable {
    var input: Int64
    var output: Int64
    var total: Int64
    var cached: Int64
    var cacheWritten: Int64
    var reasoning: Int64

    /// What a worker reported, in the names of ACP or of a model's API; nil when it did not count both directions.
    init?(_ json: JSONValue?) {
        func count(_ names: String...) -> Int64? {
            names.lazy.compactMap { json?[$0]?.integer }.first
        }
        guard let input = count("inputTokens", "input_tokens", "prompt_tokens"),
            let output = count("outputTokens", "output_tokens", "completion_tokens")
        else { return nil }
        self.input = input
        self.output = output
        self.total = count("totalTokens", "total_tokens") ?? input + output
        self.cached = count("cachedReadTokens", "cache_read_input_tokens") ?? 0
        self.cacheWritten = count("cachedWriteTokens", "cache_creation_input_tokens") ?? 0
        self.reasoning = count("thoughtTokens", "reasoning_tokens") ?? 0
    }
}

/// A moment as the dialects write it.
enum UnixTime {
    /// Seconds since 1970 of a time as the store writes it, `2026-01-31T12:00:00.123456Z`; 0 for anything else.
    static func seconds(_ time: String) -> Int64 {
        let fields = time.prefix(19).split { !$0.isNumber }.compactMap { Int64($0) }
        guard fields.count == 6, time.hasSuffix("Z") else { return 0 }
        // Days before the first of March of a year whose months are counted from March: the leap day is its last.
        let (year, month) = fields[1] > 2 ? (fields[0], fields[1] - 3) : (fields[0] - 1, fields[1] + 9)
        let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + fields[2] - 1
        return (days - 719_468) * 86_400 + fields[3] * 3_600 + fields[4] * 60 + fields[5]
    }
}

extension UnixTime {
    /// When a turn was made that the API has named: the time that its identity (UUID version 7) begins with.
    static func seconds(of turn: TurnID) -> Int64 {
        (Int64(Dialect.digits(turn).prefix(12), radix: 16) ?? 0) / 1_000
    }
}

extension EventRecord {
    /// The event's own members. They come from the store, whose text always is JSON.
    var members: JSONValue { StoredText.value(self.data) }
}
