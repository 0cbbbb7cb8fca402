import Domain
import Gateway
import HTTP

/// The organization's API tokens.
struct TokenRoutes: Sendable {
    /// `GET /v1/tokens`: all of them, without their secrets.
    func list(_ call: Call) async throws -> Response {
        _ = try call.query()
        let tokens = try await call.tenant.tokens()
        return .json(
            JSONWriter.object(capacity: 4_096) { json in
                json.member("tokens", objects: tokens) { $0.members(of: $1) }
            }
        )
    }

    /// `POST /v1/tokens`: the answer is the only place where the secret is ever shown. The token ends no later than the
    /// caller's own, as its `expires_at` says.
    func create(_ call: Call) async throws -> Response {
        _ = try call.query()
        let body = try TokenBody(call.json())
        // Nobody hands out more than they have.
        for scope in Scope.allCases where body.scopes.contains(scope) && !call.principal.may(scope) {
            throw APIError(403, "forbidden", "the token lacks the scope \(scope.rawValue)", param: "scopes")
        }
        let (record, secret) = try await call.tenant.createToken(
            name: body.name,
            scopes: body.scopes,
            lifetime: body.lifetimeSeconds.map { .seconds($0) },
            // Nor for longer than they have it.
            notAfter: call.principal.expiresAt
        )
        return .json(
            JSONWriter.object { $0.member("token") { $0.members(of: record, secret: secret) } },
            status: 201
        )
    }

    /// `POST /v1/tokens/{token}/rotate` with `{overlap_seconds?}`: another secret, shown only here. The one before
    /// stays good for that long, an hour if nothing is said; with 0 it is over on every replica within a second. When the
    /// token ends stays as it was; who could not have made one that lasts as long, or allows as much, is refused.
    func rotate(_ call: Call) async throws -> Response {
        let id = try call.id("token", TokenID.self)
        _ = try call.query()
        let body = call.request.body.isEmpty ? nil : try JSONMembers(call.json(), known: ["overlap_seconds"])
        let overlap = try body?.integer("overlap_seconds", in: 0...2_592_000) ?? 3_600
        let (record, secret) = try await call.tenant.rotateToken(id, overlap: .seconds(overlap), for: call.principal)
        return .json(JSONWriter.object { $0.member("token") { $0.members(of: record, secret: secret) } })
    }

    /// `DELETE /v1/tokens/{token}`: in force on every replica within a second.
    func revoke(_ call: Call) async throws -> Response {
        let id = try call.id("token", TokenID.self)
        _ = try call.query()
        try await call.tenant.revokeToken(id)
        return Response(status: 204)
    }
}
