import Domain
import Runtime
import Store
import Workers

// What a session's turns have to do with models: their leave to ask one, and the backends that served them.
extension ConversationSession {
    /// Opens the desk of models for a turn; nil when its agent has no leave.
    func openModel(for turn: ArmedTurn, by worker: Worker) async -> (turn: ModelTurn, token: WorkerToken)? {
        self.backends.begin(turn.id)
        guard let access = self.agent.model, let used = await self.modelUse(of: turn, access) else { return nil }
        let token = WorkerToken.make()
        let model = ModelTurn(
            turn.id,
            of: self.claim,
            access: access,
            used: used,
            fence: self.fence,
            tokens: [token] + (worker.token.map { [$0] } ?? []),
            store: self.tools.store,
            backends: self.backends,
            cacheKey: self.cacheKey,
            limits: self.tools.limits
        )
        self.tools.models.open(model)
        return (model, token)
    }

    /// What earlier runs of the turn have used: nothing, unless it ran before and that is counted. Nil when the session is
    /// over, or it cannot be read: then the worker asks no model.
    private func modelUse(of turn: ArmedTurn, _ access: ModelAccess) async -> ModelUse? {
        guard access.isBounded, turn.attempt > 1 || turn.isResumed else { return ModelUse() }
        let read = await self.persistently("model use") { () -> ModelUse? in
            try await self.tools.store.modelUse(turn.id)
        } resolve: {
            nil
        }
        guard case .done(let used) = read else { return nil }
        return used
    }

    /// The worker is done with the turn: nothing is asked in its name any more, and what is known of its backend, and what
    /// it has used, is written before the turn is settled. Neither fails a turn.
    func close(_ model: ModelTurn?) async {
        if let model {
            self.tools.models.close(model)
            do {
                try await model.flush()
            } catch {
                self.log.warning("what the turn used of its models was not written", ["error": .error(error)])
            }
        }
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
