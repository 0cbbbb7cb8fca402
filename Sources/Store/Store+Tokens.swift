package import Domain
import Postgres

/// Who a token speaks for, as read on every use.
package struct TokenGrant: Sendable, Hashable {
    /// The token's public identity.
    package let token: TokenID
    /// The organization it belongs to.
    package let org: OrganizationID
    /// What it allows.
    package let scopes: Set<Scope>
    /// The account whose workers it enrols; nil for all other tokens.
    package let account: AccountID?
    /// When it ends, in seconds since 1970; nil when it does not.
    package let expiresAt: Int64?
}

/// What somebody may hand out: no more than they have, and not for longer than they have it.
package struct TokenBounds: Sendable, Hashable {
    /// The scopes that they have.
    package var scopes: Set<Scope>
    /// When theirs ends, in seconds since 1970; nil when it does not.
    package var notAfter: Int64?

    package init(scopes: Set<Scope>, notAfter: Int64? = nil) {
        self.scopes = scopes
        self.notAfter = notAfter
    }
}

/// What became of the wish for another secret.
package enum TokenRotation: Sendable, Hashable {
    case rotated(TokenRecord)
    /// There is no such token, or it works no longer, or is a session itself.
    case missing
    /// It ends later than the bounds say.
    case outlives
    /// It has a scope that is not within the bounds.
    case allowsMore
}

extension Store {
    /// The grant of the token with this hash; nil when there is none, or it expired or was revoked, or the token that
    /// opened it did.
    package func grant(hash: [UInt8]) async throws -> TokenGrant? {
        try await self.grants(hashes: [hash])[hash]
    }

    /// The same for several at once, by hash.
    package func grants(hashes: [[UInt8]]) async throws -> [[UInt8]: TokenGrant] {
        try Self.grants(try await self.pool.query(Self.grantsQuery(hashes)))
    }

    static func grantsQuery(_ hashes: [[UInt8]]) -> Query {
        """
        SELECT h.hash, t.token, t.org, array_to_string(t.scopes, ' ') AS scopes, t.account,
            floor(extract(epoch FROM least(t.expires_at, p.expires_at)))::bigint AS expires_at
        FROM unnest(\(hashes)::bytea[]) AS h (hash)
        JOIN turnpike.tokens t ON t.hash = h.hash OR t.previous_hash = h.hash AND t.previous_until > now()
        LEFT JOIN turnpike.tokens p ON p.token = t.parent
        WHERE t.revoked_at IS NULL AND coalesce(t.expires_at > now(), true)
            AND p.revoked_at IS NULL AND coalesce(p.expires_at > now(), true)
        """
    }

    static func grants(_ rows: [Row]) throws -> [[UInt8]: TokenGrant] {
        var grants: [[UInt8]: TokenGrant] = [:]
        for row in rows {
            grants[try row.get("hash")] = TokenGrant(
                token: try row.id("token"),
                org: try OrganizationID(row.get("org")),
                scopes: Self.scopes(try row.get("scopes")),
                account: try row.optionalID("account"),
                expiresAt: try row.get("expires_at")
            )
        }
        return grants
    }

    static func scopes(_ text: String) -> Set<Scope> {
        Set(text.split(separator: " ").compactMap { Scope(rawValue: String($0)) })
    }
}

extension TenantStore {
    /// Stores a token by its hash. `lifetime` nil means that it does not expire, but for `notAfter`, in seconds since 1970.
    /// With `parent` it is a session of that token, whose expired sessions go on this occasion.
    package func createToken(
        _ id: TokenID,
        name: String,
        hash: [UInt8],
        scopes: Set<Scope>,
        lifetime: Duration?,
        notAfter: Int64? = nil,
        parent: TokenID? = nil,
        account: AccountID? = nil
    ) async throws -> TokenRecord {
        let names = scopes.map(\.rawValue).sorted()
        let details: [String: JSONValue] = ["name": .string(name), "scopes": .array(names.map { .string($0) })]
        let entry = try self.entry(parent == nil ? .tokenCreate : .sessionOpen, id.text, details)
        let rows = try await self.pool.query(
            """
            WITH outlived AS (
                DELETE FROM turnpike.tokens
                WHERE org = \(self.org.text)::text AND parent = \(parent?.text)::uuid AND expires_at <= now()
            ), made AS (
                INSERT INTO turnpike.tokens (token, org, name, hash, scopes, expires_at, parent, account)
                VALUES (\(id.text)::uuid, \(self.org.text)::text, \(name)::text, \(hash)::bytea, \(names)::text[],
                    least(now() + \(lifetime?.milliseconds)::bigint * interval '1 millisecond',
                        to_timestamp(\(notAfter)::bigint)),
                    \(parent?.text)::uuid, \(account?.text)::uuid)
                RETURNING *
            ), \(auditing: entry, of: "made")
            SELECT \(unescaped: Self.tokenColumns) FROM made
            """
        )
        guard let row = rows.first else { throw PostgresError(.decoding, "no token came back") }
        return try self.token(row)
    }

    /// All tokens, revoked ones included, newest first.
    package func tokens() async throws -> [TokenRecord] {
        try await self.pool.query(
            """
            SELECT \(unescaped: Self.tokenColumns) FROM turnpike.tokens WHERE org = \(self.org.text)::text
            ORDER BY created_at DESC, token
            """
        ).map(self.token)
    }

    /// Revokes a token; idempotent. Returns whether there is one.
    package func revokeToken(_ id: TokenID) async throws -> Bool {
        try await !self.pool.query(
            """
            WITH found AS (
                SELECT token FROM turnpike.tokens
                WHERE org = \(self.org.text)::text AND token = \(id.text)::uuid
            ), revoked AS (
                UPDATE turnpike.tokens SET revoked_at = now()
                WHERE org = \(self.org.text)::text AND token = \(id.text)::uuid AND revoked_at IS NULL
                RETURNING token
            ), \(auditing: try self.entry(.tokenRevoke, id.text), of: "revoked")
            SELECT token FROM found
            """
        ).isEmpty
    }

    /// Gives a token another secret. The one before stays good for `overlap`, and the sessions that were opened with it
    /// no longer than it. What the token allows and when it ends stay as they are, so whoever learns the secret must be
    /// within `bounds`.
    package func rotateToken(
        _ id: TokenID,
        hash: [UInt8],
        overlap: Duration,
        within bounds: TokenBounds
    ) async throws -> TokenRotation {
        let entry = try self.entry(.tokenRotate, id.text, ["overlap_seconds": .integer(overlap.milliseconds / 1_000)])
        let scopes = bounds.scopes.map(\.rawValue).sorted()
        let rows = try await self.pool.query(
            """
            WITH found AS (
                SELECT t.token, t.scopes <@ \(scopes)::text[] AS is_covered,
                    coalesce(floor(extract(epoch FROM t.expires_at)) <= \(bounds.notAfter)::bigint,
                        \(bounds.notAfter)::bigint IS NULL) AS is_in_time
                FROM turnpike.tokens t
                WHERE org = \(self.org.text)::text AND token = \(id.text)::uuid AND parent IS NULL
                    AND revoked_at IS NULL AND coalesce(expires_at > now(), true)
                FOR UPDATE
            ), rotated AS (
                UPDATE turnpike.tokens t SET hash = \(hash)::bytea, previous_hash = hash,
                    previous_until = now() + \(overlap.milliseconds)::bigint * interval '1 millisecond'
                FROM found f WHERE t.org = \(self.org.text)::text AND t.token = f.token AND f.is_covered AND f.is_in_time
                RETURNING t.*
            ), shortened AS (
                UPDATE turnpike.tokens s SET expires_at = least(s.expires_at, r.previous_until)
                FROM rotated r WHERE s.parent = r.token
            ), \(auditing: entry, of: "rotated")
            SELECT f.is_covered, f.is_in_time, r.* FROM found f LEFT JOIN (
                SELECT \(unescaped: Self.tokenColumns) FROM rotated
            ) r USING (token)
            """
        )
        guard let row = rows.first else { return .missing }
        guard try row.get("is_covered") else { return .allowsMore }
        guard try row.get("is_in_time") else { return .outlives }
        return .rotated(try self.token(row))
    }

    private static var tokenColumns: String {
        """
        token, parent, account, name, array_to_string(scopes, ' ') AS scopes, \(SQLTime.text("created_at")) AS created_at,
            \(SQLTime.text("expires_at")) AS expires_at, \(SQLTime.text("revoked_at")) AS revoked_at
        """
    }

    private func token(_ row: Row) throws -> TokenRecord {
        TokenRecord(
            id: try row.id("token"),
            org: self.org,
            name: try row.get("name"),
            scopes: Store.scopes(try row.get("scopes")),
            createdAt: try row.get("created_at"),
            expiresAt: try row.get("expires_at"),
            revokedAt: try row.get("revoked_at"),
            parent: try row.optionalID("parent"),
            account: try row.optionalID("account")
        )
    }
}
