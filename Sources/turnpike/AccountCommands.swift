import Domain

/// `account list`, `add`, `token`, `delete`.
struct AccountCommands: Sendable {
    let context: CommandContext

    func list() async throws {
        let answer = try await self.context.client().perform(GatewayClient.Call(path: "/v1/accounts"))
        guard !self.wantsJSON else { return Console.write(try Console.json(answer)) }
        let rows = Listing.items(answer, "accounts").map { item in
            let labels = (item["labels"]?.elements ?? []).compactMap(\.text).joined(separator: ", ")
            let hosts = (item["hosts"]?.elements ?? []).map { "\($0["replica"]?.text?.prefix(8) ?? "?")" }
            return [
                item["id"]?.text ?? "?", item["provider"]?.text ?? "", item["principal"]?.text ?? "", labels,
                item["pool"]?.text ?? "", "\(item["held"]?.integer ?? 0)",
                hosts.isEmpty ? "nobody" : hosts.joined(separator: " "),
            ]
        }
        Console.write(Console.table(["ID", "PROVIDER", "PRINCIPAL", "LABELS", "POOL", "HELD", "HOSTED BY"], rows))
    }

    func add() async throws {
        let invocation = self.context.invocation
        var body: [String: JSONValue] = [
            "provider": .string(invocation.arguments[0]), "principal": .string(invocation.arguments[1]),
        ]
        if let label = invocation.value("--label") { body["label"] = .string(label) }
        if let pool = invocation.value("--pool") { body["pool"] = .string(pool) }
        if let text = invocation.value("--slots") {
            guard let slots = Int64(text), slots > 0 else {
                throw CommandFailure(.usage, "--slots must be a whole number of at least 1")
            }
            body["slots"] = .integer(slots)
        }
        let call = GatewayClient.Call(method: "POST", path: "/v1/accounts", body: .object(body))
        let answer = try await self.context.client().perform(call)
        guard !self.wantsJSON else { return Console.write(try Console.json(answer)) }
        Console.write("Account \(answer["account"]?["id"]?.text ?? "?") is registered.\n")
    }

    func token() async throws {
        let id = try self.account
        var body: [String: JSONValue] = ["name": .string(self.context.invocation.arguments[1])]
        if let text = self.context.invocation.value("--expires-days") {
            guard let days = Int64(text), (1...3_650).contains(days) else {
                throw CommandFailure(.usage, "--expires-days must be from 1 to 3650")
            }
            body["expires_in_seconds"] = .integer(days * 86_400)
        }
        let call = GatewayClient.Call(method: "POST", path: "/v1/accounts/\(id.text)/tokens", body: .object(body))
        let answer = try await self.context.client().perform(call)
        guard !self.wantsJSON else { return Console.write(try Console.json(answer)) }
        guard let secret = answer["token"]?["secret"]?.text else {
            throw CommandFailure(.failure, "the gateway created a token but did not say its secret")
        }
        TokenCommands.show(secret)
    }

    private var account: AccountID {
        get throws(CommandFailure) {
            guard let id = AccountID(self.context.invocation.arguments[0]) else {
                throw CommandFailure(.usage, "an account's id is a UUID; \"turnpike account list\" shows it")
            }
            return id
        }
    }

    func delete() async throws {
        let id = try self.account
        let call = GatewayClient.Call(method: "DELETE", path: "/v1/accounts/\(id.text)")
        let answer = try await self.context.client().perform(call)
        guard !self.wantsJSON else { return Console.write(try Console.json(answer)) }
        Console.write("Account \(id.text) is removed.\n")
    }

    private var wantsJSON: Bool { self.context.invocation.has("--json") }
}
