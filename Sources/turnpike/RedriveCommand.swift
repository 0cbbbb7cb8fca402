import Domain

/// `redrive`: sends a dead letter again.
struct RedriveCommand: Sendable {
    let context: CommandContext

    func run() async throws {
        guard let turn = TurnID(self.context.invocation.arguments[0]) else {
            throw CommandFailure(.usage, "a dead letter is named by its turn, a UUID; \"turnpike status\" shows it")
        }
        let client = try self.context.client()
        let call = GatewayClient.Call(method: "POST", path: "/v1/dead-letters/\(turn.text)/redrive")
        let answer = try await client.perform(call)
        guard !self.context.invocation.has("--json") else { return Console.write(try Console.json(answer)) }
        guard let fresh = answer["dead_letter"]?["redriven_as"]?.text else {
            throw CommandFailure(.failure, "the gateway did not say as which turn it was sent again")
        }
        Console.write("Sent again as turn \(fresh).\n")
    }
}
