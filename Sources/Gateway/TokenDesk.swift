import Domain
import Runtime
import Store

/// Tells who a bearer token speaks for. Remembers an answer for less than a second, so that a revocation is in force
/// everywhere within one.
final class TokenDesk: Sendable {
    private struct Entry {
        let grant: TokenGrant?
        let readAt: ContinuousClock.Instant
        var usedAt: ContinuousClock.Instant
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
        let (known, others) = self.entries.withLock { entries in
            let known = entries[hash].flatMap { now - $0.readAt < self.lifetime ? $0 : nil }
            entries[hash]?.usedAt = now
            return (known, known == nil ? self.due(entries, at: now) : [])
        }
        if let known { return Self.principal(known.grant) }
        let hashes = [hash] + others.filter { $0 != hash }
        let grants = try await reaching { try await self.store.grants(hashes: hashes) }
        self.entries.withLock { entries in
            if entries.count > 10_000 { entries = [:] }
            for hash in hashes {
                entries[hash] = Entry(grant: grants[hash], readAt: now, usedAt: entries[hash]?.usedAt ?? now)
            }
        }
        return Self.principal(grants[hash])
    }

    /// Tokens in use that will have to be read again within the second. They are read along: each open stream looks
    /// after its token once a second, and a thousand of them cost one look, not a thousand.
    private func due(_ entries: [[UInt8]: Entry], at now: ContinuousClock.Instant) -> [[UInt8]] {
        let used = entries.lazy.filter { _, entry in
            entry.grant != nil && now - entry.usedAt < .seconds(2) && now - entry.readAt > self.lifetime / 2
        }
        return used.prefix(1_000).map(\.key)
    }

    private static func principal(_ grant: TokenGrant?) -> Principal? {
        grant.map {
            Principal(
                org: $0.org,
                token: $0.token,
                scopes: $0.scopes,
                identity: nil,
                account: $0.account,
                expiresAt: $0.expiresAt
            )
        }
    }
}
