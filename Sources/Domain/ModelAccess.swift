/// An agent's leave to use a model through the gateway: the member `model` of its configuration.
package struct ModelAccess: Sendable, Hashable {
    /// The upstream's name; where it is and its key are the gateway's own.
    package var upstream: String
    /// Models that may be asked for; `*` at the end stands for any ending. Empty for all.
    package var models: [String] = []
    /// Calls of a turn, all its runs together; nil for no bound.
    package var calls: Int?
    /// Tokens of a turn, of questions and answers together; nil for no bound.
    package var tokens: Int?
    /// Bytes of a turn, of questions and answers together; nil for no bound.
    package var bytes: Int?

    package init(upstream: String) {
        self.upstream = upstream
    }

    /// Whether it is counted what a turn uses.
    package var isBounded: Bool { self.calls != nil || self.tokens != nil || self.bytes != nil }

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

/// What a turn has used of its leave to ask models.
package struct ModelUse: Sendable, Hashable {
    /// Calls that were begun.
    package var calls = 0
    /// Tokens, of questions and answers together.
    package var tokens = 0
    /// Bytes, of questions and answers together.
    package var bytes = 0

    package init(calls: Int = 0, tokens: Int = 0, bytes: Int = 0) {
        (self.calls, self.tokens, self.bytes) = (calls, tokens, bytes)
    }
}

/// What a turn may still use, as a value. It counts on from what the turn's earlier runs have used, and says what of this
/// run's use is not written down yet.
package struct ModelBudget: Sendable, Hashable {
    /// What is used up.
    package enum Spent: String, Sendable, Hashable {
        case calls, tokens, bytes
    }

    private let access: ModelAccess
    private var use: ModelUse
    private var unwritten = ModelUse()

    package init(_ access: ModelAccess, used: ModelUse = ModelUse()) {
        self.access = access
        self.use = used
    }

    /// Counts one more call with a question of so many bytes. What it names is used up: then nothing is counted.
    package mutating func begin(bytes: Int) -> Spent? {
        if let most = self.access.calls, self.use.calls >= most { return .calls }
        if let most = self.access.tokens, self.use.tokens >= most { return .tokens }
        if let most = self.access.bytes, self.use.bytes > most - bytes { return .bytes }
        self.add(ModelUse(calls: 1, bytes: bytes))
        return nil
    }

    /// Counts a piece of an answer. False when it is too much.
    package mutating func receive(bytes: Int) -> Bool {
        self.add(ModelUse(bytes: bytes))
        return self.access.bytes.map { self.use.bytes <= $0 } ?? true
    }

    /// Counts what an answer has cost. Known only at its end, so the last answer may go over the bound.
    package mutating func pay(tokens: Int) {
        self.add(ModelUse(tokens: max(0, tokens)))
    }

    /// A call that was counted in is not made.
    package mutating func takeBack(bytes: Int) {
        self.add(ModelUse(calls: -1, bytes: -bytes))
    }

    private mutating func add(_ use: ModelUse) {
        self.use.add(use)
        if self.access.isBounded { self.unwritten.add(use) }
    }

    /// Gives out what is to be written; nil when there is nothing. What cannot be written comes back with `giveBack`.
    package mutating func takeUnwritten() -> ModelUse? {
        defer { self.unwritten = ModelUse() }
        return self.unwritten == ModelUse() ? nil : self.unwritten
    }

    /// Takes back what was given out and could not be written.
    package mutating func giveBack(_ use: ModelUse) {
        self.unwritten.add(use)
    }
}

extension ModelUse {
    fileprivate mutating func add(_ other: ModelUse) {
        self = ModelUse(
            calls: self.calls + other.calls,
            tokens: self.tokens + other.tokens,
            bytes: self.bytes + other.bytes
        )
    }
}
