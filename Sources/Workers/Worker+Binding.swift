import Domain
import Runtime
import Subprocess

// A worker that was started before its conversation, and how it gets one.

extension Worker {
    /// Gives a spare to the conversation of `order`, and with it the permit, without which it performs nothing. When
    /// the worker refuses or is gone, the permit comes back and the worker is still to be ended.
    func bind(_ permit: consuming SpawnPermit, to order: WorkerOrder) async -> BindResult {
        let assignment = self.assignment(order, recalled: nil)
        self.advance { state, effects in
            guard state.lifecycle.state == .spare else { return effects.taken = .failure(Self.goneSpare) }
            state.carry(state.driver.assigned(assignment), &effects)
        }
        let timer = Task {
            // Awaited by nobody: cancelled a few lines below, and harmless when it comes too late.
            let seconds = self.order.configuration.limits.startSeconds
            do { try await self.tools.spawner.reactor.sleep(for: .seconds(seconds)) } catch { return }
            self.taken.resolve(.failure(Self.goneSpare))
        }
        defer { timer.cancel() }
        do {
            try await self.taken.value().get()
        } catch {
            return .refused(error, permit)
        }
        let binding = Binding(permit, order)
        let isBound = self.state.withLock { state in
            guard state.lifecycle.state == .spare else { return false }
            var effects = Effects()
            state.apply(.bound, &effects)
            state.binding = binding
            return true
        }
        guard isBound else { return .refused(Self.goneSpare, permit) }
        await self.permit.keep(permit)
        self.reportContext()
        return .bound
    }

    static let goneSpare = WorkerError(
        code: .workerStartFailed,
        message: "the spare worker ended before it had a conversation"
    )
}
