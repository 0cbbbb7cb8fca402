package import Domain

/// The failures that a caller of the gateway may see. Everything else is a defect.
package enum GatewayError: Error, Sendable, Hashable {
    /// No such record in this organization; another organization's is the same nothing.
    case notFound(String)
    /// The conversation was deleted; its name stays taken.
    case deleted
    /// There is a conversation of this name already.
    case conversationExists
    /// The agent's workers are started by nobody here.
    case startsElsewhere
    /// The label is another account's already.
    case labelTaken
    /// The turn is no longer this remote worker's.
    case fenced
    /// A remote worker's turn said more than it may, and has failed.
    case outputLimit(bytes: Int)
    /// The client key was used before for another request; the turn it made.
    case idempotencyConflict(TurnID?)
    /// Something is ahead in the conversation and the caller did not want to queue: how many turns, and how long they may
    /// take, if that can be told.
    case conversationBusy(ahead: Int, wait: Duration? = nil)
    /// The conversation's queue is at its limit.
    case queueFull(limit: Int)
    /// A cap of the organization's quota is reached, and where it is.
    case quotaReached(QuotaCap, limit: Int)
    /// There are as many of something as there may be: of what, and how many.
    case limitReached(String, limit: Int)
    /// The turn has its outcome already.
    case alreadyEnded
    /// Somebody else decided the question, otherwise; the option that won.
    case alreadyDecided(String)
    /// Nobody waits for a decision any more: the question expired or was withdrawn.
    case approvalOver(ApprovalState)
    /// What was asked for needs more than the caller may.
    case lacksScope(Scope)
    /// The token lasts longer than the one that asked for its secret.
    case outlives
    /// A member of the request is wrong: its path and a sentence.
    case invalid(member: String, problem: String)
    /// The agent does not exist.
    case agentNotConfigured(String)
    /// The replica's or the agent's workers are all taken.
    case noWorkerPlace
    /// PostgreSQL is away or overloaded; nothing was half-done, and trying again makes sense.
    case unavailable(String)
    /// PostgreSQL went away while the turn was committed: it may have been accepted or not.
    case acceptanceUnknown(TurnID)
    /// The replica is leaving and takes no new turns.
    case draining
}
