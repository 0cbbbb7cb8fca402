import Domain
import Runtime
import Store

/// Tells who a bearer token speaks for. Remembers an answer for less than a second, so that a revocation is in force
/// everywhere within one.
final class TokenDesk: Sendable {
    private struct Entry {
        let grant: TokenGrant?
        let readAt: ContinuousClock.Instant
    }

    private let store: Store
    private let lifetime: Duration
    private let entries = Locked<[[UInt8]: Entry]>([:])

    init(store: Store, lifetime: Duration = .milliseconds(800)) {
        self.store = store
        self.lifetime = lifetime
    }

    /// The principal of a token; nil when it is malformed (no database is asked), unknown, expired or revoked.
    func authenticate(_ bearer: String) async throws -> Principal? {
        guard let secret = TokenSecret(bearer) else { return nil }
        let hash = secret.hash
        let now = ContinuousClock.now
        if let entry = self.entries.withLock({ $0[hash] }), now - entry.readAt < self.lifetime {
            return Self.principal(entry.grant)
        }
        let grant = try await reaching { try await self.store.grant(hash: hash) }
        self.entries.withLock { entries in
            if entries.count > 10_000 { entries = [:] }
            entries[hash] = Entry(grant: grant, readAt: now)
        }
        return Self.principal(grant)
    }

    private static func principal(_ grant: TokenGrant?) -> Principal? {
        grant.map { Principal(org: $0.org, token: $0.token, scopes: $0.scopes) }
    }
}
