import Crypto
package import Domain

/// Somebody whom an identity provider vouches for.
package struct Identity: Sendable, Hashable {
    /// The provider.
    package let issuer: String
    /// Who, in the provider's words.
    package let subject: String

    package init(issuer: String, subject: String) {
        self.issuer = issuer
        self.subject = subject
    }

    /// What stands for the identity where a token's id is wanted: the same for each of its tokens, and nobody else's.
    fileprivate var token: TokenID {
        let text = "\(self.issuer.utf8.count):\(self.issuer)\(self.subject)"
        guard let token = TokenID(UUIDText.derived(from: Digest.sha256(Array(text.utf8)))) else {
            preconditionFailure("a derived UUID is one")
        }
        return token
    }
}

extension Principal {
    /// Somebody with a token of an identity provider that ends at `expiresAt`.
    package init(org: OrganizationID, identity: Identity, scopes: Set<Scope>, expiresAt: Int64) {
        self.init(
            org: org,
            token: identity.token,
            scopes: scopes,
            identity: identity,
            account: nil,
            expiresAt: expiresAt
        )
    }

    /// Whom the audit log names.
    package func actor(isWebSession: Bool, request: String?) -> Actor {
        if let identity {
            return Actor(name: "identity:\(identity.issuer)#\(identity.subject)", request: request)
        }
        return Actor(name: "\(isWebSession ? "session" : "token"):\(self.token)", request: request)
    }
}
