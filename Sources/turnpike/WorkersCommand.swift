import Domain

/// `workers`: what the replica that answers runs, and which agents do not start there.
struct WorkersCommand: Sendable {
    let context: CommandContext

    func run() async throws {
        let answer = try await self.context.client().perform(GatewayClient.Call(path: "/v1/workers"))
        if self.context.invocation.has("--json") { return Console.write(try Console.json(answer)) }
        Console.write(Self.screen(answer))
    }

    /// The screen for people.
    static func screen(_ answer: JSONValue) -> String {
        let workers = Listing.items(answer, "workers").map { item in
            [
                item["state"]?.text ?? "?", self.text(item["pid"]), item["organization"]?.text ?? "-",
                item["agent"]?.text ?? "?", item["conversation"]?.text ?? "-", self.text(item["age_seconds"]) + " s",
                self.text(item["resident_bytes"].flatMap(\.integer).map { .integer($0 >> 20) }) + " MiB",
                self.text(item["cpu_milliseconds"]) + " ms",
            ]
        }
        let head = ["STATE", "PID", "ORG", "AGENT", "CONVERSATION", "AGE", "MEMORY", "CPU"]
        var text = workers.isEmpty ? "No workers.\n" : Console.table(head, workers)
        let circuits = Listing.items(answer, "circuits").map { item in
            [
                item["organization"]?.text ?? "-", item["agent"]?.text ?? "?", item["state"]?.text ?? "?",
                self.text(item["failures"]), item["last_error"]?.text ?? "",
            ]
        }
        guard !circuits.isEmpty else { return text }
        text += "\nAgents that failed:\n"
        return text + Console.table(["ORG", "AGENT", "CIRCUIT", "FAILURES", "LAST ERROR"], circuits)
    }

    private static func text(_ value: JSONValue?) -> String {
        value?.integer.map { String($0) } ?? "?"
    }
}
