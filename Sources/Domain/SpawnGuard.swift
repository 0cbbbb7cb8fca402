/// How an agent keeps a conversation's state.
package enum StoreMode: String, Sendable, Hashable, Codable, CaseIterable {
    /// In snapshots that any replica can hydrate from; writing them needs a lease.
    case snapshot
    /// In files the worker keeps itself, which the gateway neither reads nor writes.
    case file
    /// Nowhere.
    case none
}

/// The decision that stands before every spawn: a pure function of what the turn names and how its agent stores state.
///
/// | store mode | run id | org and conversation | decision |
/// |---|---|---|---|
/// | snapshot | yes | both | take the lease, then spawn under it |
/// | snapshot | yes | either missing | refuse, re-queueable |
/// | snapshot | no | any | spawn without a lease, no way to write a snapshot |
/// | file, none | any | any | spawn without a lease |
///
/// The decision is also the only way to spawn. Starting a worker consumes a `SpawnPermit`, whose initializers are
/// private to this file: a stateless one comes out of `decide` alone, and one that may write snapshots is made of a
/// `Lease`, which needs a `LeaseDemand`, which again comes out of `decide` alone. There is no third way to write one
/// down outside this file, so an unguarded spawn does not compile; and since all of them are non-copyable, a permit
/// or a lease serves one spawn.
package enum SpawnGuard {
    /// What the guard found.
    package enum Decision: ~Copyable, Sendable {
        /// Take the lease for this demand, then spawn under it.
        case takeLease(LeaseDemand)
        /// Spawn at once; the worker has no way to write a snapshot.
        case spawn(SpawnPermit)
        /// Do not spawn. The turn goes back to the queue, and fails with `guard_refused` at its own deadline.
        case refuse(Refusal)
    }

    /// Which part of the key a guarded turn lacks.
    package struct Refusal: Hashable, Sendable, CustomStringConvertible {
        /// The turn names no organization.
        package let lacksOrganization: Bool
        /// The turn names no conversation.
        package let lacksConversation: Bool

        package var description: String {
            switch (self.lacksOrganization, self.lacksConversation) {
            case (true, true): "the turn may write a snapshot but names neither organization nor conversation"
            case (true, false): "the turn may write a snapshot but names no organization"
            default: "the turn may write a snapshot but names no conversation"
            }
        }
    }

    /// Decides from the store mode as it is now, not as it was when the turn was enqueued.
    package static func decide(
        storeMode: StoreMode,
        run: RunID?,
        org: OrganizationID?,
        agent: AgentID,
        conversation: ConversationID?
    ) -> Decision {
        guard storeMode == .snapshot, run != nil else {
            return .spawn(SpawnPermit(stateless: ()))
        }
        guard let org, let conversation else {
            return .refuse(Refusal(lacksOrganization: org == nil, lacksConversation: conversation == nil))
        }
        return .takeLease(LeaseDemand(key: ConversationKey(org: org, agent: agent, conversation: conversation)))
    }
}

/// The guard's word that a spawn needs the lease of this conversation.
package struct LeaseDemand: ~Copyable, Sendable {
    /// The triple that names the conversation.
    package let key: ConversationKey

    fileprivate init(key: ConversationKey) {
        self.key = key
    }
}

/// What starting a worker consumes.
package struct SpawnPermit: ~Copyable, Sendable {
    /// Whether the worker may write snapshots.
    package let mayWriteSnapshots: Bool
    private let lease: Lease?

    fileprivate init(stateless: Void) {
        self.mayWriteSnapshots = false
        self.lease = nil
    }

    /// Permits one worker that may write snapshots, and gives the lease to it.
    package init(under lease: consuming Lease) {
        self.mayWriteSnapshots = true
        self.lease = consume lease
    }

    /// Ends the permit and gives the lease back, if there was one, so that it can be released after the worker.
    package consuming func surrender() -> Lease? {
        self.lease
    }
}
