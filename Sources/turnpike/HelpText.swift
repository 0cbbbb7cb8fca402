/// Help texts, made from the commands' specifications so that they cannot disagree with the parser.
struct HelpText: Sendable {
    let commands: [CommandSpec]

    /// The text for a command's path, a group's name, or the whole program (an empty topic).
    func text(_ topic: [String]) -> String {
        if let spec = self.commands.first(where: { $0.path == topic }) { return self.command(spec) }
        if let first = topic.first { return self.group(first) }
        return self.program
    }

    private var program: String {
        var text = """
            turnpike: conversations with any agent program, in order, each turn answered once, on many replicas.

            Usage: turnpike COMMAND [OPTION…]

            Commands:

            """
        text += Self.columns(self.commands.map { ($0.name, $0.summary) } + [("help [COMMAND]", "explain a command")])
        text += "\nFirst steps:\n"
        text += Self.columns([
            ("turnpike dev", "start everything on this machine"), ("turnpike chat", "then, in another terminal: talk"),
        ])
        text +=
            "\nSettings come from flags, TURNPIKE_… variables (TURNPIKE_DATABASE_URL_FILE for a secret in a file),\n"
        text += "a JSON file (--config), and defaults, in this order. See: turnpike help serve\n"
        text += "\nExit codes:\n"
        text += Self.columns(ExitCode.allCases.map { (String($0.rawValue), $0.meaning) })
        return text
    }

    private func group(_ name: String) -> String {
        let parts = self.commands.filter { $0.path.first == name }
        return "Usage: turnpike \(name) PART [OPTION…]\n\nParts:\n"
            + Self.columns(parts.map { ($0.name, $0.summary) })
            + "\nMore: turnpike help \(name) PART\n"
    }

    private func command(_ spec: CommandSpec) -> String {
        let arguments = spec.arguments.isEmpty ? "" : " " + spec.arguments
        var text = "turnpike \(spec.name): \(spec.summary)\n\nUsage: turnpike \(spec.name) [OPTION…]\(arguments)\n"
        if !spec.details.isEmpty { text += "\n" + spec.details.joined(separator: "\n") + "\n" }
        text += "\nOptions:\n"
        text += Self.columns(
            spec.options.map { option in
                (option.value.map { "\(option.name) \($0)" } ?? option.name, option.help + Self.fallback(option))
            } + [("--help", "this text")]
        )
        if !spec.examples.isEmpty {
            text += "\nExamples:\n"
            for example in spec.examples { text += "  \(example.line)\n      \(example.effect)\n" }
        }
        return text
    }

    /// The variable and the default of a setting.
    private static func fallback(_ option: OptionSpec) -> String {
        guard let setting = Setting.allCases.first(where: { $0.flag == option.name }) else { return "" }
        return setting.defaultText.map { " [\($0)]" } ?? ""
    }

    private static func columns(_ rows: [(String, String)]) -> String {
        let width = rows.map(\.0.count).filter { $0 <= 30 }.max() ?? 0
        return rows.map { left, right in
            let gap =
                left.count <= width
                ? String(repeating: " ", count: width - left.count) : "\n" + String(repeating: " ", count: width + 2)
            return "  \(left)\(gap)  \(right)\n"
        }.joined()
    }
}
