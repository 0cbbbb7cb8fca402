import Runtime

/// Whether the locks of the lock session can be relied on: a value, for `LeaseKeeper`.
///
/// A loss lasts until a re-attachment is complete in the session that is current then. Another loss meanwhile belongs to
/// the same one: the re-attachment that it overtook ends nothing, and the next session's begins anew.
struct LockLoss {
    /// Raised when locks can be relied on again; nil while they can.
    private(set) var regained: StopSignal?

    /// The session is lost. Returns what will be raised; nil when a loss lasts already.
    mutating func begin() -> StopSignal? {
        guard self.regained == nil else { return nil }
        let loss = StopSignal()
        self.regained = loss
        return loss
    }

    /// All locks were taken again in `session`, of which `current` is the one there is now. Returns what to raise; nil when
    /// that session was lost as well.
    mutating func end(in session: Int, current: Int?) -> StopSignal? {
        guard session == current else { return nil }
        defer { self.regained = nil }
        return self.regained
    }
}
