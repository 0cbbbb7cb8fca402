import Domain
import Gateway
import HTTP

/// Whom workers may act as.
struct AccountRoutes: Sendable {
    /// `GET /v1/accounts`
    func list(_ call: Call) async throws -> Response {
        _ = try call.query()
        let accounts = try await call.tenant.accounts()
        return .json(
            JSONWriter.object(capacity: 4_096) { json in
                json.member("accounts", objects: accounts) { $0.members(of: $1) }
            }
        )
    }

    /// `POST /v1/accounts`: registers one, or finds it; 201 when it is new.
    func register(_ call: Call) async throws -> Response {
        _ = try call.query()
        let body = try AccountBody(call.json())
        let (account, isNew) = try await call.tenant.registerAccount(
            provider: body.provider,
            principal: body.principal,
            label: body.label,
            pool: body.pool,
            slots: body.slots
        )
        return Self.response(account, status: isNew ? 201 : 200)
    }

    /// `GET /v1/accounts/{account}`
    func show(_ call: Call) async throws -> Response {
        let id = try call.id("account", AccountID.self)
        _ = try call.query()
        return Self.response(try await call.tenant.account(id))
    }

    /// `POST /v1/accounts/{account}/tokens` with `{name, expires_in_seconds?}`: a token that enrols remote workers; the
    /// answer is the only place where its secret is ever shown.
    func enrol(_ call: Call) async throws -> Response {
        let id = try call.id("account", AccountID.self)
        _ = try call.query()
        let body = try JSONMembers(call.json(), known: ["name", "expires_in_seconds"])
        guard let name = try body.text("name"), AccountIdentity.isClean(name, longest: 128) else {
            throw APIError.invalid("name", "must be 1 to 128 bytes without control characters")
        }
        let lifetime = try body.integer("expires_in_seconds", in: 1...315_360_000).map { Duration.seconds($0) }
        let (record, secret) = try await call.tenant.enrol(
            id,
            name: name,
            lifetime: lifetime,
            notAfter: call.principal.expiresAt
        )
        return .json(
            JSONWriter.object { $0.member("token") { $0.members(of: record, secret: secret) } },
            status: 201
        )
    }

    /// `DELETE /v1/accounts/{account}`
    func delete(_ call: Call) async throws -> Response {
        let id = try call.id("account", AccountID.self)
        _ = try call.query()
        try await call.tenant.deleteAccount(id)
        return Response(status: 204)
    }

    /// `DELETE /v1/accounts/{account}/labels/{label}`
    func deleteLabel(_ call: Call) async throws -> Response {
        let id = try call.id("account", AccountID.self)
        let label = call.request.parameters["label"] ?? ""
        _ = try call.query()
        guard AccountIdentity.isClean(label, longest: AccountIdentity.longestLabel) else {
            throw APIError(404, "not_found", "no such label")
        }
        try await call.tenant.deleteLabel(label, of: id)
        return Response(status: 204)
    }

    private static func response(_ account: AccountRecord, status: Int = 200) -> Response {
        .json(JSONWriter.object { json in json.member("account") { $0.members(of: account) } }, status: status)
    }
}

/// The body of `POST /v1/accounts`.
struct AccountBody: Hashable, Sendable {
    var provider: ProviderID
    var principal: String
    var label: String?
    var pool: PoolID?
    var slots: Int?

    /// Checks every member. Throws 400 with the member's path.
    init(_ json: JSONValue) throws(APIError) {
        let members = try JSONMembers(json, known: ["provider", "principal", "label", "pool", "slots"])
        guard let provider: ProviderID = try Self.name(members, "provider") else {
            throw .invalid("provider", "is missing")
        }
        self.provider = provider
        guard let principal = try members.text("principal") else { throw .invalid("principal", "is missing") }
        guard AccountIdentity.isClean(principal, longest: AccountIdentity.longestPrincipal) else {
            throw .invalid("principal", "must be 1 to 500 characters, none of them a control character")
        }
        self.principal = principal
        self.label = try members.text("label")
        if let label, !AccountIdentity.isClean(label, longest: AccountIdentity.longestLabel) {
            throw .invalid("label", "must be 1 to 200 characters, none of them a control character")
        }
        self.pool = try Self.name(members, "pool")
        self.slots = try members.integer("slots", in: 1...100_000).map { Int($0) }
    }

    private static func name<Kind>(_ members: JSONMembers, _ member: String) throws(APIError) -> Name<Kind>? {
        guard let text = try members.text(member) else { return nil }
        do throws(InvalidName) {
            return try Name(text)
        } catch {
            throw .invalid(member, "must match ^[A-Za-z0-9._:-]{1,128}$")
        }
    }
}

extension JSONWriter {
    mutating func members(of account: AccountRecord) {
        self.member("id", account.id.text)
        self.member("provider", account.identity.provider.text)
        self.member("principal", account.identity.principal)
        self.member("labels", array: account.labels) { $0.string($1) }
        self.member("pool", account.pool.text)
        self.member("slots", number: account.slots)
        self.member("held", account.held)
        self.member("hosts", json: account.hosts)
        self.member("created_at", account.createdAt)
    }
}
