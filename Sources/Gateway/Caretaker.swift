import Domain
import Runtime
import Store

/// The poll behind the hints for conversations that this replica owns: finds turns nobody announced, cancellations
/// that were not heard, and fences that are no longer ours.
final class Caretaker: Service {
    let name = "caretaker"
    private let store: Store
    private let registry: ConversationRegistry
    private let limits: Limits
    private let log: Logger

    init(store: Store, registry: ConversationRegistry, limits: Limits, log: Logger) {
        self.store = store
        self.registry = registry
        self.limits = limits
        self.log = log
    }

    func run(until stop: StopSignal) async throws {
        while await !stop.wait(atMost: self.limits.pollInterval * Double.random(in: 0.8...1.2)) {
            do {
                try await self.inspect(self.registry.sessions())
            } catch {
                self.log.warning("inspecting failed", ["error": .error(error)])
            }
        }
    }

    /// Looks at these sessions' conversations now.
    func inspect(_ sessions: [ConversationSession]) async throws {
        guard !sessions.isEmpty else { return }
        let idle = Set(sessions.filter { $0.idleSince != nil }.map(\.number))
        for state in try await self.store.inspect(sessions.map(\.fence), idle: idle) {
            guard let session = self.registry.session(state.number) else { continue }
            if !state.isHeld {
                // Not by number alone: a session that began after the statement has another fence.
                if sessions.contains(where: { $0 === session }) { session.fenceOff() }
            } else if let running = state.running, state.isCancelling {
                // By name: the turn may have ended since, and the next one is nobody's to cancel.
                session.cancelRunningTurn(running)
            } else if state.isWaiting || state.running != nil {
                // Running while the session was idle: handed over by an intake whose answer got lost.
                session.look()
            }
        }
    }
}
