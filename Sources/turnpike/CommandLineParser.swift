/// One option of a command.
struct OptionSpec: Sendable, Hashable {
    /// With the dashes.
    let name: String
    /// What its value is called in the help text; nil for a switch.
    let value: String?
    let help: String
    /// Whether it may be given more than once.
    var repeats = false
}

/// One command: everything that the parser and the help text need to know about it.
struct CommandSpec: Sendable {
    /// One word, or two for a command with parts: `agent put`.
    let path: [String]
    /// One line.
    let summary: String
    /// The arguments as the help text shows them.
    var arguments = ""
    /// How many arguments it takes.
    var arity: ClosedRange<Int> = 0...0
    /// Whether everything after `--` belongs to it.
    var takesRest = false
    var options: [OptionSpec] = []
    /// More about it, in whole lines.
    var details: [String] = []
    /// Command lines to try, with what they do.
    var examples: [(line: String, effect: String)] = []

    var name: String { self.path.joined(separator: " ") }
}

/// What the user asked for.
enum Request: Sendable, Hashable {
    /// The help text of a command, or of a group of commands, or (empty) of the program.
    case help([String])
    case version
    case run(Invocation)
}

/// A command with its options and arguments.
struct Invocation: Sendable, Hashable {
    var path: [String]
    /// By the option's name; switches have an empty value.
    var options: [String: [String]] = [:]
    var arguments: [String] = []
    /// What stood after `--`.
    var rest: [String] = []

    var name: String { self.path.joined(separator: " ") }

    func has(_ option: String) -> Bool {
        self.options[option] != nil
    }

    /// The option's value; the last one wins.
    func value(_ option: String) -> String? {
        self.options[option]?.last
    }

    func values(_ option: String) -> [String] {
        self.options[option] ?? []
    }
}

/// Words of the command line to a request. Nothing unknown passes, and nothing is abbreviated.
struct CommandLineParser: Sendable {
    let commands: [CommandSpec]

    /// Throws a usage failure that names the wrong word and where to read on. `words` is without the program's name.
    func parse(_ words: [String]) throws(CommandFailure) -> Request {
        guard let first = words.first else { return .help([]) }
        switch first {
        case "--version", "version": return .version
        case "--help", "-h": return .help([])
        case "help": return .help(try self.helpTopic(Array(words.dropFirst())))
        default: break
        }
        guard !first.hasPrefix("-") else {
            throw Self.usage("the command comes first, before \(first)", [])
        }
        let command = try self.command(words)
        switch command {
        case .group(let path): return .help(path)
        case .command(let spec): return try self.parse(words.dropFirst(spec.path.count), of: spec)
        }
    }

    private enum Found {
        case command(CommandSpec)
        /// Help was asked for a command with parts.
        case group([String])
    }

    private func helpTopic(_ words: [String]) throws(CommandFailure) -> [String] {
        guard let first = words.first else { return [] }
        if words.count == 1, self.commands.contains(where: { $0.path[0] == first }) { return words }
        guard case .command(let spec) = try self.command(words) else { return [first] }
        return spec.path
    }

    private func command(_ words: [String]) throws(CommandFailure) -> Found {
        let first = words[0]
        let group = self.commands.filter { $0.path[0] == first }
        guard let alone = group.first else {
            let known = self.commands.map { $0.path[0] }
            throw Self.usage(#"there is no command "\#(first)"\#(Suggestion.phrase(for: first, among: known))"#, [])
        }
        if alone.path.count == 1 { return .command(alone) }
        let parts = group.map { $0.path[1] }
        guard words.count > 1 else {
            throw Self.usage(#""\#(first)" needs one of: \#(parts.joined(separator: ", "))"#, [first])
        }
        if words[1] == "--help" || words[1] == "-h" { return .group([first]) }
        guard let spec = group.first(where: { $0.path[1] == words[1] }) else {
            let suggestion = Suggestion.phrase(for: words[1], among: parts)
            throw Self.usage(#""\#(first)" has no part "\#(words[1])"\#(suggestion)"#, [first])
        }
        return .command(spec)
    }

    private func parse(_ words: ArraySlice<String>, of spec: CommandSpec) throws(CommandFailure) -> Request {
        var invocation = Invocation(path: spec.path)
        var words = words
        while let word = words.popFirst() {
            if word == "--help" || word == "-h" { return .help(spec.path) }
            if word == "--" {
                guard spec.takesRest else {
                    invocation.arguments += words
                    break
                }
                invocation.rest = Array(words)
                break
            }
            guard word.hasPrefix("-"), word != "-" else {
                invocation.arguments.append(word)
                continue
            }
            try Self.parseOption(word, &words, of: spec, into: &invocation)
        }
        guard spec.arity.contains(invocation.arguments.count) else {
            throw Self.usage(Self.wrongCount(invocation.arguments, spec), spec.path)
        }
        return .run(invocation)
    }

    private static func parseOption(
        _ word: String,
        _ words: inout ArraySlice<String>,
        of spec: CommandSpec,
        into invocation: inout Invocation
    ) throws(CommandFailure) {
        let halves = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        let name = halves[0]
        guard let option = spec.options.first(where: { $0.name == name }) else {
            let suggestion = Suggestion.phrase(for: name, among: spec.options.map(\.name) + ["--help"])
            throw self.usage(#"\#(spec.name) has no option \#(name)\#(suggestion)"#, spec.path)
        }
        if invocation.has(name), !option.repeats {
            throw self.usage("\(name) is given twice", spec.path)
        }
        var value = ""
        if let placeholder = option.value {
            guard let given = halves.count == 2 ? halves[1] : words.popFirst() else {
                throw self.usage("\(name) needs a value: \(name) \(placeholder)", spec.path)
            }
            // A forgotten value would swallow the next option.
            guard halves.count == 2 || !given.hasPrefix("--") else {
                throw self.usage(
                    "\(name) needs a value before \(given) (write \(name)=\(given) if that is the value)",
                    spec.path
                )
            }
            value = given
        } else if halves.count == 2 {
            throw self.usage("\(name) is a switch and takes no value", spec.path)
        }
        invocation.options[name, default: []].append(value)
    }

    private static func wrongCount(_ arguments: [String], _ spec: CommandSpec) -> String {
        if arguments.count > spec.arity.upperBound {
            return #"\#(spec.name) does not take "\#(arguments[spec.arity.upperBound])""#
        }
        return "\(spec.name) needs \(spec.arguments)"
    }

    private static func usage(_ message: String, _ topic: [String]) -> CommandFailure {
        let words = ["turnpike", "help"] + topic
        return CommandFailure(.usage, message, remedy: "Try: \(words.joined(separator: " "))")
    }
}
