/// Whose conversation it is, where places and claims are shared out: an agent of an organization.
package struct Claimant: Hashable, Sendable {
    /// Nil for turns that were enqueued without one.
    package let org: OrganizationID?
    /// The agent that serves it.
    package let agent: AgentID

    package init(org: OrganizationID?, agent: AgentID) {
        self.org = org
        self.agent = agent
    }
}

/// Who makes room for whom on a replica whose places are all taken.
///
/// Whoever finds no place leaves a wish. A session whose turn has ended asks whether it owes its place to one of them, by
/// what each has: organizations first, then the agents of one. A place changes hands only where that brings the two closer
/// together, or where the other has none at all; who is alone may have them all.
package struct FairShare: Sendable, Hashable {
    private var wishes: [Claimant: ContinuousClock.Instant] = [:]

    package init() {}

    /// Whether nobody waits.
    package var isEmpty: Bool { self.wishes.isEmpty }

    /// `claimant` found no place and waits for one until `end`. Returns whether somebody owes it one; otherwise nothing is
    /// remembered. `held` are the busy places.
    package mutating func wish(
        _ claimant: Claimant,
        until end: ContinuousClock.Instant,
        held: [Claimant: Int]
    ) -> Bool {
        let isOwed = held.keys.contains { Self.owes($0, claimant, held) }
        self.wishes[claimant] = isOwed ? end : nil
        return isOwed
    }

    /// `claimant` has a place.
    package mutating func served(_ claimant: Claimant) {
        self.wishes[claimant] = nil
    }

    /// A turn of `holder` has ended: whether its place is to be given up. The wish is then fulfilled.
    package mutating func yields(
        _ holder: Claimant,
        held: [Claimant: Int],
        at now: ContinuousClock.Instant
    ) -> Bool {
        self.wishes = self.wishes.filter { $0.value > now }
        guard let claimant = self.wishes.keys.first(where: { Self.owes(holder, $0, held) }) else { return false }
        self.wishes[claimant] = nil
        return true
    }

    private static func owes(_ holder: Claimant, _ other: Claimant, _ held: [Claimant: Int]) -> Bool {
        let (mine, theirs): (Int, Int)
        if holder.org == other.org {
            guard holder.agent != other.agent else { return false }
            (mine, theirs) = (held[holder] ?? 0, held[other] ?? 0)
        } else {
            func places(_ org: OrganizationID?) -> Int {
                held.reduce(0) { $0 + ($1.key.org == org ? $1.value : 0) }
            }
            (mine, theirs) = (places(holder.org), places(other.org))
        }
        return theirs == 0 ? mine > 0 : mine > theirs + 1
    }
}
