import Domain

/// `token create`, `list`, `rotate`, `revoke`, by way of the gateway.
struct TokenCommands: Sendable {
    let context: CommandContext

    /// What `token create` asks for.
    struct Wish: Sendable, Hashable {
        let name: String
        let scopes: Set<Scope>
        /// Nil: it never ends.
        let days: Int?

        init(name: String, scopes: Set<Scope>, days: Int?) {
            self.name = name
            self.scopes = scopes
            self.days = days
        }

        /// Reads the options; throws a usage failure for an unknown scope or a senseless number.
        init(_ invocation: Invocation) throws(CommandFailure) {
            self.name = invocation.arguments[0]
            var scopes: Set<Scope> = []
            for text in invocation.values("--scope") {
                guard let scope = Scope(rawValue: text) else {
                    let known = Scope.allCases.map(\.rawValue)
                    let suggestion = Suggestion.phrase(for: text, among: known)
                    throw CommandFailure(
                        .usage,
                        #"there is no scope "\#(text)"\#(suggestion); there are \#(known.joined(separator: ", "))"#
                    )
                }
                scopes.insert(scope)
            }
            self.scopes = scopes.isEmpty ? [.turns] : scopes
            guard let text = invocation.value("--expires-days") else {
                self.days = nil
                return
            }
            guard let days = Int(text), (1...3_650).contains(days) else {
                throw CommandFailure(.usage, "--expires-days must be from 1 to 3650")
            }
            self.days = days
        }
    }

    func create() async throws {
        let wish = try Wish(self.context.invocation)
        var body: [String: JSONValue] = [
            "name": .string(wish.name), "scopes": .array(wish.scopes.map(\.rawValue).sorted().map { .string($0) }),
        ]
        if let days = wish.days { body["expires_in_seconds"] = .integer(Int64(days) * 86_400) }
        let call = GatewayClient.Call(method: "POST", path: "/v1/tokens", body: .object(body))
        let answer = try await self.context.client().perform(call)
        guard !self.wantsJSON else { return Console.write(try Console.json(answer)) }
        guard let token = answer["token"], let secret = token["secret"]?.text else {
            throw CommandFailure(.failure, "the gateway created a token but did not say its secret")
        }
        Self.show(secret, Self.term(token))
    }

    /// The secret alone on standard output, so that a script can catch it; the advice beside it.
    static func show(_ secret: String, _ term: String = "") {
        Console.write(secret + "\n")
        Console.warn("Keep it: it is not shown again.\(term)\n")
    }

    /// When a token ends, as another sentence: it may be sooner than was asked for. Empty when it does not.
    static func term(_ token: JSONValue) -> String {
        guard let end = token["expires_at"]?.text else { return "" }
        return " It is good until \(end); none outlives the token that asks for it."
    }

    func list() async throws {
        let answer = try await self.context.client().perform(GatewayClient.Call(path: "/v1/tokens"))
        guard !self.wantsJSON else { return Console.write(try Console.json(answer)) }
        let rows = Listing.items(answer, "tokens").map { item in
            let scopes = (item["scopes"]?.elements ?? []).compactMap(\.text).joined(separator: " ")
            let state =
                item["revoked_at"]?.text.map { "revoked \($0)" } ?? item["expires_at"]?.text.map { "until \($0)" }
            return [
                item["id"]?.text ?? "?", item["name"]?.text ?? "", scopes, item["created_at"]?.text ?? "",
                state ?? "for ever",
            ]
        }
        Console.write(Console.table(["ID", "NAME", "SCOPES", "CREATED", "VALID"], rows))
    }

    func rotate() async throws {
        let id = try self.id()
        var body: [String: JSONValue] = [:]
        if let text = self.context.invocation.value("--overlap") {
            guard let seconds = Int64(text), (0...2_592_000).contains(seconds) else {
                throw CommandFailure(.usage, "--overlap must be from 0 to 2592000 seconds")
            }
            body["overlap_seconds"] = .integer(seconds)
        }
        let call = GatewayClient.Call(method: "POST", path: "/v1/tokens/\(id.text)/rotate", body: .object(body))
        let answer = try await self.context.client().perform(call)
        guard !self.wantsJSON else { return Console.write(try Console.json(answer)) }
        guard let token = answer["token"], let secret = token["secret"]?.text else {
            throw CommandFailure(.failure, "the gateway made a secret but did not say it")
        }
        Self.show(secret, Self.term(token))
    }

    private func id() throws(CommandFailure) -> TokenID {
        guard let id = TokenID(self.context.invocation.arguments[0]) else {
            throw CommandFailure(.usage, "a token's id is a UUID; \"turnpike token list\" shows it")
        }
        return id
    }

    func revoke() async throws {
        let id = try self.id()
        let call = GatewayClient.Call(method: "DELETE", path: "/v1/tokens/\(id.text)")
        let answer = try await self.context.client().perform(call)
        guard !self.wantsJSON else { return Console.write(try Console.json(answer)) }
        Console.write("Token \(id.text) is revoked.\n")
    }

    private var wantsJSON: Bool { self.context.invocation.has("--json") }
}
