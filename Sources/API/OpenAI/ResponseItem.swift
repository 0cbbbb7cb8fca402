import Domain

/// One item of a response's output.
struct ResponseItem: Hashable, Sendable {
    enum Status: String, Sendable {
        case inProgress = "in_progress"
        case completed, incomplete, failed
    }

    enum Content: Hashable, Sendable {
        case message(text: String)
        /// What the agent says beside its reply.
        case reasoning(text: String)
        /// A tool of the agent's own. The dialect has room for such tools as those of a remote server.
        case tool(ToolActivity)
        /// A question; its name and the arguments, as JSON text.
        case question(name: String, arguments: String)
    }

    /// What the dialect calls the server that has the tools: here it is the worker.
    static let server = "worker"

    var id: String
    var content: Content
    var status = Status.inProgress

    /// The item as it is shown now.
    func write(_ json: inout JSONWriter) {
        json.member("id", self.id)
        switch self.content {
        case .message(let text):
            json.member("type", "message")
            json.member("status", self.status.rawValue)
            json.member("role", "assistant")
            // The part is announced by an event of its own, after the item.
            let parts = self.status == .inProgress && text.isEmpty ? [] : [text]
            json.member("content", objects: parts) { Self.writePart($1, &$0) }
        case .reasoning(let text):
            json.member("type", "reasoning")
            json.member("status", self.status.rawValue)
            json.member("summary", objects: text.isEmpty ? [] : [text]) { Self.writeSummary($1, &$0) }
        case .tool(let tool):
            json.member("type", "mcp_call")
            json.member("status", self.status.rawValue)
            json.member("server_label", Self.server)
            json.member("name", tool.name)
            json.member("arguments", Self.text(tool.input) ?? "")
            json.member("output", self.status == .failed ? nil : Self.text(tool.output))
            json.member("error", self.status == .failed ? Self.text(tool.output) ?? "the tool failed" : nil)
            json.member("approval_request_id", nil as String?)
        case .question(let name, let arguments):
            json.member("type", "mcp_approval_request")
            json.member("server_label", Self.server)
            json.member("name", name)
            json.member("arguments", arguments)
        }
    }

    static func writePart(_ text: String, _ json: inout JSONWriter) {
        json.member("type", "output_text")
        json.member("text", text)
        json.member("annotations", array: [Int]()) { _, _ in }
        json.member("logprobs", array: [Int]()) { _, _ in }
    }

    static func writeSummary(_ text: String, _ json: inout JSONWriter) {
        json.member("type", "summary_text")
        json.member("text", text)
    }

    /// A value as text: strings as they are, anything else as JSON; nil for nothing.
    static func text(_ value: JSONValue?) -> String? {
        switch value {
        case nil, .null: nil
        case .string(let text): text
        case let value?: String(decoding: JSONWriter.text(value), as: UTF8.self)
        }
    }
}
