import Domain

extension ResponseProjection {
    /// The response as it stands.
    func object() -> [UInt8] {
        JSONWriter.object(capacity: 1_024) { json in
            json.member("id", self.id.text)
            json.member("object", "response")
            json.member("created_at", UnixTime.seconds(of: self.id.turn))
            json.member("status", self.status.rawValue)
            json.member("background", flag: self.settings.background)
            self.writeEnding(&json)
            json.member("instructions", self.settings.instructions)
            json.member("max_output_tokens", json: nil)
            json.member("metadata", json: String(decoding: JSONWriter.text(self.settings.metadata), as: UTF8.self))
            json.member("model", self.model)
            json.member("output", objects: self.items) { $1.write(&$0) }
            json.member("parallel_tool_calls", flag: false)
            json.member("previous_response_id", self.previous)
            if let conversation = self.settings.conversation {
                json.member("conversation") { $0.member("id", conversation) }
            } else {
                json.member("conversation", json: nil)
            }
            json.member("store", flag: self.settings.stores)
            json.member("temperature", json: nil)
            json.member("text") { text in
                text.member("format") { $0.member("type", "text") }
            }
            json.member("tool_choice", "auto")
            json.member("tools", array: [Int]()) { _, _ in }
            json.member("top_p", json: nil)
            json.member("truncation", "disabled")
            self.writeUsage(&json)
        }
    }

    /// A later part follows the one before it.
    private var previous: String? {
        guard self.id.part > 0 else { return self.settings.previous }
        return ResponseID(turn: self.id.turn, part: self.id.part - 1).text
    }

    private func writeEnding(_ json: inout JSONWriter) {
        if let (code, message) = self.failure {
            json.member("error") { error in
                error.member("code", code)
                error.member("message", message)
            }
        } else {
            json.member("error", json: nil)
        }
        if self.status == .incomplete {
            json.member("incomplete_details") { $0.member("reason", "max_output_tokens") }
        } else {
            json.member("incomplete_details", json: nil)
        }
    }

    private func writeUsage(_ json: inout JSONWriter) {
        guard let usage = self.usage else { return json.member("usage", json: nil) }
        json.member("usage") { json in
            json.member("input_tokens", usage.input)
            json.member("input_tokens_details") { details in
                details.member("cached_tokens", usage.cached)
                details.member("cache_write_tokens", usage.cacheWritten)
            }
            json.member("output_tokens", usage.output)
            json.member("output_tokens_details") { $0.member("reasoning_tokens", usage.reasoning) }
            json.member("total_tokens", usage.total)
        }
    }
}
