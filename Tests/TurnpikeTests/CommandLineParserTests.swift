import Domain
import Testing

@testable import turnpike

@Suite("The command line")
struct CommandLineParserTests {
    private let parser = CommandLineParser(commands: Commands.all)

    private func invocation(_ words: [String]) throws -> Invocation {
        guard case .run(let invocation) = try self.parser.parse(words) else {
            throw CommandFailure(.failure, "\(words) is no command to run")
        }
        return invocation
    }

    private func refusal(_ words: [String]) -> CommandFailure? {
        #expect(throws: CommandFailure.self) { try self.parser.parse(words) }
    }

    @Test(
        "a wrong word is refused with its name and a suggestion",
        arguments: [
            (["serv"], #"there is no command "serv" (did you mean "serve"?)"#),
            (["frobnicate"], #"there is no command "frobnicate""#),
            (["--json", "status"], "the command comes first, before --json"),
            (["agent"], #""agent" needs one of: list, show, put, presets, add, check, delete"#),
            (["agent", "lsit"], #""agent" has no part "lsit" (did you mean "list"?)"#),
            (["agent", "show"], "agent show needs NAME"),
            (["agent", "show", "a", "b"], #"agent show does not take "b""#),
            (["serve", "--lisen", "x"], "serve has no option --lisen (did you mean --listen?)"),
            (["serve", "--listen"], "--listen needs a value: --listen HOST:PORT"),
            (["serve", "--listen", "--config"], "--listen needs a value before --config"),
            (["serve", "--listen", "a:1", "--listen", "b:2"], "--listen is given twice"),
            (["status", "--json=yes"], "--json is a switch and takes no value"),
            (["status", "-x"], "status has no option -x"),
            (["chat", "--json"], "chat has no option --json"),
            (["dev", "now"], #"dev does not take "now""#),
            (["help", "servee"], #"there is no command "servee" (did you mean "serve"?)"#),
        ]
    )
    func refusals(words: [String], start: String) throws {
        let failure = try #require(self.refusal(words))
        #expect(failure.exit == .usage)
        let message = failure.message.replacing(#"did you mean "--listen""#, with: "did you mean --listen")
        #expect(message.hasPrefix(start), "\(failure.message)")
        #expect(failure.remedy?.hasPrefix("Try: turnpike help") == true)
    }

    @Test("options, arguments and what follows -- are told apart")
    func agentPut() throws {
        let put = try self.invocation(
            ["agent", "put", "helper", "--driver=command", "--store-mode", "none", "--", "tr", "--help", "-x"]
        )
        #expect(put.name == "agent put")
        #expect(put.arguments == ["helper"])
        #expect(put.value("--driver") == "command")
        #expect(put.value("--store-mode") == "none")
        #expect(put.rest == ["tr", "--help", "-x"])
    }

    @Test("an option that repeats keeps every value, and an empty value is one")
    func repeats() throws {
        let create = try self.invocation(["token", "create", "ci", "--scope", "turns", "--scope=admin", "--url="])
        #expect(create.values("--scope") == ["turns", "admin"])
        #expect(create.value("--url")?.isEmpty == true)
        #expect(!create.has("--json"))
    }

    @Test("after -- an argument may begin with a dash")
    func dashes() throws {
        #expect(try self.invocation(["chat", "--", "-1 + 2?"]).arguments == ["-1 + 2?"])
        #expect(try self.invocation(["chat", "-"]).arguments == ["-"])
    }

    @Test(
        "help and the version are found wherever people look for them",
        arguments: [
            ([], Request.help([])), (["help"], .help([])), (["--help"], .help([])), (["-h"], .help([])),
            (["help", "agent"], .help(["agent"])), (["help", "agent", "put"], .help(["agent", "put"])),
            (["agent", "--help"], .help(["agent"])), (["agent", "put", "--help"], .help(["agent", "put"])),
            (["serve", "--listen", "x:1", "-h"], .help(["serve"])), (["help", "serve"], .help(["serve"])),
            (["--version"], .version),
        ]
    )
    func topics(words: [String], expected: Request) throws {
        #expect(try self.parser.parse(words) == expected)
    }

    @Test("every command has a help text with its options and an example, and the overview names them all")
    func helpCoversEverything() {
        let help = HelpText(commands: Commands.all)
        let overview = help.text([])
        for spec in Commands.all {
            let text = help.text(spec.path)
            #expect(overview.contains("  \(spec.name)"), "\(spec.name)")
            #expect(text.contains(spec.summary), "\(spec.name)")
            #expect(!spec.examples.isEmpty, "\(spec.name)")
            for option in spec.options { #expect(text.contains(option.name), "\(spec.name) \(option.name)") }
            #expect(Set(spec.options.map(\.name)).count == spec.options.count, "\(spec.name) has an option twice")
            if spec.path.count == 2 { #expect(help.text([spec.path[0]]).contains(spec.summary)) }
            for line in text.split(separator: "\n") { #expect(line.count <= 120, "\(spec.name): \(line)") }
        }
        for code in ExitCode.allCases { #expect(overview.contains("  \(code.rawValue)")) }
    }

    @Test("every example in a help text is accepted by the parser")
    func examplesParse() throws {
        for spec in Commands.all {
            for example in spec.examples {
                let line = example.line.split(separator: " > ")[0]
                // Quotes group words as a shell would; assignments before the program are the shell's too.
                let pieces = line.split(separator: "\"", omittingEmptySubsequences: false).enumerated()
                let words = pieces.flatMap { index, piece in
                    index % 2 == 1 ? [String(piece)] : piece.split(separator: " ").map(String.init)
                }
                let program = try #require(words.firstIndex(of: "turnpike"))
                #expect(try self.invocation(Array(words[(program + 1)...])).path == spec.path, "\(example.line)")
            }
        }
    }

    @Test("close words are suggested and distant ones are not")
    func suggestions() {
        #expect(Suggestion.distance("listen", "lisetn") == 1)
        #expect(Suggestion.distance("kitten", "sitting") == 3)
        #expect(Suggestion.closest(to: "stats", among: ["status", "serve"]) == "status")
        #expect(Suggestion.closest(to: "zzz", among: ["status", "dev"]) == nil)
    }
}

@Suite("What commands make of their words")
struct CommandBodyTests {
    private func put(_ options: [String: [String]], rest: [String] = [], file: String = "") throws -> String {
        let invocation = Invocation(path: ["agent", "put"], options: options, arguments: ["a"], rest: rest)
        let body = try AgentCommands.body(invocation) { _ throws(CommandFailure) in file }
        return try Console.json(body).filter { !$0.isWhitespace }
    }

    @Test("agent put sends the file's members, replaced by what the options say")
    func agentBody() throws {
        #expect(try self.put([:], rest: ["x", "y"]) == #"{"command":["x","y"]}"#)
        let file = #"{"driver":"acp","command":["old"],"retries":2}"#
        #expect(
            try self.put(
                ["--file": ["f"], "--driver": ["command"], "--store-mode": ["none"]],
                rest: ["new"],
                file: file
            )
                == #"{"command":["new"],"driver":"command","retries":2,"store_mode":"none"}"#
        )
    }

    @Test("agent put names the upstream whose models the agent may use")
    func agentModel() throws {
        let body = try self.put(["--model": ["up"]], rest: ["x"])
        #expect(body == #"{"command":["x"],"model":{"upstream":"up"}}"#)
    }

    @Test("agent put refuses a missing program, an unknown driver and a file that is no object")
    func agentRefusals() {
        #expect(throws: CommandFailure.self) { try self.put([:]) }
        #expect(throws: CommandFailure.self) { try self.put(["--driver": ["acpp"]], rest: ["x"]) }
        #expect(throws: CommandFailure.self) { try self.put(["--file": ["f"]], rest: ["x"], file: "[1]") }
    }

    @Test("token create has the turns scope unless told otherwise, and refuses unknown ones")
    func tokenWish() throws {
        func wish(_ options: [String: [String]]) throws -> TokenCommands.Wish {
            try TokenCommands.Wish(Invocation(path: ["token", "create"], options: options, arguments: ["ci"]))
        }
        #expect(try wish([:]).scopes == [.turns])
        #expect(try wish(["--scope": ["admin", "operator"], "--expires-days": ["9"]]).scopes == [.admin, .operator])
        #expect(throws: CommandFailure.self) { try wish(["--scope": ["turn"]]) }
        #expect(throws: CommandFailure.self) { try wish(["--expires-days": ["0"]]) }
    }
}
