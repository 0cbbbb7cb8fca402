import Domain

/// The id of a response: that of its turn and, since the turn goes on when a question of its worker has been decided, how
/// many questions the turn had asked when this part of it began.
struct ResponseID: Hashable, Sendable {
    static let prefix = "resp_"

    var turn: TurnID
    var part: Int

    init(turn: TurnID, part: Int = 0) {
        self.turn = turn
        self.part = part
    }

    /// Reads `resp_<32 digits>[_<part>]`; nil for anything else.
    init?(_ text: String) {
        let pieces = text.split(separator: "_", omittingEmptySubsequences: false)
        guard (2...3).contains(pieces.count), pieces[0] == "resp", let turn = Dialect.id(pieces[1], TurnID.self) else {
            return nil
        }
        self.turn = turn
        self.part = 0
        guard pieces.count == 3 else { return }
        guard let part = Int(pieces[2]), part > 0, String(part) == pieces[2] else { return nil }
        self.part = part
    }

    var text: String { self.part == 0 ? self.base : "\(self.base)_\(self.part)" }

    private var base: String { Self.prefix + Dialect.digits(self.turn) }

    /// The id of the part's item of this number.
    func item(_ kind: String, _ index: Int) -> String {
        "\(kind)_\(Dialect.digits(self.turn))_\(self.part)_\(index)"
    }
}

/// What a response shows of its request, stored as JSON with its turn.
struct ResponseSettings: Hashable, Sendable {
    /// The id as given.
    var previous: String?
    /// The conversation, if the client named one.
    var conversation: String?
    var instructions: String?
    /// A JSON object.
    var metadata: JSONValue = [:]
    var background = false
    var stores = true

    init() {}

    init(stored text: String) {
        let json = StoredText.value(text)
        self.previous = json["previous_response_id"]?.text
        self.conversation = json["conversation"]?.text
        self.instructions = json["instructions"]?.text
        self.metadata = json["metadata"] ?? [:]
        self.background = json["background"]?.flag ?? false
    }

    /// The text to store; nil for a response that is not to be kept.
    var stored: String? {
        guard self.stores else { return nil }
        let json = JSONWriter.object { json in
            json.member("previous_response_id", self.previous)
            json.member("conversation", self.conversation)
            json.member("instructions", self.instructions)
            json.member("metadata", json: String(decoding: JSONWriter.text(self.metadata), as: UTF8.self))
            json.member("background", flag: self.background)
        }
        return String(decoding: json, as: UTF8.self)
    }
}
