import Domain

/// A worker's question as a person at the terminal sees and answers it. Pure.
struct ChatQuestion: Sendable, Hashable {
    /// The approval's id.
    let id: String
    let tool: String
    /// What the tool would be given, as JSON text; nil when the worker did not say.
    let arguments: String?
    let options: [ApprovalOption]

    /// Nil for an event that is no question.
    init?(_ data: JSONValue) {
        guard let id = data["approval"]?.text else { return nil }
        self.id = id
        self.tool = data["tool"]?["name"]?.text ?? "something"
        self.arguments = data["arguments"].flatMap { $0 == .null ? nil : try? Console.json($0) }
        self.options = (data["options"]?.elements ?? []).compactMap { option in
            guard let id = option["id"]?.text else { return nil }
            return ApprovalOption(id: id, name: option["name"]?.text ?? id, kind: option["kind"]?.text ?? "")
        }
    }

    /// What is asked, over several lines, without the final newline.
    var text: String {
        var lines = ["? The worker asks to use: \(self.tool)"]
        if let arguments { lines.append(arguments.split(separator: "\n").joined(separator: "\n")) }
        for (index, option) in self.options.enumerated() { lines.append("  \(index + 1)  \(option.name)") }
        lines.append("Allow it? y, n" + (self.options.isEmpty ? ": " : ", or a number: "))
        return ChatRenderer.printable(lines.joined(separator: "\n"))
    }

    /// What a script's user can do about it, on one line.
    var hint: String {
        ChatRenderer.printable(
            "The worker asks to use \(self.tool) and waits. Decide with: "
                + "turnpike approval decide \(self.id) allow\n"
        )
    }

    /// The decision that a typed line means; nil when it means none.
    func decision(_ line: String) -> String? {
        let word = line.split(whereSeparator: \.isWhitespace).joined(separator: " ")
        switch word.lowercased() {
        case "y", "yes", "allow": return "allow"
        case "n", "no", "deny", "reject": return "deny"
        default: break
        }
        if let number = Int(word), self.options.indices.contains(number - 1) { return self.options[number - 1].id }
        return self.options.first { $0.id == word }?.id
    }
}
