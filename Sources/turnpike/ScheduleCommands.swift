import Domain

/// `schedule list`, `show`, `put`, `delete`, `pause`, `resume`.
struct ScheduleCommands: Sendable {
    let context: CommandContext

    func list() async throws {
        let items = try await Listing.pages(self.context.client(), "/v1/schedules", "schedules", limit: 200)
        guard !self.wantsJSON else { return Console.write(try Console.json(["schedules": JSONValue.array(items)])) }
        let rows = items.map { item in
            [
                item["id"]?.text ?? "?", item["agent"]?.text ?? "", item["cron"]?.text ?? "",
                item["time_zone"]?.text ?? "", String(item["runs"]?.integer ?? 0),
                item["problem"]?.text ?? item["next_at"]?.text ?? (item["paused"]?.flag == true ? "paused" : "never"),
            ]
        }
        Console.write(Console.table(["NAME", "AGENT", "CRON", "ZONE", "RUNS", "NEXT"], rows))
    }

    func show() async throws {
        Console.write(try Console.json(try await self.perform("GET")))
    }

    func put() async throws {
        let words = self.context.invocation.arguments
        guard let cron = self.context.invocation.value("--cron") else {
            throw CommandFailure(.usage, "say when with --cron, for example --cron \"0 9 * * mon-fri\"")
        }
        var body: [String: JSONValue] = ["cron": .string(cron), "input": .string(words[1])]
        for (option, member) in [("--agent", "agent"), ("--zone", "time_zone"), ("--catch-up", "catch_up")] {
            if let value = self.context.invocation.value(option) { body[member] = .string(value) }
        }
        if self.context.invocation.has("--paused") { body["paused"] = true }
        let answer = try await self.perform("PUT", body: .object(body))
        guard !self.wantsJSON else { return Console.write(try Console.json(answer)) }
        Console.write("Schedule \(words[0]) \(Self.outlook(answer)).\n")
    }

    func delete() async throws {
        let answer = try await self.perform("DELETE")
        guard !self.wantsJSON else { return Console.write(try Console.json(answer)) }
        Console.write("Schedule \(self.context.invocation.arguments[0]) is deleted; its conversations stay.\n")
    }

    func pause() async throws {
        try await self.change("pause")
    }

    func resume() async throws {
        try await self.change("resume")
    }

    private func change(_ action: String) async throws {
        let answer = try await self.perform("POST", "/\(action)")
        guard !self.wantsJSON else { return Console.write(try Console.json(answer)) }
        Console.write("Schedule \(self.context.invocation.arguments[0]) \(Self.outlook(answer)).\n")
    }

    /// What comes next, as the end of a sentence.
    static func outlook(_ answer: JSONValue) -> String {
        answer["schedule"]?["next_at"]?.text.map { "runs next at \($0)" } ?? "is paused"
    }

    private func perform(_ method: String, _ rest: String = "", body: JSONValue? = nil) async throws -> JSONValue {
        let id = try CommandContext.name(self.context.invocation.arguments[0], as: ScheduleID.self)
        let path = "/v1/schedules/\(GatewayClient.segment(id.text))\(rest)"
        return try await self.context.client().perform(GatewayClient.Call(method: method, path: path, body: body))
    }

    private var wantsJSON: Bool { self.context.invocation.has("--json") }
}

/// The commands for schedules.
extension Commands {
    static let schedules = [
        CommandSpec(
            path: ["schedule", "list"],
            summary: "list the schedules",
            options: Self.client + [Self.json],
            examples: [("turnpike schedule list", "when each runs next")]
        ),
        CommandSpec(
            path: ["schedule", "show"],
            summary: "show a schedule as JSON",
            arguments: "NAME",
            arity: 1...1,
            options: Self.client + [Self.json],
            examples: [("turnpike schedule show morning", "with what the agent is told")]
        ),
        CommandSpec(
            path: ["schedule", "put"],
            summary: "create or replace a schedule: an agent is told the same at certain times",
            arguments: "NAME TEXT",
            arity: 2...2,
            options: [
                OptionSpec(name: "--cron", value: "FIELDS", help: "minute, hour, day, month, day of the week"),
                OptionSpec(name: "--zone", value: "NAME", help: "whose clocks, as in Europe/Berlin (default: UTC)"),
                OptionSpec(name: "--agent", value: "NAME", help: "the agent (default: default)"),
                OptionSpec(name: "--catch-up", value: "skip|once|all", help: "missed runs (default: skip)"),
                OptionSpec(name: "--paused", value: nil, help: "do not begin yet"),
            ] + Self.client + [Self.json],
            details: [
                "Each run is a turn in a conversation of its own: AGENT_watcher_NAME_run_NUMBER. A run that is later than a",
                "minute counts as missed; at most 25 are made up for at once. Where clocks are put forward, a time that is",
                "skipped comes later by as much; where they are put back, a time that comes twice is the first. An hour of *",
                "follows the time that passes.",
            ],
            examples: [
                (
                    #"turnpike schedule put morning "What is new?" --cron "0 9 * * mon-fri" --zone Europe/Berlin"#,
                    "at nine"
                ),
                (#"turnpike schedule put tick "Look." --cron "*/15 * * * *" --catch-up once"#, "every quarter"),
            ]
        ),
        CommandSpec(
            path: ["schedule", "delete"],
            summary: "delete a schedule; the conversations of its runs stay",
            arguments: "NAME",
            arity: 1...1,
            options: Self.client + [Self.json],
            examples: [("turnpike schedule delete morning", "its numbers are not used again")]
        ),
        CommandSpec(
            path: ["schedule", "pause"],
            summary: "have a schedule rest",
            arguments: "NAME",
            arity: 1...1,
            options: Self.client + [Self.json],
            examples: [("turnpike schedule pause morning", "until schedule resume")]
        ),
        CommandSpec(
            path: ["schedule", "resume"],
            summary: "have a schedule go on, from the next time on",
            arguments: "NAME",
            arity: 1...1,
            options: Self.client + [Self.json],
            examples: [("turnpike schedule resume morning", "what it missed meanwhile stays missed")]
        ),
    ]
}
