import Runtime

/// Whether the locks of the lock session can be relied on: a value, for `LeaseKeeper`.
///
/// A loss lasts until a re-attachment is complete in the session that is current then. Another loss meanwhile belongs to
/// the same one: the re-attachment that it overtook ends nothing, and the next session's begins anew.
struct LockLoss {
    /// Resolved when locks can be relied on again; nil while they can.
    private(set) var regained: OneShot<Void>?

    /// The session is lost. Returns what will be resolved; nil when a loss lasts already.
    mutating func begin() -> OneShot<Void>? {
        guard self.regained == nil else { return nil }
        let loss = OneShot<Void>()
        self.regained = loss
        return loss
    }

    /// All locks were taken again in `session`, of which `current` is the one there is now. Returns what to resolve; nil when
    /// that session was lost as well.
    mutating func end(in session: Int, current: Int?) -> OneShot<Void>? {
        guard session == current else { return nil }
        defer { self.regained = nil }
        return self.regained
    }
}
