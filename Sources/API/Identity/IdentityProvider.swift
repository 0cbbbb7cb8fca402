import Crypto
import Domain
import Gateway
package import Runtime

/// Believes the tokens of one identity provider (OpenID Connect, or anything else that signs JSON Web Tokens).
package final class IdentityProvider: Sendable {
    private struct Entry {
        let principal: Principal
        let readAt: ContinuousClock.Instant
        /// When the token ends by its own word, leeway included; in seconds of Unix time.
        let end: Int64
    }

    private let configuration: IdentityConfiguration
    private let keys: KeyCache
    private let log: Logger
    /// Unix time in seconds.
    private let clock: @Sendable () -> Int64
    private let entries = Locked<[[UInt8]: Entry]>([:])
    /// Organizations that are known to be there.
    private let organizations = Locked<Set<OrganizationID>>([])

    /// So long an answer is remembered: as with the gateway's own tokens, less than a second.
    private static let memory: Duration = .milliseconds(800)

    /// `fetch` reads what `configuration.keys` names.
    package init(
        _ configuration: IdentityConfiguration,
        log: Logger,
        clock: @escaping @Sendable () -> Int64,
        fetch: @escaping @Sendable () async throws -> [UInt8]
    ) {
        self.configuration = configuration
        self.keys = KeyCache(fetch: fetch)
        self.log = log
        self.clock = clock
    }

    /// The principal of a token; nil when it is refused. Throws 503 when the provider's keys cannot be had.
    func authenticate(_ text: String, at gateway: Gateway) async throws -> Principal? {
        let digest = Digest.sha256(Array(text.utf8))
        let now = ContinuousClock.now
        if let entry = self.entries.withLock({ $0[digest] }), now - entry.readAt < Self.memory,
            self.clock() < entry.end
        {
            return entry.principal
        }
        do {
            let (principal, end) = try await self.believe(text)
            try await self.admit(principal.org, gateway)
            self.entries.withLock { entries in
                if entries.count > 10_000 { entries = [:] }
                entries[digest] = Entry(principal: principal, readAt: now, end: end)
            }
            return principal
        } catch let flaw as TokenFlaw {
            self.log.info("a token of the identity provider was refused", ["because": .text("\(flaw)")])
            return nil
        }
    }

    /// Everything that makes a token one of ours, in this order: algorithm, key, signature, and only then what it says.
    func believe(_ text: String) async throws -> (principal: Principal, end: Int64) {
        let token = try SignedToken(text)
        guard self.configuration.algorithms.contains(token.algorithm) else {
            throw TokenFlaw.algorithm(token.algorithm.rawValue)
        }
        let key: VerificationKey?
        do {
            key = try await self.keys.key(token.keyID, for: token.algorithm)
        } catch {
            self.log.error("the identity provider's keys cannot be read", ["error": .error(error)])
            throw APIError(503, "unavailable", "the identity provider's keys cannot be read now; try again")
        }
        guard let key else { throw TokenFlaw.unknownKey }
        let claims = try token.claims(signedBy: key)
        let end = try self.check(claims)
        return (try self.principal(claims, until: end), end)
    }

    /// Who issued it, for whom, from when, until when. Returns the end.
    private func check(_ claims: [String: JSONValue]) throws(TokenFlaw) -> Int64 {
        guard claims["iss"]?.text == self.configuration.issuer else { throw .claim("iss") }
        let audiences = claims["aud"]?.elements?.map(\.text) ?? [claims["aud"]?.text]
        guard audiences.contains(where: { $0.map(self.configuration.audiences.contains) ?? false }) else {
            throw .claim("aud")
        }
        let (now, leeway) = (self.clock(), self.configuration.leeway)
        guard let expiry = try Self.time(claims["exp"], "exp") else { throw .claim("exp") }
        guard now < expiry + leeway else { throw .expired }
        for name in ["nbf", "iat"] {
            if let start = try Self.time(claims[name], name), now < start - leeway { throw .notYetValid }
        }
        return expiry + leeway
    }

    /// A NumericDate (RFC 7519 section 2), of this millennium or the next.
    private static func time(_ value: JSONValue?, _ name: String) throws(TokenFlaw) -> Int64? {
        guard let value else { return nil }
        let seconds: Int64?
        switch value {
        case .integer(let number): seconds = number
        case .number(let number): seconds = Int64(exactly: number.rounded(.down))
        default: seconds = nil
        }
        guard let seconds, (0...100_000_000_000).contains(seconds) else { throw .claim(name) }
        return seconds
    }

    private func principal(_ claims: [String: JSONValue], until end: Int64) throws(TokenFlaw) -> Principal {
        guard let subject = claims["sub"]?.text, (1...255).contains(subject.utf8.count) else { throw .claim("sub") }
        let scopes = Self.words(Self.value(claims, self.configuration.scopeClaim))
            .compactMap { self.configuration.scopes[$0] }
        return Principal(
            org: try self.organization(claims),
            identity: Identity(issuer: self.configuration.issuer, subject: subject),
            scopes: scopes.reduce(into: []) { $0.formUnion($1) },
            expiresAt: end
        )
    }

    private func organization(_ claims: [String: JSONValue]) throws(TokenFlaw) -> OrganizationID {
        if let fixed = self.configuration.organization { return fixed }
        guard let claim = self.configuration.organizationClaim, let value = Self.value(claims, claim)?.text else {
            throw .organization
        }
        if !self.configuration.organizations.isEmpty {
            guard let org = self.configuration.organizations[value] else { throw .organization }
            return org
        }
        do throws(InvalidName) {
            return try OrganizationID(value)
        } catch {
            throw .organization
        }
    }

    private static func value(_ claims: [String: JSONValue], _ path: IdentityConfiguration.Path) -> JSONValue? {
        path.dropFirst().reduce(path.first.flatMap { claims[$0] }) { value, name in value?[name] }
    }

    private static func words(_ value: JSONValue?) -> [String] {
        value?.elements?.compactMap(\.text) ?? value?.text?.split(separator: " ").map(String.init) ?? []
    }

    /// Makes sure that the organization is there, or refuses.
    private func admit(_ org: OrganizationID, _ gateway: Gateway) async throws {
        if self.organizations.withLock({ $0.contains(org) }) { return }
        if self.configuration.createsOrganizations {
            try await gateway.ensureOrganization(org)
        } else {
            guard try await gateway.hasOrganization(org) else { throw TokenFlaw.organization }
        }
        self.organizations.withLock { _ = $0.insert(org) }
    }
}
