import Domain

/// `quota show` and `quota set`.
struct QuotaCommands: Sendable {
    let context: CommandContext

    /// The options of `quota set`, each a cap.
    static let options: [(cap: QuotaCap, option: String)] = [
        (.organizationTurns, "--organization-turns"), (.tokenTurns, "--token-turns"),
        (.conversationTurns, "--conversation-turns"),
    ]

    func show() async throws {
        try self.write(try await self.context.client().perform(GatewayClient.Call(path: try self.path())))
    }

    /// Replaces the caps that are named and leaves the others as they are.
    func set() async throws {
        let client = try self.context.client()
        let path = try self.path()
        let changes = try Self.changes(self.context.invocation)
        guard !changes.isEmpty else { throw CommandFailure(.usage, "name a cap; see: turnpike help quota set") }
        let kind = self.context.invocation.value("--org") == nil ? "own" : "ceiling"
        guard case .object(var caps)? = try await client.perform(GatewayClient.Call(path: path))[kind] else {
            throw CommandFailure(.failure, "the gateway did not say which caps there are")
        }
        for (cap, value) in changes { caps[cap.rawValue] = value }
        let call = GatewayClient.Call(method: "PUT", path: path, body: .object(caps))
        try self.write(try await client.perform(call))
    }

    /// What the options ask for; null takes a cap away.
    static func changes(_ invocation: Invocation) throws(CommandFailure) -> [(cap: QuotaCap, value: JSONValue)] {
        var changes: [(cap: QuotaCap, value: JSONValue)] = []
        for (cap, option) in self.options {
            guard let text = invocation.value(option) else { continue }
            if text == "none" {
                changes.append((cap, .null))
            } else if let number = Int64(text), (0...Int64(Quota.largest)).contains(number) {
                changes.append((cap, .integer(number)))
            } else {
                throw CommandFailure(.usage, "\(option) takes a number or none, not \(text)")
            }
        }
        return changes
    }

    private func path() throws(CommandFailure) -> String {
        guard let name = self.context.invocation.value("--org") else { return "/v1/quotas" }
        let org = try CommandContext.name(name, as: OrganizationID.self)
        return "/v1/organizations/\(GatewayClient.segment(org.text))/quotas"
    }

    private func write(_ answer: JSONValue) throws {
        guard !self.context.invocation.has("--json") else { return Console.write(try Console.json(answer)) }
        let rows = Self.options.map { cap, option in
            let values = ["quota", "own", "ceiling"].map { kind in
                answer[kind]?[cap.rawValue]?.integer.map { String($0) } ?? "none"
            }
            return [String(option.dropFirst(2))] + values
        }
        Console.write(Console.table(["CAP", "IN FORCE", "OWN", "CEILING"], rows))
        Console.write("\(answer["open_turns"]?.integer ?? 0) turns have no outcome now.\n")
    }
}

/// The commands for caps.
extension Commands {
    private static let organization = OptionSpec(
        name: "--org",
        value: "NAME",
        help: "any organization's; sets ceilings (needs the operator scope)"
    )

    static let quotaShow = CommandSpec(
        path: ["quota", "show"],
        summary: "show how many turns may be without an outcome, and how many are",
        options: [Self.organization] + Self.client + [Self.json],
        details: ["Needs a token with the admin scope."],
        examples: [("turnpike quota show", "the own organization's")]
    )

    static let quotaSet = CommandSpec(
        path: ["quota", "set"],
        summary: "cap how many turns may be without an outcome",
        options: [
            OptionSpec(name: "--organization-turns", value: "NUMBER|none", help: "in the whole organization"),
            OptionSpec(name: "--token-turns", value: "NUMBER|none", help: "submitted with one token"),
            OptionSpec(name: "--conversation-turns", value: "NUMBER|none", help: "waiting in one conversation"),
            Self.organization,
        ] + Self.client + [Self.json],
        details: [
            "A cap that is not named stays. A cap below what is open ends nothing: it lets nothing in until enough has",
            "ended. Needs a token with the admin scope.",
        ],
        examples: [
            ("turnpike quota set --organization-turns 500 --token-turns 100", "two caps"),
            ("turnpike quota set --org acme --organization-turns none", "as an operator: no ceiling"),
        ]
    )
}
