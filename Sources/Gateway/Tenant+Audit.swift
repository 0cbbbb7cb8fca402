package import Domain
import Store

extension Tenant {
    /// The newest entries about this organization's records before the number `before`, newest first, at most `limit`.
    package func audit(before: Int64, limit: Int) async throws -> [AuditRecord] {
        try await reaching { try await self.store.audit(before: before, limit: limit) }
    }

    /// Gives a token another secret and returns it, which is shown only here; the one before is good for `overlap`
    /// more. `principal` learns it, so the token must not do what they may not, nor outlast their own. Throws `notFound`,
    /// also for a token that works no longer, `lacksScope` and `outlives`.
    package func rotateToken(
        _ id: TokenID,
        overlap: Duration,
        for principal: Principal
    ) async throws -> (record: TokenRecord, secret: String) {
        let secret = TokenSecret.make()
        let bounds = TokenBounds(
            scopes: Set(Scope.allCases.filter(principal.may)),
            notAfter: principal.expiresAt
        )
        let rotation = try await reaching {
            try await self.store.rotateToken(id, hash: secret.hash, overlap: overlap, within: bounds)
        }
        switch rotation {
        case .rotated(let record): return (record, secret.text)
        case .missing: throw GatewayError.notFound("token")
        case .outlives: throw GatewayError.outlives
        // Who administers an organization may do everything else in it.
        case .allowsMore: throw GatewayError.lacksScope(.operator)
        }
    }
}
