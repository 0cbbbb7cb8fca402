import Domain
import Runtime
import Store

extension RemoteDesk {
    /// Fails a turn that a worker of another kind had parked. This protocol has no word for going on with it, and begun anew
    /// it would do again what its calls have done.
    func decline(_ turn: ArmedTurn, of run: RemoteRun) async throws {
        let resumption = try await reaching { try await self.store.resumption(turn.id, fence: run.fence) }
        guard let said = resumption.value?.said else { return }
        let message = "the turn was parked, but a remote worker cannot go on with one"
        let settlement = Settlement(
            turn: turn.id,
            seq: turn.seq,
            outcome: .failed(.protocolError, message: message, partial: said),
            parent: run.head,
            snapshot: nil,
            events: [],
            isDeadLetter: turn.attempt > 1
        )
        guard case .done = try await reaching({ try await self.store.settle(settlement, run: run) }) else { return }
        self.log.warning("a parked turn was declined", ["turn": .text(turn.id.text)])
        self.feed.changed(run.fence.conversation)
    }
}
