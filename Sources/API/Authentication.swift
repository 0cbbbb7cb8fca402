import Domain
import Gateway
import HTTP

/// What a request has become that either kind of caller may send.
enum Admission: Sendable {
    case tenant(Call)
    case operators(OperatorCall)
}

/// The one place where a request becomes a tenant's call or an operator's.
///
/// Nothing else in this module holds the gateway, so no action can reach data without having passed here.
struct Gate: Sendable {
    private let gateway: Gateway
    /// Whose tokens are believed beside the gateway's own.
    private let provider: IdentityProvider?

    init(_ gateway: Gateway, provider: IdentityProvider?) {
        self.gateway = gateway
        self.provider = provider
    }

    /// Lets a request in whose token covers `scope`, with its own organization's data in reach. Throws 401, 403, 503.
    func admit(_ request: Request, scope: Scope) async throws -> Call {
        let credential = try Credential(request)
        let principal = try await self.principal(credential, scope: scope)
        let actor = principal.actor(isWebSession: credential.isWebSession, request: request.id)
        return Call(
            request: request,
            principal: principal,
            isWebSession: credential.isWebSession,
            tenant: self.gateway.tenant(principal.org, by: actor),
            isStillAdmitted: { try await self.authenticate(credential)?.may(scope) ?? false },
            lastingly: { try await self.gateway.streaming(credential.secret, $0) }
        )
    }

    /// Lets a request in whose token is an operator's. Throws 401, 403, 503.
    func admitOperator(_ request: Request) async throws -> OperatorCall {
        let principal = try await self.principal(try Credential(request), scope: .operator)
        let actor = principal.actor(isWebSession: false, request: request.id)
        return OperatorCall(request: request, principal: principal, actor: actor, gateway: self.gateway)
    }

    /// Lets a request in as an operator's if its token is one, else as `admit` does.
    func admitEither(_ request: Request, scope: Scope) async throws -> Admission {
        if try await self.authenticate(try Credential(request))?.may(.operator) == true {
            return .operators(try await self.admitOperator(request))
        }
        return .tenant(try await self.admit(request, scope: scope))
    }

    /// Who shows this credential; nil for nobody. Only a bearer can be an identity provider's.
    private func authenticate(_ credential: Credential) async throws -> Principal? {
        if let provider, !credential.isWebSession, SignedToken.isLikely(credential.secret) {
            return try await provider.authenticate(credential.secret, at: self.gateway)
        }
        return try await self.gateway.authenticate(credential.secret)
    }

    /// Lets a request in whose token enrols workers. Throws 401, 403, 503.
    func admitWorker(_ request: Request) async throws -> WorkerCall {
        guard let principal = try await self.authenticate(try Credential(request)) else {
            throw APIError.unauthorized("the token is unknown, expired or revoked")
        }
        guard let desk = self.gateway.remoteDesk(for: principal) else {
            throw APIError(403, "forbidden", "the token is no account's; see turnpike account token")
        }
        return WorkerCall(request: request, principal: principal, desk: desk)
    }

    private func principal(_ credential: Credential, scope: Scope) async throws -> Principal {
        guard let principal = try await self.authenticate(credential) else {
            throw APIError.unauthorized("the token is unknown, expired or revoked")
        }
        guard principal.may(scope) else {
            throw APIError(403, "forbidden", "the token lacks the scope \(scope.rawValue)")
        }
        return principal
    }
}

extension APIError {
    /// 401 with the scheme that is wanted.
    fileprivate static func unauthorized(_ message: String) -> APIError {
        var error = APIError(401, "unauthorized", message)
        error.headers.set("WWW-Authenticate", "Bearer")
        return error
    }
}

/// What a request shows to be let in: a bearer token or, from a browser that has signed in, the cookie of its session.
struct Credential: Sendable {
    private static let banned = ["token", "access_token", "api_key"]

    /// A token's secret.
    let secret: String
    /// Whether it came in the cookie.
    let isWebSession: Bool

    /// Takes the bearer token where there is one. A browser sends its cookie with whatever any page makes it send, so a
    /// request that changes something must have come from a page of this very origin (RFC 6454 section 7), and one that
    /// names another origin gets nothing by it, whoever else's pages may call. Throws 400, 401, and 403 for another origin.
    init(_ request: Request) throws(APIError) {
        if let bearer = try Self.bearer(request) {
            self.secret = bearer
            self.isWebSession = false
        } else if let cookie = WebSession.cookie(request) {
            let changesNothing = request.method == "GET" || request.method == "HEAD"
            guard WebSession.isSameOrigin(request) || (changesNothing && request.headers["Origin"] == nil) else {
                throw APIError(403, "forbidden", "a web session is good for requests of its own origin only")
            }
            self.secret = cookie
            self.isWebSession = true
        } else {
            throw .unauthorized("send a token: Authorization: Bearer tpk_…")
        }
    }

    /// The bearer token of a request (RFC 6750 section 2.1); nil when it shows none.
    static func bearer(_ request: Request) throws(APIError) -> String? {
        let fields = request.headers.all("Authorization")
        guard let field = fields.first else { return nil }
        guard fields.count == 1 else { throw .invalid("Authorization", "occurs twice") }
        let parts = field.split(separator: " ", maxSplits: 1)
        guard parts.count == 2, parts[0].lowercased() == "bearer" else { return nil }
        return String(parts[1].drop { $0 == " " })
    }

    /// Throws 400 when a secret stands in the URL, where logs and histories keep it.
    static func refuseInURL(_ request: Request) throws(APIError) {
        for (name, _) in request.query where self.banned.contains(name.lowercased()) {
            throw APIError(
                400,
                "token_in_url",
                "a token in a URL ends up in logs; send it as Authorization: Bearer, and revoke this one",
                param: name
            )
        }
    }
}

/// An operator's request: the installation's records are in reach, no tenant's data.
struct OperatorCall: Sendable {
    let request: Request
    let principal: Principal
    private let actor: Actor
    private let gateway: Gateway

    fileprivate init(request: Request, principal: Principal, actor: Actor, gateway: Gateway) {
        self.request = request
        self.principal = principal
        self.actor = actor
        self.gateway = gateway
    }

    func replicas() async throws -> [ReplicaRecord] {
        try await self.gateway.replicas()
    }

    func workers() -> (workers: [WorkerRecord], circuits: [CircuitRecord]) {
        self.gateway.workers()
    }

    func drain(_ replica: ReplicaID?) async throws -> ReplicaRecord {
        try await self.gateway.drain(replica, by: self.actor)
    }

    func deadLetters(limit: Int) async throws -> [DeadLetterRecord] {
        try await self.gateway.deadLetters(limit: limit)
    }

    func redrive(_ letter: TurnID) async throws -> (letter: DeadLetterRecord, isRepeat: Bool) {
        try await self.gateway.redrive(letter, by: self.actor)
    }

    func organizations(after: String?, limit: Int) async throws -> [String] {
        try await self.gateway.organizations(after: after, limit: limit)
    }

    func quota(of org: OrganizationID) async throws -> QuotaRecord {
        try await self.gateway.quota(of: org)
    }

    func setCeiling(_ ceiling: Quota, of org: OrganizationID) async throws -> QuotaRecord {
        try await self.gateway.setCeiling(ceiling, of: org, by: self.actor)
    }

    func ensureOrganization(_ org: OrganizationID) async throws {
        try await self.gateway.ensureOrganization(org, by: self.actor)
    }

    func audit(of org: OrganizationID?, before: Int64, limit: Int) async throws -> [AuditRecord] {
        try await self.gateway.audit(of: org, before: before, limit: limit)
    }
}
