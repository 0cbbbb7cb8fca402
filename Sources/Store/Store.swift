package import Domain
import Foundation
package import Postgres

/// The domain in PostgreSQL: the only module that speaks SQL.
///
/// Each method is one statement or one transaction, values travel only as binds, and every write of a conversation's
/// holder takes a `Fence` and compares it, for equality, on the locked conversation row. Zero rows from such a write
/// mean `fenced`: somebody else holds the conversation now, and nothing has been written.
///
/// Rows are locked in one order: a schedule; an agent or an account; then conversations, several of them by their numbers
/// or only those that nobody else has; then all that belongs to them.
package struct Store: Sendable {
    let pool: ConnectionPool

    /// Works over `pool`; any number of stores may share one.
    package init(pool: ConnectionPool) {
        self.pool = pool
    }

    /// The records of one organization. There is no other way to reach them. `actor` is who the audit log will name.
    package func tenant(_ org: OrganizationID, by actor: Actor = .gateway) -> TenantStore {
        TenantStore(org: org, pool: WalledPool(org: org, pool: self.pool), actor: actor)
    }

    /// Round trips made so far by this store's pool.
    package var roundTrips: Int { self.pool.roundTrips }

    /// Whether PostgreSQL answers; throws what it says otherwise.
    package func ping() async throws {
        _ = try await self.pool.query("SELECT 1")
    }
}

/// JSON as the columns of the schema hold it.
enum StoredJSON {
    static func text(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }

    static func value<Value: Decodable>(_ text: String, as type: Value.Type = Value.self) throws -> Value {
        try JSONDecoder().decode(type, from: Data(text.utf8))
    }
}

extension Row {
    /// A generated identity out of a uuid column.
    func id<Kind>(_ column: String, as kind: UniqueID<Kind>.Type = UniqueID<Kind>.self) throws -> UniqueID<Kind> {
        guard let id = UniqueID<Kind>(try self.get(column, as: String.self)) else {
            throw PostgresError(.decoding, "\(column) is no UUID")
        }
        return id
    }

    /// A generated identity out of a uuid column that may be null.
    func optionalID<Kind>(_ column: String) throws -> UniqueID<Kind>? {
        try self.get(column, as: String?.self).flatMap { UniqueID<Kind>($0) }
    }

    /// A name out of an identifier column that may be null. The schema checks what `Name` checks.
    func optionalName<Kind>(_ column: String, as kind: Name<Kind>.Type = Name<Kind>.self) throws -> Name<Kind>? {
        try self.get(column, as: String?.self).map { try Name<Kind>($0) }
    }

    /// A duration out of a numeric column of milliseconds that may be null.
    func optionalMilliseconds(_ column: String) throws -> Duration? {
        try self.get(column, as: Int64?.self).map { .milliseconds($0) }
    }
}

extension Duration {
    /// Whole milliseconds, as the statements take them.
    var milliseconds: Int64 {
        let (seconds, attoseconds) = self.components
        return seconds * 1000 + attoseconds / 1_000_000_000_000_000
    }
}
