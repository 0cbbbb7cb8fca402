import Domain
import Foundation

/// A turn's events to what a person sees. Pure: the text to print comes out, and the state of the turn.
struct ChatRenderer: Sendable {
    /// What the renderer writes for.
    enum Style: Sendable {
        /// A person at a terminal: tools, thoughts and retries show, dimmed.
        case terminal
        /// A pipe or a file: the reply and nothing else.
        case plain
    }

    /// How the turn ended.
    enum Ending: Sendable, Hashable {
        case completed
        case failed(code: String, message: String)
        case cancelled
    }

    /// What to write.
    struct Output: Sendable, Hashable {
        var text = ""
        /// For standard error.
        var notice = ""
        /// What the person is to decide.
        var question: ChatQuestion?
        /// The question, by its approval's id, that needs no answer any more.
        var answered: String?
    }

    let style: Style
    private(set) var ending: Ending?
    /// The turn's id, once an event named it.
    private(set) var turn: String?
    /// Where to resume.
    private(set) var lastEventID: String?
    private var printed = ""
    private var isAtLineStart = true
    private var isThinking = false
    private var toolStates: [String: String] = [:]

    init(style: Style) {
        self.style = style
    }

    /// Takes one event. Kinds that it does not know, and events after the last, change nothing.
    mutating func take(_ event: StreamedEvent) -> Output {
        guard self.ending == nil else { return Output() }
        if let id = event.id, !id.isEmpty { self.lastEventID = id }
        guard let data = try? JSONDecoder().decode(JSONValue.self, from: Data(event.data.utf8)) else {
            return Output()
        }
        if let turn = data["turn"]?.text { self.turn = turn }
        switch event.type {
        case "delta":
            // A script gets the reply whole, from the last event: a retry may take back what was streamed.
            return self.style == .terminal ? self.reply(data["text"]?.text ?? "") : Output()
        case "thought":
            return self.thought(data["text"]?.text ?? "")
        case "tool":
            return self.tool(data)
        case "approval.requested":
            return self.asked(data)
        case "approval.resolved":
            return self.resolved(data)
        case "waiting_account":
            let provider = Self.printable(data["provider"]?.text ?? "")
            return Output(notice: "Waiting: no live replica hosts an account of \(provider) for this conversation.\n")
        case "account.migrated":
            return Output(notice: "The conversation goes on on another account.\n")
        case "turn.retried":
            return self.retried(data)
        case "turn.completed":
            return self.completed(data["reply"]?.text ?? "")
        case "turn.failed":
            let (code, message) = (data["code"]?.text ?? "unknown", data["message"]?.text ?? "")
            self.ending = .failed(code: code, message: message)
            return Output(text: self.lineEnd(), notice: "The turn failed: \(Self.printable(message)) (\(code))\n")
        case "turn.cancelled":
            self.ending = .cancelled
            return Output(text: self.lineEnd(), notice: "The turn was cancelled.\n")
        default:
            return Output()
        }
    }

    /// Whether `event` belongs to the turn that is being shown: the first turn that is seen is that one.
    func isOwn(_ event: StreamedEvent) -> Bool {
        guard let turn = self.turn else { return true }
        let data = try? JSONDecoder().decode(JSONValue.self, from: Data(event.data.utf8))
        return data?["turn"]?.text.map { $0 == turn } ?? true
    }

    private mutating func reply(_ text: String) -> Output {
        let before = self.endThought()
        self.printed += text
        let shown = self.style == .terminal ? Self.printable(text) : text
        if let last = shown.last { self.isAtLineStart = last.isNewline }
        return Output(text: before + shown)
    }

    private mutating func thought(_ text: String) -> Output {
        guard self.style == .terminal, !text.isEmpty else { return Output() }
        let before = self.isThinking ? "" : self.lineEnd()
        self.isThinking = true
        return Output(text: before + Self.dim(Self.printable(text)))
    }

    private mutating func tool(_ data: JSONValue) -> Output {
        guard self.style == .terminal, let id = data["id"]?.text else { return Output() }
        let (name, status) = (data["name"]?.text ?? "tool", data["status"]?.text ?? "")
        // Many updates of a tool say only that it is still running.
        guard self.toolStates.updateValue(status, forKey: id) != status else { return Output() }
        let before = self.endThought() + self.lineEnd()
        return Output(text: before + Self.dim("· \(Self.printable(name)): \(Self.printable(status))") + "\n")
    }

    private mutating func asked(_ data: JSONValue) -> Output {
        guard let question = ChatQuestion(data) else { return Output() }
        return Output(text: self.endThought() + self.lineEnd(), question: question)
    }

    private mutating func resolved(_ data: JSONValue) -> Output {
        guard let id = data["approval"]?.text else { return Output() }
        var output = Output(answered: id)
        guard self.style == .terminal else { return output }
        let what = data["decision"]?.text.map { "decided: \($0)" } ?? data["state"]?.text ?? "over"
        output.text = self.endThought() + self.lineEnd() + Self.dim("· \(Self.printable(what))") + "\n"
        return output
    }

    private mutating func retried(_ data: JSONValue) -> Output {
        let message = Self.printable(data["message"]?.text ?? "")
        self.printed = ""
        guard self.style == .terminal else { return Output(notice: "Trying again: \(message)\n") }
        return Output(text: self.endThought() + self.lineEnd() + Self.dim("· trying again: \(message)") + "\n")
    }

    /// The last event holds the whole reply, so what a lost connection swallowed shows all the same.
    private mutating func completed(_ reply: String) -> Output {
        var output = Output(text: self.endThought())
        if reply != self.printed {
            var rest = reply
            if reply.utf8.starts(with: self.printed.utf8) {
                rest = String(decoding: reply.utf8.dropFirst(self.printed.utf8.count), as: UTF8.self)
            } else {
                output.text += self.lineEnd()
            }
            output.text += self.reply(rest).text
        }
        output.text += self.lineEnd()
        self.ending = .completed
        return output
    }

    private mutating func endThought() -> String {
        guard self.isThinking else { return "" }
        self.isThinking = false
        self.isAtLineStart = true
        return "\n"
    }

    private mutating func lineEnd() -> String {
        guard !self.isAtLineStart else { return "" }
        self.isAtLineStart = true
        return "\n"
    }

    /// Without the control characters by which a reply could take over a terminal.
    static func printable(_ text: String) -> String {
        String(
            String.UnicodeScalarView(
                text.unicodeScalars.filter { scalar in
                    scalar == "\n" || scalar == "\t"
                        || !(scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value))
                }
            )
        )
    }

    private static func dim(_ text: String) -> String {
        "\u{1B}[2m\(text)\u{1B}[0m"
    }
}
