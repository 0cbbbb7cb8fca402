import Domain

/// What the document says of a route beside its method, its path and its scope.
struct Operation: Sendable {
    /// What is answered when all is well.
    enum Answer: Sendable {
        /// JSON of the named schema.
        case json(String)
        /// Text of a media type.
        case text(String)
        /// Nothing.
        case nothing
    }

    let summary: String
    /// The named schema of the body; nil where there is none.
    var body: String?
    /// Whether the body may be left out.
    var isBodyOptional = false
    /// Query parameters by name.
    var query: [String: JSONValue]
    /// Those of them that must be there.
    var required: Set<String>
    /// Header fields by name; none must be there.
    var headers: [String: JSONValue]
    /// Statuses of success.
    let statuses: [Int]
    let answer: Answer
    /// Whether the answer may also be a stream of events.
    var streams: Bool

    init(
        _ summary: String,
        body: String? = nil,
        isBodyOptional: Bool = false,
        query: [String: JSONValue] = [:],
        required: Set<String> = [],
        headers: [String: JSONValue] = [:],
        _ answer: Answer,
        statuses: [Int] = [200],
        streams: Bool = false
    ) {
        self.summary = summary
        self.body = body
        self.isBodyOptional = isBodyOptional
        self.query = query
        self.required = required
        self.headers = headers
        self.statuses = statuses
        self.answer = answer
        self.streams = streams
    }

    private var content: JSONValue {
        var media: [String: JSONValue] = [:]
        switch self.answer {
        case .json(let schema): media["application/json"] = ["schema": Schema.reference(schema)]
        case .text(let type): media[type] = ["schema": Schema.text]
        case .nothing: break
        }
        if self.streams { media["text/event-stream"] = ["schema": Schema.reference("StreamedEvent")] }
        return .object(media)
    }

    /// The operation object of the document.
    func json(method: String, pattern: String, scope: String?) -> JSONValue {
        var responses: [String: JSONValue] = [
            "default": [
                "description": "A refusal or a failure.",
                "content": ["application/json": ["schema": Schema.reference("Error")]],
            ]
        ]
        for status in self.statuses {
            var response: [String: JSONValue] = ["description": .string(self.summary)]
            if case .nothing = self.answer {} else { response["content"] = self.content }
            responses[String(status)] = .object(response)
        }
        let path = pattern.matches(of: /{([a-z]+)}/).map { match in
            let name = String(match.1)
            return Self.parameter(name, in: "path", Self.pathSchemas[name] ?? Schema.name, isRequired: true)
        }
        let query = self.query.sorted { $0.key < $1.key }.map {
            Self.parameter($0.key, in: "query", $0.value, isRequired: self.required.contains($0.key))
        }
        let headers = self.headers.sorted { $0.key < $1.key }.map {
            Self.parameter($0.key, in: "header", $0.value, isRequired: false)
        }
        var members: [String: JSONValue] = [
            "summary": .string(self.summary),
            "operationId": .string(Self.identity(method, pattern)),
            "responses": .object(responses),
            "security": scope == nil ? [] : [["bearer": []]],
        ]
        let parameters = path + query + headers
        if !parameters.isEmpty { members["parameters"] = .array(parameters) }
        if let scope { members["description"] = .string("Needs a token with the scope `\(scope)`.") }
        if let body {
            members["requestBody"] = [
                "required": .bool(!self.isBodyOptional),
                "content": ["application/json": ["schema": Schema.reference(body)]],
            ]
        }
        return .object(members)
    }

    /// What stands in paths, where it is not a name.
    private static let pathSchemas = [
        "turn": Schema.uuid, "approval": Schema.uuid, "token": Schema.uuid, "account": Schema.uuid,
        "seq": Schema.integer(1...Int64.max),
    ]

    private static func parameter(
        _ name: String,
        in place: String,
        _ schema: JSONValue,
        isRequired: Bool
    ) -> JSONValue {
        ["name": .string(name), "in": .string(place), "required": .bool(isRequired), "schema": schema]
    }

    private static func identity(_ method: String, _ pattern: String) -> String {
        let words = pattern.split { !$0.isLetter && !$0.isNumber }
        return ([method.lowercased()] + words.map(String.init)).joined(separator: "_")
    }
}
