package import Domain
import Store

extension Tenant {
    /// The organization's caps, and how many of its turns have no outcome. Throws `notFound` when it does not exist.
    package func quota() async throws -> QuotaRecord {
        guard let record = try await reaching({ try await self.store.quota() }) else {
            throw GatewayError.notFound("organization")
        }
        return record
    }

    /// Replaces the organization's own caps; in force on every replica at once. Throws `notFound`, and `invalid` for a cap
    /// above its ceiling.
    package func set(_ quota: Quota) async throws -> QuotaRecord {
        if let (cap, limit) = try await self.quota().ceiling.exceeded(by: quota) {
            let problem = "must be at most \(limit), as an operator has set"
            throw GatewayError.invalid(member: cap.rawValue, problem: problem)
        }
        try await reaching { try await self.store.set(quota) }
        return try await self.quota()
    }

    fileprivate func setCeiling(_ ceiling: Quota) async throws -> QuotaRecord {
        _ = try await self.quota()
        try await reaching { try await self.store.setCeiling(ceiling) }
        return try await self.quota()
    }
}

extension Gateway {
    /// The caps of any organization. For operators.
    package func quota(of org: OrganizationID) async throws -> QuotaRecord {
        try await self.tenant(org).quota()
    }

    /// Replaces the ceilings above any organization's caps. For operators. Throws `notFound`.
    package func setCeiling(_ ceiling: Quota, of org: OrganizationID, by actor: Actor) async throws -> QuotaRecord {
        try await self.tenant(org, by: actor).setCeiling(ceiling)
    }
}
