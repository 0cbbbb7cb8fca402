package import Domain
import Store

extension Tenant {
    /// All accounts, by provider and principal.
    package func accounts() async throws -> [AccountRecord] {
        try await reaching { try await self.store.accounts() }
    }

    /// One account. Throws `notFound`.
    package func account(_ id: AccountID) async throws -> AccountRecord {
        guard let account = try await reaching({ try await self.store.account(id) }) else {
            throw GatewayError.notFound("account")
        }
        return account
    }

    /// Registers an account, or finds it: provider and principal make it one, whatever its labels are. Throws `labelTaken`
    /// when the label is another account's, and then has changed nothing. Says whether it is new.
    package func registerAccount(
        provider: ProviderID,
        principal: String,
        label: String?,
        pool: PoolID?,
        slots: Int?
    ) async throws -> (account: AccountRecord, isNew: Bool) {
        let registration = try await reaching {
            try await self.store.register(
                provider: provider,
                principal: principal,
                label: label,
                pool: pool,
                slots: slots
            )
        }
        switch registration {
        case .made(let account): return (account, true)
        case .known(let account): return (account, false)
        case .labelTaken: throw GatewayError.labelTaken
        }
    }

    /// Removes an account. Conversations that it owns wait for it from then on, as if it were absent. Throws `notFound`.
    package func deleteAccount(_ id: AccountID) async throws {
        guard try await reaching({ try await self.store.deleteAccount(id) }) else {
            throw GatewayError.notFound("account")
        }
    }

    /// Creates a token that enrols remote workers which act as the account, and returns its secret, which is shown only
    /// here. It ends at `notAfter` at the latest, in seconds since 1970. Throws `notFound`.
    package func enrol(
        _ id: AccountID,
        name: String,
        lifetime: Duration?,
        notAfter: Int64?
    ) async throws -> (record: TokenRecord, secret: String) {
        _ = try await self.account(id)
        let (secret, token) = (TokenSecret.make(), try NewID.make(TokenID.self))
        let record = try await reaching {
            try await self.store.createToken(
                token,
                name: name,
                hash: secret.hash,
                scopes: [],
                lifetime: lifetime,
                notAfter: notAfter,
                account: id
            )
        }
        return (record, secret.text)
    }

    /// Takes a label from an account. Throws `notFound`.
    package func deleteLabel(_ label: String, of id: AccountID) async throws {
        guard try await reaching({ try await self.store.deleteLabel(label, of: id) }) else {
            throw GatewayError.notFound("label")
        }
    }
}
