import Domain
import Gateway
import HTTP

/// Questions of workers, for the people who decide them.
struct ApprovalRoutes: Sendable {
    private static let longestReason = 1_000

    /// `GET /v1/approvals?state=&after=&limit=`: the oldest first, in pages.
    func list(_ call: Call) async throws -> Response {
        let query = try call.query("state", "after", "limit")
        let limit = Int(try query.integer("limit", in: 1...1_000) ?? 100)
        let approvals = try await call.tenant.approvals(
            state: try Self.state(query["state"]),
            after: try Self.cursor(query["after"]),
            limit: limit
        )
        return .json(
            JSONWriter.object(capacity: 4_096) { json in
                json.member("approvals", objects: approvals) { $0.members(of: $1) }
                json.member("next", approvals.count == limit ? approvals.last?.id.text : nil)
            }
        )
    }

    private static func state(_ text: String?) throws(APIError) -> ApprovalState? {
        guard let text else { return nil }
        guard let state = ApprovalState(rawValue: text) else {
            let known = ApprovalState.allCases.map(\.rawValue).joined(separator: ", ")
            throw .invalid("state", "must be one of \(known)")
        }
        return state
    }

    private static func cursor(_ text: String?) throws(APIError) -> ApprovalID? {
        guard let text else { return nil }
        guard let id = ApprovalID(text) else { throw .invalid("after", "must be the id of an approval") }
        return id
    }

    /// `GET /v1/approvals/{approval}`
    func show(_ call: Call) async throws -> Response {
        let id = try call.id("approval", ApprovalID.self)
        _ = try call.query()
        return Self.response(try await call.tenant.approval(id))
    }

    /// `POST /v1/approvals/{approval}` with `{decision, reason?}`: the first decision wins; the same again is no error.
    /// An option for always makes a rule as well, for which the token needs the scope `agents`.
    func decide(_ call: Call) async throws -> Response {
        let id = try call.id("approval", ApprovalID.self)
        _ = try call.query()
        let body = try JSONMembers(call.json(), known: ["decision", "reason"])
        guard let decision = try body.text("decision"), !decision.isEmpty else {
            throw APIError.invalid("decision", "must be allow, deny or the id of an option")
        }
        let reason = try body.text("reason")
        if let reason { try Self.check(reason) }
        return Self.response(
            try await call.tenant.decide(
                id,
                ApprovalWish(decision),
                reason: reason,
                by: call.principal.token,
                mayMakeRules: call.principal.may(.agents)
            )
        )
    }

    /// Throws 400 for a reason that cannot be stored.
    static func check(_ reason: String) throws(APIError) {
        guard (1...Self.longestReason).contains(reason.unicodeScalars.count), !reason.utf8.contains(0) else {
            throw .invalid("reason", "must be 1 to \(Self.longestReason) characters, none of them NUL")
        }
    }

    private static func response(_ approval: ApprovalRecord) -> Response {
        .json(JSONWriter.object { $0.member("approval") { $0.members(of: approval) } })
    }
}
