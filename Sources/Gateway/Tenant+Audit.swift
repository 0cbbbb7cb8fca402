package import Domain
import Store

extension Tenant {
    /// The newest entries about this organization's records before the number `before`, newest first, at most `limit`.
    package func audit(before: Int64, limit: Int) async throws -> [AuditRecord] {
        try await reaching { try await self.store.audit(before: before, limit: limit) }
    }

    /// Gives a token another secret and returns it, which is shown only here; the one before is good for `overlap`
    /// more, and the token until `notAfter`, in seconds since 1970, if nothing ends it before. Throws `notFound`, also for
    /// a token that works no longer.
    package func rotateToken(
        _ id: TokenID,
        overlap: Duration,
        notAfter: Int64?
    ) async throws -> (record: TokenRecord, secret: String) {
        let secret = TokenSecret.make()
        let rotated = try await reaching {
            try await self.store.rotateToken(id, hash: secret.hash, overlap: overlap, notAfter: notAfter)
        }
        guard let rotated else { throw GatewayError.notFound("token") }
        return (rotated, secret.text)
    }
}
