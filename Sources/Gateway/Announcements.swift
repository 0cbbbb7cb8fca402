import Domain

/// Which owners were told of readers on this replica, and when: a value, for `EventFeed`.
struct Announcements {
    /// Well within the time that an owner remembers it.
    private static let interval: Duration = .seconds(10)

    private var told: [ConversationNumber: (owner: ReplicaID, at: ContinuousClock.Instant)] = [:]

    /// Whether `owner` is to be told now of readers of the conversation: nobody was, somebody else was, or it is some time
    /// ago. True counts as told.
    mutating func isDue(of number: ConversationNumber, to owner: ReplicaID, at now: ContinuousClock.Instant) -> Bool {
        if let told = self.told[number], told.owner == owner, now - told.at <= Self.interval { return false }
        self.told[number] = (owner, now)
        return true
    }

    /// Forgets conversations that nobody follows.
    mutating func keep(only followed: Set<ConversationNumber>) {
        self.told = self.told.filter { followed.contains($0.key) }
    }
}
