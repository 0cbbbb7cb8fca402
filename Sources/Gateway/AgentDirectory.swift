import Domain
import Runtime
import Store

/// What agents are configured as, remembered for a few seconds so that a warm turn asks nobody.
///
/// Only intake reads it, to refuse turns for agents that do not exist and to end sessions of an older version. The
/// spawn guard never does: a claim brings the configuration of its own moment.
final class AgentDirectory: Sendable {
    private struct Key: Hashable {
        let org: OrganizationID
        let agent: AgentID
    }

    private struct Entry {
        let record: AgentRecord
        let readAt: ContinuousClock.Instant
    }

    private let store: Store
    private let lifetime: Duration
    private let entries = Locked<[Key: Entry]>([:])

    init(store: Store, lifetime: Duration = .seconds(5)) {
        self.store = store
        self.lifetime = lifetime
    }

    /// The agent as it is, or was at most a few seconds ago; nil when there is none (never remembered). A missing
    /// default agent is provided on this occasion.
    func agent(org: OrganizationID, agent: AgentID) async throws -> AgentRecord? {
        let key = Key(org: org, agent: agent)
        let now = ContinuousClock.now
        if let entry = self.entries.withLock({ $0[key] }), now - entry.readAt < self.lifetime { return entry.record }
        var record = try await self.store.tenant(org).agent(agent)
        if record == nil, agent.text == "default" {
            // Half-made: an organization has its default agent, if there is one to copy.
            try await self.store.ensureOrganization(org)
            record = try await self.store.tenant(org).agent(agent)
        }
        self.entries.withLock { entries in
            if entries.count > 10_000 { entries = [:] }
            entries[key] = record.map { Entry(record: $0, readAt: now) }
        }
        return record
    }

    /// Forgets an agent that was changed here.
    func forget(org: OrganizationID, agent: AgentID) {
        self.entries.withLock { entries in _ = entries.removeValue(forKey: Key(org: org, agent: agent)) }
    }
}
