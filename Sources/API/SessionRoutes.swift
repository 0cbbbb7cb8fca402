import Domain
import Gateway
import HTTP

/// A browser signs in with a token, and from then on holds a session of its own.
struct SessionRoutes: Sendable {
    /// `POST /v1/session`: a session for whoever shows a token, in a cookie that no script can read.
    func open(_ call: Call) async throws -> Response {
        _ = try call.query()
        try call.refuseBody()
        guard !call.isWebSession else { throw APIError(400, "invalid_request", "a session is opened with a token") }
        guard call.principal.identity == nil else {
            throw APIError(400, "invalid_request", "a session is opened with a token of the gateway's own")
        }
        let (record, secret) = try await call.tenant.openWebSession(call.principal)
        var response = Response.json(
            JSONWriter.object { $0.member("session") { $0.members(of: record) } },
            status: 201
        )
        response.headers.set("Set-Cookie", WebSession.cookie(secret))
        return response
    }

    /// `GET /v1/session`: who is speaking.
    func show(_ call: Call) async throws -> Response {
        _ = try call.query()
        return .json(
            JSONWriter.object { json in
                json.member("organization", call.principal.org.text)
                json.member("token", call.principal.token.text)
                json.member("scopes", array: call.principal.scopes.map(\.rawValue).sorted()) { $0.string($1) }
                json.member("web_session", flag: call.isWebSession)
            }
        )
    }

    /// `DELETE /v1/session`: signs the browser out, here and, within a second, on every replica.
    func close(_ call: Call) async throws -> Response {
        _ = try call.query()
        guard call.isWebSession else {
            throw APIError(404, "not_found", "a token has no session; DELETE /v1/tokens/{token} revokes it")
        }
        try await call.tenant.revokeToken(call.principal.token)
        return Response(status: 204, headers: ["Set-Cookie": WebSession.noCookie])
    }
}

/// The cookie of a session (RFC 6265). `__Host-` makes browsers refuse it from any other host and over plain HTTP, save
/// from the machine itself.
enum WebSession {
    private static let name = "__Host-turnpike"
    private static let attributes = "Path=/; Secure; HttpOnly; SameSite=Strict"

    /// The field that gives the cookie. Without an age it goes when the browser is closed, and its token ends by itself.
    static func cookie(_ secret: String) -> String {
        "\(self.name)=\(secret); \(self.attributes)"
    }

    /// The field that takes the cookie away.
    static var noCookie: String {
        "\(self.name)=; Max-Age=0; \(self.attributes)"
    }

    /// What the request's cookie holds; nil without one.
    static func cookie(_ request: Request) -> String? {
        for field in request.headers.all("Cookie") {
            for pair in field.split(separator: ";") {
                let parts = pair.drop { $0 == " " }.split(separator: "=", maxSplits: 1)
                if parts.count == 2, parts[0] == self.name { return String(parts[1]) }
            }
        }
        return nil
    }

    /// Whether a page of the host that the request names sent it. The scheme is the balancer's: it is not compared.
    static func isSameOrigin(_ request: Request) -> Bool {
        let (origins, hosts) = (request.headers.all("Origin"), request.headers.all("Host"))
        guard origins.count == 1, hosts.count == 1 else { return false }
        let host = hosts[0].lowercased()
        return ["http://\(host)", "https://\(host)"].contains(origins[0].lowercased())
    }
}
