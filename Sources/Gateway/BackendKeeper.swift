import Domain
import Runtime
import Store

/// Follows which model backend serves one conversation: the shell around `BackendTracker`, for one term.
///
/// Nobody waits for its writes but the end of the turn, and no turn fails over one: the backend is a hint.
final class BackendKeeper: Sendable {
    private struct State {
        var tracker = BackendTracker()
        /// The turn in whose name is written; nil between two turns.
        var turn: TurnID?
        /// What carries out the tracker's steps, one after the other.
        var work: Task<Void, Never>?
    }

    private let store: Store
    private let fence: Fence
    private let changed: @Sendable () -> Void
    private let log: Logger
    private let metrics: Metrics
    private let state = Locked(State())

    /// `changed` is called after each switch that was logged.
    init(store: Store, fence: Fence, log: Logger, metrics: Metrics, changed: @escaping @Sendable () -> Void) {
        self.store = store
        self.fence = fence
        self.log = log
        self.metrics = metrics
        self.changed = changed
    }

    /// The hint for the next call: what was written last, as far as it is known, unless it is passed over.
    var hint: BackendID? { self.state.withLock { $0.tracker.hint } }

    /// A turn begins.
    func begin(_ turn: TurnID) {
        self.state.withLock { state in
            state.turn = turn
            state.tracker.begin()
        }
    }

    /// Takes over what somebody has read in the term of this keeper.
    func remember(_ served: ServedTurn) {
        let isNews = self.state.withLock { $0.tracker.remember(served.backend, isStale: served.isStale) }
        if isNews { self.countPassedOver(.stale) }
    }

    /// A call that hinted at its backend found no room.
    func foundNoRoom() {
        if self.state.withLock({ $0.tracker.foundNoRoom() }) { self.countPassedOver(.overloaded) }
    }

    private func countPassedOver(_ reason: BackendTracker.Withheld) {
        self.metrics.count(
            "turnpike_backend_hints_withheld_total",
            "Times a known backend was not hinted at until it served again, by the reason.",
            labels: ["reason": reason.rawValue]
        )
    }

    /// A call showed who served it. Returns at once.
    func saw(_ sighting: BackendTracker.Sighting) {
        self.state.withLock { state in
            guard let turn = state.turn, let step = state.tracker.saw(sighting) else { return }
            // Awaited by `flush`, at the turn's end.
            state.work = Task { await self.carryOut(step, turn) }
        }
    }

    /// The turn is over: waits for the write under way, and tries once more what could not be written.
    func flush() async {
        // Without a turn no further work begins.
        let (turn, work) = self.state.withLock { state in
            defer { (state.turn, state.work) = (nil, nil) }
            return (state.turn, state.work)
        }
        await work?.value
        guard let turn, let step = self.state.withLock({ $0.tracker.flush() }) else { return }
        await self.carryOut(step, turn)
    }

    private func carryOut(_ first: BackendTracker.Step, _ turn: TurnID) async {
        var next: BackendTracker.Step? = first
        while let step = next {
            switch step {
            case .read: next = await self.read(turn)
            case .write(let change): next = await self.write(change, turn)
            }
        }
    }

    private func read(_ turn: TurnID) async -> BackendTracker.Step? {
        do {
            if let served = try await self.store.served(turn, fence: self.fence) {
                return self.state.withLock { $0.tracker.wasRead(served.backend) }
            }
        } catch {
            self.log.debug("the conversation's backend was not read", ["error": .error(error)])
        }
        return self.state.withLock { $0.tracker.failed() }
    }

    private func write(_ change: BackendSwitch, _ turn: TurnID) async -> BackendTracker.Step? {
        let result: String
        do {
            switch try await self.store.keep(change, turn: turn, fence: self.fence) {
            case .done(let isNew):
                if isNew { self.tell(change, turn) }
                return self.state.withLock { $0.tracker.wasWritten() }
            case .fenced: result = "fenced"
            }
        } catch {
            self.log.warning(
                "the conversation's backend was not written",
                ["backend": .text(change.id.text), "error": .error(error)]
            )
            result = "failed"
        }
        self.count(result)
        return self.state.withLock { $0.tracker.failed() }
    }

    private func tell(_ change: BackendSwitch, _ turn: TurnID) {
        self.log.info(
            "backend switched",
            [
                "backend": .text(change.id.text), "previous": .text(change.previous?.text ?? "-"),
                "cache_key": .text(change.cacheKey ?? "-"), "turn": .text(turn.text),
            ]
        )
        self.count("written")
        self.changed()
    }

    private func count(_ result: String) {
        self.metrics.count(
            "turnpike_backend_switches_total",
            "Changes of a conversation's model backend, by what became of their record.",
            labels: ["result": result]
        )
    }
}
