import Domain
import Gateway
import Store

/// `token create --direct`: the first token of an installation, when there is none yet to ask the gateway with.
struct DirectTokenCommand: Sendable {
    let context: CommandContext

    func create() async throws {
        let wish = try TokenCommands.Wish(self.context.invocation)
        let configuration = try self.context.configuration(self.context.layers())
        let conninfo = try configuration.requireDatabase().pooled
        let secret = try await DatabaseAccess().withStore(conninfo) { store in
            try await store.ensureOrganization(configuration.organization, by: .commandLine)
            return try await Self.create(wish, in: configuration.organization, store)
        }
        guard !self.context.invocation.has("--json") else {
            return Console.write(try Console.json(["secret": .string(secret)] as JSONValue))
        }
        TokenCommands.show(secret)
    }

    /// Stores a fresh token and returns its secret.
    static func create(_ wish: TokenCommands.Wish, in org: OrganizationID, _ store: Store) async throws -> String {
        let secret = TokenSecret.make()
        _ = try await store.tenant(org, by: .commandLine).createToken(
            try NewID.make(TokenID.self),
            name: wish.name,
            hash: secret.hash,
            scopes: wish.scopes,
            lifetime: wish.days.map { .seconds($0 * 86_400) }
        )
        return secret.text
    }
}
