/// A named point at which a test build can be made to die, stop, wait or fail; see `Faults`.
///
/// `…Before` is before the call to the database, `…Committed` after its commit and before anybody is told.
package enum FaultPoint: Sendable {
    // Accepting a turn.
    case acceptBefore, acceptCommitted

    // Taking a conversation.
    case claimCommitted
    /// The registry has the conversation, the lock was not asked for yet.
    case acquireEntered
    /// The lock is held, the epoch is the old one.
    case acquireLocked
    /// The new epoch is committed, and the first turn's marker is armed.
    case termCommitted

    // Starting its worker.
    case hydrateBefore, hydrated, spawnBefore, spawned

    // Performing a turn.
    case appendBefore, appendCommitted

    // Ending a turn: with a reply, without one, for another run, or before any worker had it.
    case settleBefore, settleCommitted
    case failBefore, failCommitted
    case requeueBefore, requeueCommitted
    case giveUpBefore, giveUpCommitted

    // Ending somebody else's: turns past their deadline, and what a dead replica has left.
    case sweepCommitted
    case takeOverBefore, takeOverCommitted
    /// The dead replica's idle conversations are free too.
    case takeOverFreed

    // Leaving a conversation.
    /// The registry entry is gone, the lock is still held.
    case releaseBefore
    /// The lock is let go, the row still names this replica.
    case releaseUnlocked
    case releaseCommitted

    // Waiting for people without a worker, and their decision.
    case parkBefore, parkCommitted, decisionCommitted
    /// The transaction is open, and the conversation's row is locked.
    case parkOpen

    /// Whether an error here is one whose commit may have happened.
    package var isAfterCommit: Bool {
        switch self {
        case .acceptCommitted, .claimCommitted, .termCommitted, .appendCommitted, .settleCommitted, .failCommitted,
            .requeueCommitted, .giveUpCommitted, .sweepCommitted, .takeOverCommitted, .takeOverFreed,
            .releaseCommitted, .parkCommitted, .decisionCommitted:
            true
        default:
            false
        }
    }
}

#if FAULT_POINTS
    extension FaultPoint: CaseIterable {}
#endif
