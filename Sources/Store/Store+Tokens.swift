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
}

extension Store {
    /// The grant of the token with this hash; nil when there is none, or it expired or was revoked, or the token that
    /// opened it did.
    package func grant(hash: [UInt8]) async throws -> TokenGrant? {
        try await self.pool.query(
            """
            SELECT t.token, t.org, array_to_string(t.scopes, ' ') AS scopes
            FROM turnpike.tokens t LEFT JOIN turnpike.tokens p ON p.token = t.parent
            WHERE t.hash = \(hash)::bytea AND t.revoked_at IS NULL AND coalesce(t.expires_at > now(), true)
                AND p.revoked_at IS NULL AND coalesce(p.expires_at > now(), true)
            """
        ).first.map { row in
            TokenGrant(
                token: try row.id("token"),
                org: try OrganizationID(row.get("org")),
                scopes: Self.scopes(try row.get("scopes"))
            )
        }
    }

    /// Creates an organization if it is missing.
    package func ensureOrganization(_ org: OrganizationID) async throws {
        _ = try await self.pool.query(
            "INSERT INTO turnpike.organizations (org) VALUES (\(org.text)::text) ON CONFLICT DO NOTHING"
        )
    }

    static func scopes(_ text: String) -> Set<Scope> {
        Set(text.split(separator: " ").compactMap { Scope(rawValue: String($0)) })
    }
}

extension TenantStore {
    /// Stores a token by its hash. `lifetime` nil means that it does not expire. With `parent` it is a session of that
    /// token, whose expired sessions go on this occasion.
    package func createToken(
        _ id: TokenID,
        name: String,
        hash: [UInt8],
        scopes: Set<Scope>,
        lifetime: Duration?,
        parent: TokenID? = nil
    ) async throws -> TokenRecord {
        let rows = try await self.pool.query(
            """
            WITH outlived AS (
                DELETE FROM turnpike.tokens
                WHERE org = \(self.org.text)::text AND parent = \(parent?.text)::uuid AND expires_at <= now()
            )
            INSERT INTO turnpike.tokens (token, org, name, hash, scopes, expires_at, parent)
            VALUES (\(id.text)::uuid, \(self.org.text)::text, \(name)::text, \(hash)::bytea,
                \(scopes.map(\.rawValue).sorted())::text[],
                now() + \(lifetime?.milliseconds)::bigint * interval '1 millisecond', \(parent?.text)::uuid)
            RETURNING \(unescaped: Self.tokenColumns)
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
            UPDATE turnpike.tokens SET revoked_at = coalesce(revoked_at, now())
            WHERE org = \(self.org.text)::text AND token = \(id.text)::uuid RETURNING token
            """
        ).isEmpty
    }

    private static var tokenColumns: String {
        """
        token, parent, name, array_to_string(scopes, ' ') AS scopes, \(SQLTime.text("created_at")) AS created_at,
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
            parent: try row.optionalID("parent")
        )
    }
}
