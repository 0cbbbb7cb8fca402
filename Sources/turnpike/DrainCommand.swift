import Domain

/// `drain`: empties a replica, and waits until it is empty.
struct DrainCommand: Sendable {
    let context: CommandContext

    func run() async throws {
        let client = try self.context.client()
        let limit = try Self.timeout(self.context.invocation.value("--timeout"))
        var name = "self"
        if let text = self.context.invocation.value("--replica") {
            guard let replica = ReplicaID(text) else {
                throw CommandFailure(.usage, "a replica's id is a UUID; \"turnpike status\" shows it")
            }
            name = replica.text
        }
        var replica = try await Self.ask(client, name)
        guard let id = replica["id"]?.text else {
            throw CommandFailure(.failure, "the gateway did not say which replica drains")
        }
        let deadline = ContinuousClock.now + .seconds(limit)
        while !Self.isEmpty(replica) {
            guard ContinuousClock.now < deadline else { throw Self.late(replica, id: id, after: limit) }
            try await Task.sleep(for: .milliseconds(200))
            let list = try await client.perform(GatewayClient.Call(path: "/v1/replicas"))
            replica = try Self.record(of: id, in: list)
        }
        guard !self.context.invocation.has("--json") else {
            return Console.write(try Console.json(["replica": replica]))
        }
        Console.write("Replica \(id) is empty. It can be stopped.\n")
    }

    private static func ask(_ client: GatewayClient, _ name: String) async throws -> JSONValue {
        let answer = try await client.perform(GatewayClient.Call(method: "POST", path: "/v1/replicas/\(name)/drain"))
        return answer["replica"] ?? [:]
    }

    /// What the list of replicas says of one. One that is gone has not said that it was empty: it may have been stopped, or
    /// have died with turns.
    static func record(of id: String, in list: JSONValue) throws(CommandFailure) -> JSONValue {
        if let record = Listing.items(list, "replicas").first(where: { $0["id"]?.text == id }) { return record }
        throw CommandFailure(
            .failure,
            "replica \(id) is gone, and had not said that it was empty",
            remedy: "If nobody stopped it, it died: the turns that it was running go on elsewhere or have failed."
        )
    }

    /// Whether the record says that the replica has heard and holds nothing more.
    static func isEmpty(_ replica: JSONValue) -> Bool {
        replica["draining"]?.flag == true && replica["conversations"]?.integer == 0
            && replica["workers"]?.integer == 0
    }

    /// The seconds to wait.
    static func timeout(_ text: String?) throws(CommandFailure) -> Int {
        guard let text else { return 60 }
        guard let seconds = Int(text), (0...86_400).contains(seconds) else {
            throw CommandFailure(.usage, "--timeout must be a whole number of seconds from 0 to 86400")
        }
        return seconds
    }

    private static func late(_ replica: JSONValue, id: String, after limit: Int) -> CommandFailure {
        let held = replica["conversations"]?.integer ?? 0
        return CommandFailure(
            .failure,
            "replica \(id) still holds \(held) \(held == 1 ? "conversation" : "conversations") after \(limit) s",
            remedy: "It goes on draining. Wait again with a longer --timeout, or stop it: running turns then get"
                + " drain_seconds."
        )
    }
}
