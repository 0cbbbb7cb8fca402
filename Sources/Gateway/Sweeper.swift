import Domain
import Runtime
import Store

/// Ends turns that are past their deadline and whose own replica did not end them. Every replica sweeps; any number of
/// sweepers at once is harmless.
final class Sweeper: Service {
    let name = "sweeper"
    private let store: Store
    private let registry: ConversationRegistry
    private let hints: HintSender
    private let feed: EventFeed
    private let wakeDispatcher: WakeUp
    private let configuration: GatewayConfiguration
    private let log: Logger
    private let metrics: Metrics

    init(
        store: Store,
        registry: ConversationRegistry,
        hints: HintSender,
        feed: EventFeed,
        wakeDispatcher: WakeUp,
        configuration: GatewayConfiguration,
        log: Logger,
        metrics: Metrics
    ) {
        self.store = store
        self.registry = registry
        self.hints = hints
        self.feed = feed
        self.wakeDispatcher = wakeDispatcher
        self.configuration = configuration
        self.log = log
        self.metrics = metrics
    }

    func run(until stop: StopSignal) async throws {
        var (overdue, parked, remote) = (SweepBatch(most: 500), SweepBatch(most: 500), SweepBatch(most: 500))
        while await !stop.wait(atMost: self.configuration.limits.sweepInterval * Double.random(in: 0.8...1.2)) {
            let limits = self.configuration.limits
            await self.sweep("overdue") {
                self.announce(
                    try await overdue.run { try await self.store.sweepOverdue(grace: limits.sweepGrace, limit: $0) }
                )
            }
            await self.sweep("parked") {
                let changed = try await parked.run { try await self.store.sweepParked(limit: $0) }
                for number in changed { self.feed.changed(number) }
                if !changed.isEmpty { self.wakeDispatcher.signal() }
            }
            await self.sweep("remote") {
                self.announce(
                    try await remote.run { try await self.store.sweepRemote(limit: $0, memory: limits.remoteMemory) }
                )
            }
        }
    }

    /// One sweep that cannot be done keeps none of the others from being done.
    private func sweep(_ what: String, _ body: () async throws -> Void) async {
        do {
            try await body()
        } catch {
            self.log.warning("sweeping failed", ["sweep": .text(what), "error": .error(error)])
        }
    }

    /// Tells everybody who should know that these turns have ended, or wait again.
    func announce(_ swept: [SweptTurn]) {
        for turn in swept {
            self.log.warning(
                "a turn was ended for its holder",
                [
                    "turn": .text(turn.turn.text), "holder": .text(turn.replica.text),
                    "code": .text(turn.code?.rawValue ?? "requeued"),
                ]
            )
            self.metrics.count(
                "turnpike_swept_turns_total",
                "Turns ended or requeued by somebody other than their holder.",
                labels: ["code": turn.code?.rawValue ?? "requeued"]
            )
            self.feed.changed(turn.number)
            // Its term, not just its conversation: what was swept is free at once, and may have a new session here.
            if let session = self.registry.session(turn.number), session.fence.epoch == turn.epoch {
                session.fenceOff()
            } else if turn.replica != self.configuration.replica {
                self.hints.send(.look(turn.number), to: turn.replica)
            }
        }
    }
}
