/// An agent's leave to use a model through the gateway: the member `model` of its configuration.
package struct ModelAccess: Sendable, Hashable {
    /// The upstream's name; where it is and its key are the gateway's own.
    package var upstream: String
    /// Models that may be asked for; `*` at the end stands for any ending. Empty for all.
    package var models: [String] = []
    /// Calls of one run of a turn; nil for no bound.
    package var calls: Int?
    /// Tokens of one run of a turn, of questions and answers together; nil for no bound.
    package var tokens: Int?
    /// Bytes of one run of a turn, of questions and answers together; nil for no bound.
    package var bytes: Int?

    package init(upstream: String) {
        self.upstream = upstream
    }

    /// Whether `model` may be asked for.
    package func allows(_ model: String) -> Bool {
        self.models.isEmpty
            || self.models.contains { pattern in
                pattern.hasSuffix("*")
                    ? model.utf8.starts(with: pattern.utf8.dropLast()) : model.utf8.elementsEqual(pattern.utf8)
            }
    }

    /// The variables that tell an agent where its model is; its own configuration must not set them.
    package static let variables = ["OPENAI_BASE_URL", "OPENAI_API_KEY", "ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY"]

    /// What is wrong with it: a member and a sentence each.
    var problems: [(member: String, problem: String)] {
        var found: [(member: String, problem: String)] = []
        if !Upstream.isName(self.upstream) { found.append(("upstream", "must be 1 to 64 of a-z, 0-9, - and _")) }
        if self.models.contains(where: \.isEmpty) { found.append(("models", "must not hold an empty name")) }
        for (member, value) in [("calls", self.calls), ("tokens", self.tokens), ("bytes", self.bytes)] {
            if let value, value < 1 { found.append((member, "must be at least 1")) }
        }
        return found
    }
}

extension ModelAccess: Codable {
    private enum Member: String, CodingKey, CaseIterable {
        case upstream, models, calls, tokens, bytes
    }

    package init(from decoder: any Decoder) throws {
        try UnknownMembers.refuse(in: decoder, known: Member.allCases.map(\.rawValue))
        let values = try decoder.container(keyedBy: Member.self)
        self.init(upstream: try values.decode(String.self, forKey: .upstream))
        self.models = try values.decodeIfPresent([String].self, forKey: .models) ?? []
        self.calls = try values.decodeIfPresent(Int.self, forKey: .calls)
        self.tokens = try values.decodeIfPresent(Int.self, forKey: .tokens)
        self.bytes = try values.decodeIfPresent(Int.self, forKey: .bytes)
    }

    package func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: Member.self)
        try values.encode(self.upstream, forKey: .upstream)
        if !self.models.isEmpty { try values.encode(self.models, forKey: .models) }
        try values.encodeIfPresent(self.calls, forKey: .calls)
        try values.encodeIfPresent(self.tokens, forKey: .tokens)
        try values.encodeIfPresent(self.bytes, forKey: .bytes)
    }
}

/// What one run of a turn has used of its leave, as a value.
package struct ModelBudget: Sendable, Hashable {
    /// What is used up.
    package enum Spent: String, Sendable, Hashable {
        case calls, tokens, bytes
    }

    private let access: ModelAccess
    private var calls = 0
    private var tokens = 0
    private var bytes = 0

    package init(_ access: ModelAccess) {
        self.access = access
    }

    /// Counts one more call with a question of so many bytes. What it names is used up: then nothing is counted.
    package mutating func begin(bytes: Int) -> Spent? {
        if let most = self.access.calls, self.calls >= most { return .calls }
        if let most = self.access.tokens, self.tokens >= most { return .tokens }
        if let most = self.access.bytes, self.bytes > most - bytes { return .bytes }
        self.calls += 1
        self.bytes += bytes
        return nil
    }

    /// Counts a piece of an answer. False when it is too much.
    package mutating func receive(bytes: Int) -> Bool {
        self.bytes += bytes
        return self.access.bytes.map { self.bytes <= $0 } ?? true
    }

    /// Counts what an answer has cost. Known only at its end, so the last answer may go over the bound.
    package mutating func pay(tokens: Int) {
        self.tokens += max(0, tokens)
    }
}
