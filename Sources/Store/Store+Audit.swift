package import Domain
import Postgres

/// What a statement adds to the audit log when it has changed something.
struct AuditEntry: Sendable {
    let org: OrganizationID?
    let actor: Actor
    let action: AuditAction
    let subject: String
    /// JSON.
    let details: String

    /// An entry about the installation, unless an organization is named.
    init(
        _ action: AuditAction,
        _ subject: String,
        _ details: [String: JSONValue] = [:],
        org: OrganizationID? = nil,
        by actor: Actor
    ) throws {
        self.org = org
        self.actor = actor
        self.action = action
        self.subject = subject
        self.details = try StoredJSON.text(details)
    }
}

extension TenantStore {
    /// An entry about a record of this organization. No secrets in `details`.
    func entry(_ action: AuditAction, _ subject: String, _ details: [String: JSONValue] = [:]) throws -> AuditEntry {
        try AuditEntry(action, subject, details, org: self.org, by: self.actor)
    }
}

extension Query.StringInterpolation {
    /// A member of a WITH list that adds `entry` to the audit log for each row of `source`, another member of the list:
    /// what was changed and that it was are one statement. `column`, where given, names each row's subject.
    mutating func appendInterpolation(auditing entry: AuditEntry, of source: String, subject column: String? = nil) {
        self.appendLiteral(
            "audited AS (INSERT INTO turnpike.audit (org, actor, action, subject, details, request) SELECT "
        )
        self.appendInterpolation(entry.org?.text)
        self.appendLiteral("::text, ")
        self.appendInterpolation(entry.actor.name)
        self.appendLiteral("::text, ")
        self.appendInterpolation(entry.action.rawValue)
        self.appendLiteral("::text, ")
        if let column {
            self.appendLiteral("\(column), ")
        } else {
            self.appendInterpolation(entry.subject)
            self.appendLiteral("::text, ")
        }
        self.appendInterpolation(entry.details)
        self.appendLiteral("::json, ")
        self.appendInterpolation(entry.actor.request)
        self.appendLiteral("::text FROM \(source))")
    }
}

extension TenantStore {
    /// The newest entries about this organization's records before the number `before`, newest first, at most `limit`.
    package func audit(before: Int64, limit: Int) async throws -> [AuditRecord] {
        try await self.pool.query(
            """
            SELECT \(unescaped: AuditColumns.all) FROM turnpike.audit
            WHERE org = \(self.org.text)::text AND id < \(before)::bigint
            ORDER BY id DESC LIMIT \(limit)::integer
            """
        ).map(AuditColumns.record)
    }
}

extension Store {
    /// The newest entries of all organizations and of the installation, or of one organization, for operators.
    package func audit(of org: OrganizationID?, before: Int64, limit: Int) async throws -> [AuditRecord] {
        if let org { return try await self.tenant(org).audit(before: before, limit: limit) }
        return try await self.pool.query(
            """
            SELECT \(unescaped: AuditColumns.all) FROM turnpike.audit
            WHERE id < \(before)::bigint ORDER BY id DESC LIMIT \(limit)::integer
            """
        ).map(AuditColumns.record)
    }
}

private enum AuditColumns {
    static let all = "id, org, \(SQLTime.text("at")) AS at, actor, action, subject, details, request"

    static func record(_ row: Row) throws -> AuditRecord {
        AuditRecord(
            id: try row.get("id"),
            org: try row.get("org"),
            at: try row.get("at"),
            actor: try row.get("actor"),
            action: try row.get("action"),
            subject: try row.get("subject"),
            details: try row.get("details"),
            request: try row.get("request")
        )
    }
}
