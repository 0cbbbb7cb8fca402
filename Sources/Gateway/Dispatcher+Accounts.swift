import Domain
import Runtime
import Store

// Which account a claimed conversation runs on. The claim is filtered by what has room here, so nearly always one is
// there; who has work makes room by ending an idle session of the same account.
extension Dispatcher {
    /// How the look for an account ended.
    enum AccountPick {
        /// The agent needs none.
        case none
        /// A slot of this one was taken, and is to be given back.
        case taken(HostedAccount)
        /// All slots are taken.
        case busy
    }

    /// The accounts for which this replica has a slot, or an idle session that would make one free.
    func accountsWithRoom() -> [AccountID] {
        guard !self.tools.accounts.isEmpty else { return [] }
        let idle = Set(self.tools.registry.sessions().filter { $0.idleSince != nil }.compactMap(\.account?.id))
        return self.tools.accounts.withRoom(or: idle.contains)
    }

    /// Takes a slot for the conversation; where none is free, ends the session that has been idle longest on an account
    /// that would do.
    func takeAccount(for claim: Claim, _ agent: AgentConfiguration) -> AccountPick {
        guard let need = agent.account else { return .none }
        if let account = self.tools.accounts.take(for: need, claim) { return .taken(account) }
        let fitting = Set(self.tools.accounts.fitting(need, claim))
        self.evictIdleSession { session in session.account.map { fitting.contains($0.id) } ?? false }
        return .busy
    }

    /// Whether a term was not granted because the account's slots are taken, on all replicas together. Then one of its
    /// sessions that is idle here has to go.
    func isBusy(_ account: HostedAccount?) async -> Bool {
        guard let account else { return false }
        do {
            guard try await !self.tools.store.hasFreeSlot(account.id) else { return false }
        } catch {
            // It is put back either way; only the reason that is shown differs.
            self.tools.log.debug("an account's slots are not known", ["error": .error(error)])
            return false
        }
        self.tools.accounts.noteFull(account.id)
        self.evictIdleSession { $0.account?.id == account.id }
        return true
    }
}
