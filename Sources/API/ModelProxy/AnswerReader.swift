import Domain

/// Reads along an answer on its way: what it cost, and which backend gave it. Changes nothing about it.
///
/// Knows the answers of Chat Completions, Responses, Embeddings and Messages, whole and streamed.
struct AnswerReader: Sendable {
    /// How an answer comes.
    enum Form: Sendable, Hashable {
        case whole
        /// Server-sent events.
        case events
        /// Compressed, or no JSON: only counted.
        case opaque
    }

    /// An answer, or an event of one, that is longer than this is not looked into.
    private static let longest = 8 << 20

    private let form: Form
    /// The member that names the backend; nil when a header does.
    private let member: String?
    private var text: [UInt8] = []
    private var isTooLong = false
    private var input = 0
    private var output = 0
    private var hasUsage = false
    private var bytes = 0
    private var events = 0
    /// Who gave the answer, once it has said so.
    private(set) var backend: BackendID?

    init(_ form: Form, member: String?) {
        self.form = form
        self.member = member
    }

    /// Takes the next bytes of the answer.
    mutating func take(_ bytes: [UInt8]) {
        self.bytes += bytes.count
        switch self.form {
        case .opaque: return
        case .whole: self.gather(bytes[...])
        case .events:
            var rest = bytes[...]
            while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
                self.gather(rest[..<end])
                self.endLine()
                rest = rest[(end + 1)...]
            }
            self.gather(rest)
        }
    }

    /// The answer is whole.
    mutating func finish() {
        switch self.form {
        case .opaque: break
        case .whole: self.look(self.text[...])
        case .events: self.endLine()
        }
        self.text = []
    }

    /// What the answer cost. Where it does not say, a word of four letters counts as one token, and so does each event of a
    /// stream.
    func tokens(questionBytes: Int) -> Int {
        if self.hasUsage { return self.input + self.output }
        return questionBytes / 4 + (self.form == .events ? self.events : self.bytes / 4)
    }

    private mutating func gather(_ bytes: ArraySlice<UInt8>) {
        guard !self.isTooLong else { return }
        self.isTooLong = self.text.count + bytes.count > Self.longest
        if self.isTooLong { self.text = [] } else { self.text += bytes }
    }

    private mutating func endLine() {
        let field = Array("data:".utf8)
        if self.isTooLong || self.text.starts(with: field) { self.events += 1 }
        if self.text.starts(with: field) { self.look(self.text.dropFirst(field.count)) }
        self.text.removeAll(keepingCapacity: true)
        self.isTooLong = false
    }

    private mutating func look(_ json: ArraySlice<UInt8>) {
        // The end of a stream is no object, and an answer may be anything.
        guard let members = try? TopMembers(json) else { return }
        self.note(members)
        // Streamed answers of two dialects wrap what a whole one is.
        for wrapper in ["response", "message"] { members.object(wrapper).map { self.note($0) } }
    }

    private mutating func note(_ members: TopMembers) {
        if self.backend == nil, let member = self.member {
            self.backend = members[member]?.text.flatMap { BackendID($0) }
        }
        guard members.has("usage"), let usage = members["usage"], case .object = usage else { return }
        // Some tell it bit by bit, always as a sum.
        self.input = max(self.input, Self.count(usage, "prompt_tokens", "input_tokens"))
        self.output = max(self.output, Self.count(usage, "completion_tokens", "output_tokens"))
        if self.input + self.output == 0 { self.input = Self.count(usage, "total_tokens") }
        self.hasUsage = true
    }

    private static func count(_ usage: JSONValue, _ names: String...) -> Int {
        names.lazy.compactMap { usage[$0]?.integer }.first.map { Int(clamping: max(0, min($0, 1 << 40))) } ?? 0
    }
}
