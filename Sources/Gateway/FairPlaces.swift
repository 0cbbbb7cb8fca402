import Domain
import Runtime

/// Shares this replica's places out: remembers who waits for one, and has the sessions of those who have more give theirs
/// up between two turns.
final class FairPlaces: Sendable {
    /// How long somebody who found no place is waited for; a full replica looks at the same conversation sooner.
    private static let patience: Duration = .seconds(5)

    private let registry: ConversationRegistry
    private let share = Locked(FairShare())

    init(registry: ConversationRegistry) {
        self.registry = registry
    }

    /// How many places have work, by whose it is.
    var held: [Claimant: Int] {
        self.registry.sessions().reduce(into: [:]) { held, session in
            if session.idleSince == nil { held[session.claim.claimant, default: 0] += 1 }
        }
    }

    /// `claimant` found no place. Returns whether one will be made for it.
    func wish(_ claimant: Claimant) -> Bool {
        let held = self.held
        return self.share.withLock { $0.wish(claimant, until: .now + Self.patience, held: held) }
    }

    /// `claimant` has found one.
    func served(_ claimant: Claimant) {
        self.share.withLock { $0.served(claimant) }
    }

    /// Whether a session of `holder` whose turn has ended is to leave its place to somebody else.
    func yields(_ holder: Claimant) -> Bool {
        guard !self.share.withLock({ $0.isEmpty }) else { return false }
        let held = self.held
        return self.share.withLock { $0.yields(holder, held: held, at: .now) }
    }
}
