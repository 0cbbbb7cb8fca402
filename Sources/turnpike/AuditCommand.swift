import Domain

/// `audit`: who changed what.
struct AuditCommand: Sendable {
    let context: CommandContext

    func run() async throws {
        var query: [String] = []
        for name in ["--org", "--limit", "--before"] {
            guard let value = self.context.invocation.value(name) else { continue }
            query.append("\(name.dropFirst(2))=\(GatewayClient.segment(value))")
        }
        let path = query.isEmpty ? "/v1/audit" : "/v1/audit?\(query.joined(separator: "&"))"
        let answer = try await self.context.client().perform(GatewayClient.Call(path: path))
        guard !self.context.invocation.has("--json") else { return Console.write(try Console.json(answer)) }
        Console.write(Self.screen(answer))
    }

    /// The screen for people.
    static func screen(_ answer: JSONValue) -> String {
        let rows = Listing.items(answer, "entries").map { item in
            [
                item["id"]?.integer.map { String($0) } ?? "?", item["at"]?.text ?? "",
                item["organization"]?.text ?? "-",
                item["actor"]?.text ?? "?", item["action"]?.text ?? "?", item["subject"]?.text ?? "?",
            ]
        }
        guard !rows.isEmpty else { return "No entries.\n" }
        var text = Console.table(["ENTRY", "WHEN", "ORG", "WHO", "WHAT", "OF WHAT"], rows)
        if let next = answer["next"]?.integer { text += "\nMore: --before \(next)\n" }
        return text
    }
}
