import Domain

/// `status`: the installation on one screen.
struct StatusCommand: Sendable {
    let context: CommandContext

    func run() async throws {
        let client = try self.context.client()
        let replicas = try await client.perform(GatewayClient.Call(path: "/v1/replicas"))
        let letters = try await client.perform(GatewayClient.Call(path: "/v1/dead-letters"))
        if self.context.invocation.has("--json") {
            let both: JSONValue = [
                "replicas": .array(Listing.items(replicas, "replicas")),
                "dead_letters": .array(Listing.items(letters, "dead_letters")),
            ]
            return Console.write(try Console.json(both))
        }
        Console.write(Self.screen(replicas: replicas, deadLetters: letters))
    }

    /// The screen for people.
    static func screen(replicas: JSONValue, deadLetters: JSONValue) -> String {
        let replicaRows = Listing.items(replicas, "replicas").map { item in
            [
                item["label"]?.text ?? "", item["id"]?.text ?? "?", item["version"]?.text ?? "",
                item["draining"]?.flag == true ? "draining" : "serving", self.count(item["workers"]),
                self.count(item["conversations"]), item["started_at"]?.text ?? "", item["seen_at"]?.text ?? "",
            ]
        }
        let head = ["REPLICA", "ID", "VERSION", "STATE", "WORKERS", "CONVERSATIONS", "STARTED", "SEEN"]
        var text = Console.table(head, replicaRows)
        let letters = Listing.items(deadLetters, "dead_letters")
        guard !letters.isEmpty else { return text + "\nNo dead letters.\n" }
        text += "\nDead letters, newest first:\n"
        text += Console.table(
            ["TURN", "AGENT", "CODE", "WHEN", "SENT AGAIN AS", "MESSAGE"],
            letters.prefix(20).map { item in
                [
                    item["turn"]?.text ?? "?", item["agent"]?.text ?? "", item["code"]?.text ?? "",
                    item["died_at"]?.text ?? "", item["redriven_as"]?.text ?? "-", item["message"]?.text ?? "",
                ]
            }
        )
        return text
    }

    private static func count(_ value: JSONValue?) -> String {
        value?.integer.map { String($0) } ?? "?"
    }
}
