import Domain

/// Content of the dialects as the parts that workers take: those of ACP.
enum ContentParts {
    /// Types of parts that are text.
    static let texts = ["text", "input_text", "output_text", "summary_text"]

    /// A string, an array of parts, or nothing. Throws 400 with the path of a part that no worker could be given.
    static func read(_ content: JSONValue?, at path: String) throws(APIError) -> [JSONValue] {
        switch content {
        case nil, .null: return []
        case .string(let text): return [self.text(text)]
        case .array(let elements):
            var parts: [JSONValue] = []
            for (index, element) in elements.enumerated() {
                parts.append(try self.part(element, at: "\(path)[\(index)]"))
            }
            return parts
        default: throw .invalid(path, "must be a string or an array of parts")
        }
    }

    static func text(_ text: String) -> JSONValue {
        ["type": "text", "text": .string(text)]
    }

    private static func part(_ part: JSONValue, at path: String) throws(APIError) -> JSONValue {
        switch part["type"]?.text {
        case let type? where self.texts.contains(type):
            guard let text = part["text"]?.text else { throw .invalid("\(path).text", "must be a string") }
            return self.text(text)
        case "refusal":
            guard let text = part["refusal"]?.text else { throw .invalid("\(path).refusal", "must be a string") }
            return self.text(text)
        case "image_url", "input_image":
            guard let url = part["image_url"]?["url"]?.text ?? part["image_url"]?.text, !url.isEmpty else {
                throw .invalid("\(path).image_url", "must have a URL")
            }
            return self.image(url)
        case "input_audio":
            guard let data = part["input_audio"]?["data"]?.text else {
                throw .invalid("\(path).input_audio.data", "must be a string")
            }
            let format = part["input_audio"]?["format"]?.text ?? "wav"
            return ["type": "audio", "data": .string(data), "mimeType": .string("audio/\(format)")]
        default:
            throw .invalid("\(path).type", "must be text, image_url, input_image or input_audio")
        }
    }

    /// Data in the URL itself is an image, anything else a link that the agent may follow.
    private static func image(_ url: String) -> JSONValue {
        let halves = url.split(separator: ",", maxSplits: 1)
        guard url.hasPrefix("data:"), halves.count == 2, halves[0].hasSuffix(";base64") else {
            return ["type": "resource_link", "uri": .string(url), "name": "image"]
        }
        let type = halves[0].dropFirst("data:".count).prefix { $0 != ";" }
        return ["type": "image", "data": .string(String(halves[1])), "mimeType": .string(String(type))]
    }
}

/// Earlier messages as context for a worker that has not seen them.
enum ChatHistory {
    /// One text part that cannot be taken for the message itself: it says what it is, and the messages are JSON, so that
    /// nothing in them can end it. Nil when there is nothing to tell.
    static func part(_ messages: [ChatMessage]) -> JSONValue? {
        let told = messages.filter { !$0.isEmpty }
        guard !told.isEmpty else { return nil }
        let list = JSONValue.array(told.map { ["role": .string($0.role.rawValue), "text": .string($0.text)] })
        let text = String(decoding: JSONWriter.text(list), as: UTF8.self)
        return ContentParts.text(
            "Earlier messages of this conversation, as JSON, for context only; the message to answer follows.\n\(text)"
        )
    }

    /// What a worker gets: the earlier messages if it has to be told them, then the new one. Throws 413 when their JSON is
    /// longer than `limit` bytes.
    static func input(
        _ message: ChatMessage,
        after history: [ChatMessage],
        atMost limit: Int
    ) throws(APIError) -> TurnInput {
        let parts = [self.part(history)].compactMap { $0 } + message.parts
        guard JSONWriter.text(.array(parts)).count <= limit else {
            throw APIError(413, "content_too_large", "the input of a turn may have \(limit) bytes")
        }
        return TurnInput(parts: parts)
    }
}
