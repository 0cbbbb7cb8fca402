import Domain
import Postgres

/// Why row-level security does not keep organizations apart here, or keeps the gateway from its work.
package struct WallBreach: Error, Sendable, Hashable, CustomStringConvertible {
    /// What is wrong.
    package let description: String
    /// What to do about it, for the database's administrator.
    package let remedy: String
}

extension Store {
    /// Makes sure that a tenant's statements are held by the walls, whoever the gateway has logged in as, and that its
    /// own are not. Throws `WallBreach`.
    package func checkWalls() async throws {
        let login = try await self.pool.query(
            """
            SELECT current_user::text AS login, r.rolsuper OR r.rolbypassrls
                OR coalesce(pg_has_role(to_regrole('turnpike_gateway'), 'USAGE'), false) AS passes
            FROM pg_roles r WHERE r.rolname = current_user
            """
        ).first
        guard let login else { throw PostgresError(.decoding, "a session has no user") }
        let name: String = try login.get("login")
        let remedy = "As the database's administrator: GRANT turnpike_gateway TO \(quotedIdentifier(name));"
        guard try login.get("passes") else {
            throw WallBreach(description: "\(name) is no member of the role turnpike_gateway", remedy: remedy)
        }
        try await self.checkTenant(remedy: remedy)
    }

    /// The gateway's login, if PostgreSQL lets it pass every wall whatever policies say. A tenant's statements are held all
    /// the same; the gateway's own are not, and nothing else on the server is safe from it.
    package func almightyLogin() async throws -> String? {
        try await self.pool.query(
            """
            SELECT rolname::text AS login FROM pg_roles WHERE rolname = current_user AND (rolsuper OR rolbypassrls)
            """
        ).first?.get("login")
    }

    /// Looks from behind the wall: is there a table within reach that it does not cover?
    private func checkTenant(remedy: String) async throws {
        let tenant: Row?
        do {
            tenant = try await WalledPool(org: try OrganizationID("default"), pool: self.pool).query(
                """
                SELECT pg_has_role('turnpike_gateway', 'MEMBER') AS passes, (
                    SELECT string_agg(c.relname::text, ', ' ORDER BY c.relname) FROM pg_class c
                    WHERE c.relnamespace = 'turnpike'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
                        AND has_table_privilege(c.oid, 'SELECT, INSERT, UPDATE, DELETE')
                        AND NOT row_security_active(c.oid)) AS open
                """
            ).first
        } catch let error as PostgresError where error.code == .server && !error.isWorthRepeating {
            throw WallBreach(description: "no statement can run as turnpike_tenant: \(error.message)", remedy: remedy)
        }
        if try tenant?.get("passes") ?? true {
            throw WallBreach(
                description: "the role turnpike_tenant passes all walls, being a member of turnpike_gateway",
                remedy: "As the database's administrator: REVOKE turnpike_gateway FROM turnpike_tenant;"
            )
        }
        if let open: String = try tenant?.get("open", as: String?.self) {
            throw WallBreach(
                description: "the role turnpike_tenant reaches tables without a wall: \(open)",
                remedy: "ALTER ROLE turnpike_tenant NOSUPERUSER NOBYPASSRLS; and undo what was done to these tables."
            )
        }
    }
}
