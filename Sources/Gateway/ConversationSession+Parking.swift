import Domain
import Postgres
import Runtime
import Store
import Workers

// A turn that waits for people without a worker: leaving it, going on with it, and what its worker says about calls.
extension ConversationSession {
    /// Parks a running turn and ends the session: process, lease and connection are free, the conversation's order stays.
    /// A turn that cannot be parked gets its outcome.
    func park(
        _ turn: ArmedTurn,
        _ parking: Parking,
        _ result: TurnResult,
        events: [TurnEvent],
        head: Int64
    ) async -> SessionEnding {
        func settled(_ outcome: Outcome) async -> SessionEnding {
            let settlement = Settlement(
                turn: turn.id,
                seq: turn.seq,
                outcome: outcome,
                parent: head,
                snapshot: nil,
                events: events
            )
            return await self.settle(settlement, next: nil) == nil ? self.abortion ?? .fenced : .finished
        }
        self.tools.workers.proved(org: self.claim.org, agent: self.claim.agent)
        // Without an organization there is nobody who could decide.
        guard let org = self.claim.org, let questions = self.questions(of: parking) else {
            return await settled(result.outcome)
        }
        let parked = await self.persistently("park") { () -> Parked? in
            try await self.tools.store.park(
                parking,
                questions: questions,
                turn: turn.id,
                org: org,
                agent: self.claim.agent,
                policy: self.agent.permissions,
                fence: self.fence,
                events: events,
                rounds: self.tools.limits.parkedRounds
            ).value
        } resolve: {
            try await self.tools.store.isParked(turn.id, by: self.fence) ? .waits : nil
        }
        switch parked {
        case .done(.cancelled):
            return await settled(.cancelled(partial: parking.said))
        case .done(.endless):
            let message = "the turn parked \(self.tools.limits.parkedRounds) times in a row without anybody to ask"
            return await settled(.failed(.protocolError, message: message, partial: parking.said))
        case .done(.waits), .done(.goesOn):
            self.tools.feed.changed(self.number)
            self.tools.metrics.count("turnpike_parked_turns_total", "Turns that left their worker to wait for people.")
            return .parked
        case .fenced:
            self.fenceOff()
            return .fenced
        case .refused(let message):
            return await settled(
                .failed(.protocolError, message: "the turn could not be parked: \(message)", partial: parking.said)
            )
        }
    }

    /// The questions of a parked turn's calls, whose identities are in the calls' order; nil when there is no randomness
    /// for them.
    private func questions(of parking: Parking) -> [ApprovalQuestion]? {
        let ids = parking.calls.compactMap { _ in try? NewID.make(ApprovalID.self) }.sorted { $0.text < $1.text }
        guard ids.count == parking.calls.count else { return nil }
        return zip(ids, parking.calls).map { id, call in
            ApprovalQuestion(
                id: id,
                tool: call.tool,
                arguments: call.arguments,
                options: call.options,
                lifetimeSeconds: self.agent.limits.approvalSeconds
            )
        }
    }

    /// What a parked turn goes on with; the session is fenced off when this term is over.
    func resumption(of turn: ArmedTurn) async -> Result<Resumption, ResumptionFailure> {
        let read = await self.persistently("resumption") {
            try await self.tools.store.resumption(turn.id, fence: self.fence).value
        } resolve: {
            nil
        }
        switch read {
        case .done(let resumption):
            self.tools.feed.changed(self.number)
            return .success(resumption)
        case .fenced:
            self.fenceOff()
            return .failure(ResumptionFailure(message: "the conversation is another holder's"))
        case .refused(let message):
            return .failure(ResumptionFailure(message: message))
        }
    }

    /// Writes down what a worker says about a call of its parked turn, ahead of the call's effect. `begun` are the calls
    /// that this run has been granted: each once.
    func note(
        _ note: CallNote,
        in turn: ArmedTurn,
        after relay: EventRelay,
        begun: Locked<Set<String>>
    ) async -> CallVerdict {
        if case .start(let call, _) = note, !begun.withLock({ $0.insert(call).inserted }) {
            return .refused(CallState.started.rawValue)
        }
        await relay.settleDown()
        let written = await self.persistently("call") { () -> CallVerdict? in
            let store = self.tools.store
            let verdict =
                switch note {
                case .start(let call, let arguments):
                    try await store.startCall(call, arguments: arguments, turn: turn.id, fence: self.fence)
                case .done(let call, let result):
                    try await store.endCall(call, result: result, turn: turn.id, fence: self.fence)
                }
            return verdict == .fenced ? nil : verdict
        } resolve: {
            nil
        }
        switch written {
        case .done(let verdict):
            self.tools.feed.changed(self.number)
            return verdict
        case .fenced:
            self.fenceOff()
            return .fenced
        case .refused:
            // The log has the reason. What cannot be written down is not begun.
            return .refused("not recorded")
        }
    }
}

extension TurnResult {
    /// Whether nothing is left of the turn in a session that comes down. A reply that came all the same is settled, and a
    /// turn that its worker has parked is parked, whose outcome is not its end: the fence says whether either still counts.
    func isAbandoned(by abortion: SessionEnding) -> Bool {
        abortion == .fenced || (self.outcome.state == .failed && self.parking == nil)
    }
}

/// Why a parked turn cannot go on.
struct ResumptionFailure: Error, Sendable {
    let message: String
}
