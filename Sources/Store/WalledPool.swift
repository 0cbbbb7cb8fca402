import Domain
import Postgres

/// The pool as one organization sees it. Every request runs as the role `turnpike_tenant` with the organization's name
/// in the setting `turnpike.org`, so that row-level security (`0015_walls.sql`) shows its rows and no others, whatever
/// the statements say.
///
/// Both are set by the request itself, for its own transaction: no round trip more, and nothing stays behind in a
/// session that a pooler may give to somebody else.
struct WalledPool: Sendable {
    let org: OrganizationID
    let pool: ConnectionPool

    private var wall: Query {
        "SELECT set_config('role', 'turnpike_tenant', true), set_config('turnpike.org', \(self.org.text)::text, true)"
    }

    /// See `ConnectionPool.query`.
    @discardableResult
    func query(_ query: Query) async throws -> [Row] {
        try await self.pipeline([query])[0]
    }

    /// See `ConnectionPool.pipeline`.
    @discardableResult
    func pipeline(_ queries: [Query]) async throws -> [[Row]] {
        Array(try await self.pool.pipeline([self.wall] + queries).dropFirst())
    }

    /// See `ConnectionPool.withTransaction`. The wall stands from the first statement to the end.
    @discardableResult
    func withTransaction<Value: Sendable>(
        _ body: (PostgresConnection) async throws -> Value
    ) async throws -> Value {
        try await self.pool.withTransaction { connection in
            try await connection.query(self.wall)
            return try await body(connection)
        }
    }
}
