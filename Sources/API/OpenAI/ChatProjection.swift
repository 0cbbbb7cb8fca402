import Domain
import HTTP

/// One turn's log as a chat completion: a value that takes events and gives chunks.
struct ChatProjection: DialectProjection {
    /// How it ended.
    enum Ending: Sendable, Hashable {
        /// A reply, or the part of one that there is.
        case reply(String, finish: String, usage: TokenUsage?)
        case failed(code: String, message: String)
    }

    let id: String
    let model: String
    let created: Int64
    let wantsUsage: Bool
    /// The text sent of the run that goes on.
    private var sent = ""
    private var hasBegun = false
    private(set) var ending: Ending?

    var isOver: Bool { self.ending != nil }

    init(turn: TurnID, model: AgentID, wantsUsage: Bool) {
        self.id = "chatcmpl-" + Dialect.digits(turn)
        self.model = model.text
        self.created = UnixTime.seconds(of: turn)
        self.wantsUsage = wantsUsage
    }

    mutating func take(_ event: EventRecord) throws -> [UInt8] {
        try self.chunks(event).reduce(into: []) { frames, data in
            frames += try EventStream.frame(data: String(decoding: data, as: UTF8.self))
        }
    }

    /// What a stream sends because of the event: the data of one server-sent event each.
    private mutating func chunks(_ event: EventRecord) -> [[UInt8]] {
        var chunks: [[UInt8]] = []
        if !self.hasBegun {
            self.hasBegun = true
            chunks.append(
                self.chunk {
                    $0.member("role", "assistant"); $0.member("content", "")
                }
            )
        }
        let members = event.members
        switch event.type {
        case "delta":
            let text = members["text"]?.text ?? ""
            self.sent += text
            if !text.isEmpty { chunks.append(self.chunk { $0.member("content", text) }) }
        case "thought":
            chunks.append(self.aside(members["text"]?.text ?? ""))
        case "approval.requested":
            // The dialect has no word for it, and nothing else tells the person why the reply does not go on.
            let tool = members["tool"]?["name"]?.text ?? "a tool"
            let question = members["approval"]?.text ?? ""
            chunks.append(self.aside("Waiting for a decision on \(tool): /v1/approvals/\(question)\n"))
        case "turn.retried":
            // What was sent cannot be taken back; the next run's reply follows it.
            self.sent = ""
        default:
            guard let ending = Self.ending(event.type, members) else { break }
            self.ending = ending
            chunks += self.last(ending)
        }
        return chunks
    }

    /// How a terminal event ends the completion; nil for any other event.
    private static func ending(_ type: String, _ members: JSONValue) -> Ending? {
        switch type {
        case "turn.completed":
            let finish =
                switch members["stop_reason"]?.text {
                case "max_tokens", "max_turn_requests": "length"
                default: "stop"
                }
            return .reply(members["reply"]?.text ?? "", finish: finish, usage: TokenUsage(members["usage"]))
        case "turn.cancelled":
            return .reply(members["partial"]?.text ?? "", finish: "stop", usage: nil)
        case "turn.failed":
            return .failed(
                code: members["code"]?.text ?? "internal",
                message: members["message"]?.text ?? "the turn failed"
            )
        default:
            return nil
        }
    }

    private func last(_ ending: Ending) -> [[UInt8]] {
        switch ending {
        case .failed(let code, let message):
            return [Dialect.failure(code: code, message: message).body(requestID: nil)]
        case .reply(let text, let finish, let usage):
            var chunks: [[UInt8]] = []
            // A worker may say at its end what it has not streamed.
            if text.utf8.count > self.sent.utf8.count, text.utf8.starts(with: self.sent.utf8) {
                let rest = String(decoding: text.utf8.dropFirst(self.sent.utf8.count), as: UTF8.self)
                chunks.append(self.chunk { $0.member("content", rest) })
            }
            chunks.append(self.chunk(finish: finish) { _ in })
            if self.wantsUsage {
                chunks.append(
                    self.object("chat.completion.chunk") { json in
                        json.member("choices", objects: [Int]()) { _, _ in }
                        json.member(usage: usage)
                    }
                )
            }
            return chunks + [Array("[DONE]".utf8)]
        }
    }

    /// The whole completion; nil before its end and after a failure.
    func completion() -> [UInt8]? {
        guard case .reply(let text, let finish, let usage) = self.ending else { return nil }
        return self.object("chat.completion") { json in
            json.member("choices", objects: [0]) { json, _ in
                json.member("index", 0)
                json.member("message") { message in
                    message.member("role", "assistant")
                    message.member("content", text)
                    message.member("refusal", nil as String?)
                }
                json.member("logprobs", json: nil)
                json.member("finish_reason", finish)
            }
            json.member(usage: usage)
        }
    }

    /// Words that are no part of the reply; frontends show them as the model's thoughts.
    private func aside(_ text: String) -> [UInt8] {
        self.chunk { $0.member("reasoning_content", text) }
    }

    private func chunk(finish: String? = nil, _ delta: (inout JSONWriter) -> Void) -> [UInt8] {
        self.object("chat.completion.chunk") { json in
            json.member("choices", objects: [0]) { json, _ in
                json.member("index", 0)
                json.member("delta", object: delta)
                json.member("logprobs", json: nil)
                json.member("finish_reason", finish)
            }
        }
    }

    private func object(_ kind: String, _ body: (inout JSONWriter) -> Void) -> [UInt8] {
        JSONWriter.object { json in
            json.member("id", self.id)
            json.member("object", kind)
            json.member("created", self.created)
            json.member("model", self.model)
            body(&json)
        }
    }
}

extension JSONWriter {
    /// `usage` of a chat completion.
    fileprivate mutating func member(usage: TokenUsage?) {
        guard let usage else { return self.member("usage", json: nil) }
        self.member("usage") { json in
            json.member("prompt_tokens", usage.input)
            json.member("completion_tokens", usage.output)
            json.member("total_tokens", usage.total)
            json.member("prompt_tokens_details") { $0.member("cached_tokens", usage.cached) }
            json.member("completion_tokens_details") { $0.member("reasoning_tokens", usage.reasoning) }
        }
    }
}
