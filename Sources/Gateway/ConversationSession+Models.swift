import Domain
import Workers

// What a session's turns have to do with models: their leave to ask one, and the backends that served them.
extension ConversationSession {
    /// Opens the desk of models for a turn; nil when its agent has no leave.
    func openModel(for turn: ArmedTurn, by worker: Worker) -> (turn: ModelTurn, token: WorkerToken)? {
        self.backends.begin(turn.id)
        guard let access = self.agent.model else { return nil }
        let token = WorkerToken.make()
        let model = ModelTurn(
            turn.id,
            of: self.claim,
            access: access,
            fence: self.fence,
            tokens: [token] + (worker.token.map { [$0] } ?? []),
            store: self.tools.store,
            backends: self.backends,
            cacheKey: self.cacheKey,
            atOnce: self.tools.limits.modelCallsAtOnce
        )
        self.tools.models.open(model)
        return (model, token)
    }

    /// The worker is done with the turn: nothing is asked in its name any more, and what is known of its backend is
    /// written before the turn is settled.
    func close(_ model: ModelTurn?) async {
        if let model { self.tools.models.close(model) }
        await self.backends.flush()
    }

    /// What a worker says of its backend is one sighting among those of its calls; everything else goes to the log.
    func take(_ event: TurnEvent, _ relay: EventRelay) {
        guard case .backend(let named) = event else { return relay.take(event) }
        self.backends.saw(BackendTracker.Sighting(named.id, cacheKey: self.cacheKey))
    }

    /// The name of what a backend may keep of the conversation, where nobody gives it another.
    var cacheKey: String? {
        self.key.map { "\($0.org.text)/\($0.agent.text)/\($0.conversation.text)" }
    }
}
