import Domain
import Runtime
import Store

/// The poll behind the hints for conversations that this replica owns: finds turns nobody announced, cancellations
/// that were not heard, fences that are no longer ours, and terms of ours that nobody here knows of.
final class Caretaker: Service {
    let name = "caretaker"
    private let store: Store
    private let registry: ConversationRegistry
    private let sweeper: Sweeper
    private let wakeDispatcher: WakeUp
    private let replica: ReplicaID
    private let limits: Limits
    private let log: Logger
    private let bell: WakeUp

    init(tools: SessionTools, sweeper: Sweeper) {
        self.store = tools.store
        self.registry = tools.registry
        self.sweeper = sweeper
        self.wakeDispatcher = tools.wakeDispatcher
        self.replica = tools.replica
        self.limits = tools.limits
        self.log = tools.log
        self.bell = WakeUp(reactor: tools.reactor)
    }

    /// Has it look before its time.
    func lookSoon() {
        self.bell.signal()
    }

    /// How many polls there are to one look for strays, which are rare and cost a second statement.
    private static let pollsBetweenStrays = 5

    func run(until stop: StopSignal) async throws {
        var suspected: Set<Fence> = []
        var polls = 0
        while true {
            await self.bell.wait(atMost: self.limits.pollInterval * Double.random(in: 0.8...1.2), or: stop)
            guard !stop.isRaised else { return }
            do {
                try await self.inspect(self.registry.sessions())
                polls += 1
                if polls % Self.pollsBetweenStrays == 0 { suspected = try await self.takeBack(suspected) }
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
                session.cancelRunningTurn(running, isInterrupted: state.isInterrupted)
            } else if state.isWaiting || state.running != nil {
                // Running while the session was idle: handed over by an intake whose answer got lost.
                session.look()
            }
        }
    }

    /// Takes the strays back that were there at the last look already, and returns those of this one. A session that is
    /// just leaving has left the registry before it releases its row: that is one look, not two.
    private func takeBack(_ suspected: Set<Fence>) async throws -> Set<Fence> {
        let found = Set(try await self.store.strays(of: self.replica, beside: self.registry.numbers))
        let strays = found.intersection(suspected)
        guard !strays.isEmpty else { return found }
        self.log.warning("terms that nobody serves are taken back", ["conversations": .count(strays.count)])
        self.sweeper.announce(try await self.store.takeBack(Array(strays)))
        self.wakeDispatcher.signal()
        return found.subtracting(strays)
    }
}
