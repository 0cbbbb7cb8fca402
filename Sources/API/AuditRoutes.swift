import Domain
import Gateway
import HTTP

/// Who changed what.
struct AuditRoutes: Sendable {
    /// `GET /v1/audit?before=&limit=`: the organization's, the newest first, in pages.
    func list(_ call: Call) async throws -> Response {
        let (before, limit) = try Self.page(call.query("before", "limit"))
        return Self.response(try await call.tenant.audit(before: before, limit: limit), limit)
    }

    /// The same for operators: everybody's, or with `org=` one organization's.
    func listAll(_ call: OperatorCall) async throws -> Response {
        let query = try QueryValues(call.request, known: ["before", "limit", "org"])
        let (before, limit) = try Self.page(query)
        let org: OrganizationID?
        do throws(InvalidName) {
            org = try query["org"].map { text throws(InvalidName) in try OrganizationID(text) }
        } catch {
            throw APIError(400, "invalid_id", error.description, param: "org")
        }
        return Self.response(try await call.audit(of: org, before: before, limit: limit), limit)
    }

    private static func page(_ query: QueryValues) throws(APIError) -> (before: Int64, limit: Int) {
        let before = try query.integer("before", in: 1 ... .max) ?? .max
        return (before, Int(try query.integer("limit", in: 1...1_000) ?? 100))
    }

    private static func response(_ entries: [AuditRecord], _ limit: Int) -> Response {
        .json(
            JSONWriter.object(capacity: 4_096) { json in
                json.member("entries", objects: entries) { $0.members(of: $1) }
                json.member("next", json: entries.count == limit ? entries.last.map { String($0.id) } : nil)
            }
        )
    }
}

extension JSONWriter {
    fileprivate mutating func members(of entry: AuditRecord) {
        self.member("id", entry.id)
        self.member("at", entry.at)
        self.member("organization", entry.org)
        self.member("actor", entry.actor)
        self.member("action", entry.action)
        self.member("subject", entry.subject)
        self.member("details", json: entry.details)
        self.member("request_id", entry.request)
    }
}
