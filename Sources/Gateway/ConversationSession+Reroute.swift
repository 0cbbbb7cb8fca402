import Domain
import Postgres
import Runtime
import Store

extension ConversationSession {
    /// Gives a turn for which the worker had no capacity to another account. False when there is none to give it to, or it
    /// is not known what became of it: then it is settled, which finds out.
    func reroute(_ turn: ArmedTurn, message: String) async -> Bool {
        guard self.account != nil, self.claim.owner == nil, self.abortion == nil else { return false }
        do {
            let rerouted = try await self.tools.store.reroute(
                turn: turn.id,
                fence: self.fence,
                events: [],
                message: message,
                most: self.tools.limits.reroutes,
                exclusion: self.tools.limits.exclusion
            )
            guard case .done(.some) = rerouted else { return false }
        } catch {
            self.log.warning("a turn could not be rerouted", ["error": .error(error)])
            return false
        }
        self.tools.metrics.count("turnpike_reroutes_total", "Turns given to another account for want of capacity.")
        self.tools.feed.changed(self.number)
        return true
    }
}
