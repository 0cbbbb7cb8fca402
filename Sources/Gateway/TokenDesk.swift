import Domain
import Runtime
import Store

/// Tells who a bearer token speaks for. Remembers an answer for less than a second, so that a revocation is in force
/// everywhere within one. The tokens of open streams are read again sooner than that, whether anything is streamed or
/// not: by the event feed, in the round trip with which it looks after the streams anyway.
final class TokenDesk: Sendable {
    private struct Entry {
        let grant: TokenGrant?
        let readAt: ContinuousClock.Instant
    }

    private struct State {
        var entries: [[UInt8]: Entry] = [:]
        /// How many streams are open that were let in with a token.
        var streams: [[UInt8]: Int] = [:]
    }

    private let store: Store
    private let lifetime: Duration
    private let state = Locked(State())

    init(store: Store, lifetime: Duration = .milliseconds(800)) {
        self.store = store
        self.lifetime = lifetime
    }

    /// The principal of a token; nil when it is malformed (no database is asked), unknown, expired or revoked.
    func authenticate(_ bearer: String) async throws -> Principal? {
        guard let secret = TokenSecret(bearer) else { return nil }
        let hash = secret.hash
        let now = ContinuousClock.now
        let (known, others) = self.state.withLock { state in
            let known = state.entries[hash].flatMap { now - $0.readAt < self.lifetime ? $0 : nil }
            return (known, known == nil ? self.due(state, at: now) : [])
        }
        if let known { return Self.principal(known.grant) }
        let hashes = [hash] + others.filter { $0 != hash }
        let grants = try await reaching { try await self.store.grants(hashes: hashes) }
        self.take(grants, of: hashes, readAt: now)
        return Self.principal(grants[hash])
    }

    /// Tokens of streams that will have to be read again within the second, for want of the feed's looks. They are read
    /// along: a thousand streams cost one look, not a thousand.
    private func due(_ state: State, at now: ContinuousClock.Instant) -> [[UInt8]] {
        let due = state.streams.keys.lazy.filter { hash in
            state.entries[hash].map { now - $0.readAt > self.lifetime / 2 } ?? true
        }
        return Array(due.prefix(1_000))
    }

    // MARK: - Open streams

    /// Runs `body`, which streams to whoever sent this bearer token.
    func streaming(_ bearer: String, _ body: () async throws -> Void) async rethrows {
        guard let hash = TokenSecret(bearer)?.hash else { return try await body() }
        let now = ContinuousClock.now
        self.state.withLock { state in
            state.streams[hash, default: 0] += 1
            // What is remembered may be as old as it gets, and the feed's next look is to come.
            if let entry = state.entries[hash], now - entry.readAt > self.lifetime / 2 { state.entries[hash] = nil }
        }
        defer {
            self.state.withLock { state in
                let rest = (state.streams[hash] ?? 1) - 1
                state.streams[hash] = rest > 0 ? rest : nil
            }
        }
        try await body()
    }

    /// The hashes of the tokens that open streams were let in with.
    var streamed: [[UInt8]] {
        self.state.withLock { Array($0.streams.keys) }
    }

    /// Takes what a look that began at `readAt` has found of these tokens. Returns whether any of them is over.
    @discardableResult
    func take(_ grants: [[UInt8]: TokenGrant], of hashes: [[UInt8]], readAt: ContinuousClock.Instant) -> Bool {
        self.state.withLock { state in
            if state.entries.count > 10_000 { state.entries = [:] }
            for hash in hashes where (state.entries[hash]?.readAt ?? readAt) <= readAt {
                state.entries[hash] = Entry(grant: grants[hash], readAt: readAt)
            }
        }
        return hashes.contains { grants[$0] == nil }
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
