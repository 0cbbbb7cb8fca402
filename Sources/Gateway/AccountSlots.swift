import Domain
import Runtime

/// The accounts that this replica hosts, and how many of their slots here are taken.
///
/// A slot is taken by a claim and given back when the conversation's session has ended, so an idle session keeps it until
/// somebody else has work. The bound of an account for all replicas together is PostgreSQL's to keep (`Store.beginTerm`).
final class AccountSlots: Sendable {
    private struct State {
        var accounts: [AccountID: HostedAccount] = [:]
        var taken: [AccountID: Int] = [:]
        /// When the database last said that all slots of an account are taken.
        var refusals: [AccountID: ContinuousClock.Instant] = [:]

        func free(_ account: HostedAccount) -> Int {
            account.slots - self.taken[account.id, default: 0]
        }

        /// Never another organization's, whatever the conversation's row says.
        func fitting(_ need: AccountNeed, _ claim: Claim) -> [HostedAccount] {
            self.accounts.values.filter { account in
                guard account.identity.org == claim.servingOrganization else { return false }
                if let owner = claim.owner { return account.id == owner }
                return need.fits(account) && !claim.excluded.contains(account.id)
            }
        }
    }

    private static let refusalMemory: Duration = .seconds(2)

    private let state = Locked(State())

    /// The accounts that are hosted from now on, instead of those before.
    func host(_ accounts: [HostedAccount]) {
        self.state.withLock { state in
            state.accounts = Dictionary(accounts.map { ($0.id, $0) }) { first, _ in first }
        }
    }

    /// Whether the account is hosted here.
    func hosts(_ account: AccountID) -> Bool {
        self.state.withLock { $0.accounts[account] != nil }
    }

    /// Whether any account is.
    var isEmpty: Bool { self.state.withLock { $0.accounts.isEmpty } }

    /// The accounts with a free slot, or with one that `canBeFreed`, in no order.
    func withRoom(or canBeFreed: (AccountID) -> Bool) -> [AccountID] {
        self.state.withLock { state in
            state.accounts.values.filter { state.free($0) > 0 || canBeFreed($0.id) }.map(\.id)
        }
    }

    /// Takes a slot: of the owner where the conversation has one, otherwise of the fitting account with most of them free.
    /// Nil when none is.
    func take(for need: AccountNeed, _ claim: Claim) -> HostedAccount? {
        self.state.withLock { state in
            let now = ContinuousClock.now
            state.refusals = state.refusals.filter { now - $0.value < Self.refusalMemory }
            let free = state.fitting(need, claim).filter { state.free($0) > 0 }
            // Those first that are not known to be full elsewhere.
            let open = free.filter { state.refusals[$0.id] == nil }
            let best = (open.isEmpty ? free : open).max { state.free($0) < state.free($1) }
            guard let best else { return nil }
            state.taken[best.id, default: 0] += 1
            return best
        }
    }

    /// The hosted accounts on which the conversation could run, busy ones included.
    func fitting(_ need: AccountNeed, _ claim: Claim) -> [AccountID] {
        self.state.withLock { $0.fitting(need, claim).map(\.id) }
    }

    /// The account is full, though not by what this replica holds: others are preferred for a while.
    func noteFull(_ account: AccountID) {
        self.state.withLock { $0.refusals[account] = .now }
    }

    /// Gives a slot back.
    func giveBack(_ account: HostedAccount?) {
        guard let account else { return }
        self.state.withLock { state in
            let left = state.taken[account.id, default: 1] - 1
            state.taken[account.id] = left > 0 ? left : nil
        }
    }
}
