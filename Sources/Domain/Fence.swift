/// What every write of a conversation's holder carries and PostgreSQL compares, for equality, on a locked row.
///
/// The epoch alone is not enough: an asynchronous failover can hand out the same number twice. The nonce is random and
/// cannot repeat.
package struct Fence: Hashable, Sendable {
    /// The conversation's name; nil where it has none.
    package let conversation: ConversationNumber
    /// The number of the term; it only grows.
    package let epoch: Int64
    /// The random half of the term's identity.
    package let nonce: Nonce

    package init(conversation: ConversationNumber, epoch: Int64, nonce: Nonce) {
        self.conversation = conversation
        self.epoch = epoch
        self.nonce = nonce
    }
}

/// The advisory lock plus the fence of the term it was taken for.
///
/// Not copyable, and made only from a `LeaseDemand`, which only the spawn guard makes: whoever holds one has passed
/// the guard and taken the lock. A worker that may write snapshots is spawned by giving its lease away (see
/// `SpawnPermit`), so a second worker under the same lease does not compile.
package struct Lease: ~Copyable, Sendable {
    /// The triple that names the conversation.
    package let key: ConversationKey
    /// The advisory lock it stands on.
    package let lock: LockKey
    /// What every write of the holder carries.
    package let fence: Fence

    /// Joins a demand that the guard approved with the fence that was taken once the lock was held.
    package init(_ demand: consuming LeaseDemand, lock: LockKey, fence: Fence) {
        self.key = demand.key
        self.lock = lock
        self.fence = fence
    }
}

/// The 64-bit advisory-lock key of a conversation, computed by one SQL function from a structured encoding.
package struct LockKey: Hashable, Sendable {
    /// The number itself.
    package let value: Int64

    package init(_ value: Int64) {
        self.value = value
    }
}

/// How an attempt to take a lease ended. Four results and never one nil: each is handled differently.
package enum LeaseAcquisition: ~Copyable, Sendable {
    /// Lock and fence are held; with them came the chain's head, the workspace that is the conversation's if it has one
    /// by name, and the turn that was handed over.
    case granted(Lease, head: Int64, workspace: WorkspaceID?, armed: ArmedTurn?)
    /// Somebody else holds the conversation: a replica, when it is known which.
    case busy(owner: ReplicaID?)
    /// This replica holds as many locks or workers as it may.
    case atCapacity
    /// The lock session or the database is away; trying again makes sense once it is back.
    case unavailable(String)
}
