/// What to do with a turn when its conversation has others before it.
package enum BusyPolicy: String, Sendable, Hashable, Codable, CaseIterable {
    /// Wait in the conversation's queue.
    case enqueue
    /// Refuse with `conversation_busy`.
    case reject
    /// End what is ahead: the worker is told to stop the running turn, queued ones are not begun. They fail with the code
    /// `interrupted`, and the new turn is next.
    case interrupt
}

/// How long a turn may have to wait until it begins, by what the conversation's turns have taken so far.
package enum WaitEstimate {
    /// Zero for a turn with nothing ahead. Nil when it cannot be told: no turn of the conversation has completed yet, or
    /// the turn `isHeldBack` for a lock, a place or a key. `typical` is what its turns take, `elapsed` how long the running
    /// one has taken.
    package static func wait(
        ahead: Int,
        typical: Duration?,
        elapsed: Duration?,
        isHeldBack: Bool = false
    ) -> Duration? {
        guard !isHeldBack else { return nil }
        guard ahead > 0 else { return .zero }
        guard let typical else { return nil }
        // Nobody knows how much longer a turn takes that has taken longer than usual.
        let first = elapsed.map { max(.zero, typical - $0) } ?? typical
        return first + typical * (ahead - 1)
    }
}
