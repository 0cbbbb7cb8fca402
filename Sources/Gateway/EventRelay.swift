import Domain
import Postgres
import Runtime
import Store

/// Gathers what a worker says during one turn and writes it to the log in batches.
///
/// A short turn's events never travel alone: what is still gathered when the turn ends is written by its settlement.
final class EventRelay: Sendable {
    private struct State {
        var pending: [TurnEvent] = []
        /// Events that were taken out of `pending` and are not in the log yet.
        var isWriting = false
        var isFenced = false
        var isClosed = false
        /// Writes in a row that failed; what they held is pending again.
        var failures = 0
    }

    private let store: Store
    private let fence: Fence
    private let turn: TurnID
    private let progressSeconds: Int
    private let limits: Limits
    private let changed: @Sendable () -> Void
    private let reactor: Reactor
    private let state = Locked(State())
    /// Rings when the first event of a batch has waited long enough.
    private let wake: WakeUp
    private let stop = StopSignal()

    /// `changed` is called after each batch that was written.
    init(
        store: Store,
        fence: Fence,
        turn: TurnID,
        progressSeconds: Int,
        limits: Limits,
        reactor: Reactor,
        changed: @escaping @Sendable () -> Void
    ) {
        self.store = store
        self.fence = fence
        self.turn = turn
        self.progressSeconds = progressSeconds
        self.limits = limits
        self.reactor = reactor
        self.wake = WakeUp(reactor: reactor)
        self.changed = changed
    }

    /// Takes an event; returns at once. Neighbouring deltas become one.
    func take(_ event: TurnEvent) {
        let isFirst = self.state.withLock { state in
            guard !state.isClosed else { return false }
            let isFirst = state.pending.isEmpty
            if case .delta(let more) = event, case .delta(let text)? = state.pending.last {
                state.pending[state.pending.count - 1] = .delta(text: text + more)
            } else if case .thought(let more) = event, case .thought(let text)? = state.pending.last {
                state.pending[state.pending.count - 1] = .thought(text: text + more)
            } else {
                state.pending.append(event)
            }
            return isFirst
        }
        if isFirst { self.reactor.after(self.limits.eventBatch) { [wake] in wake.signal() } }
    }

    /// Writes batches until `finish`: one `Limits.eventBatch` after the first event of each, and an empty one now and
    /// then while the worker lives without saying anything loggable, so that its progress deadline moves.
    /// `onFenced` is called once if another holder turns out to have the conversation.
    func run(lastActivity: () -> ContinuousClock.Instant, onFenced: () -> Void) async {
        var touched = ContinuousClock.now
        let quiet = Duration.seconds(max(1, self.progressSeconds / 4))
        while !self.stop.isRaised {
            await self.wake.wait(atMost: quiet, or: self.stop)
            if self.stop.isRaised { return }
            let batch = self.drain()
            guard !batch.isEmpty || lastActivity() > touched else { continue }
            let now = ContinuousClock.now
            switch await self.write(batch) {
            case .written: touched = now
            // Its deadline has not moved, so that even an empty batch is tried again.
            case .failed: await self.pauseAfterFailure()
            case .fenced:
                onFenced()
                return
            }
        }
    }

    /// What was put back is tried again by itself: later events find something pending and wake nobody.
    private func pauseAfterFailure() async {
        let failures = self.state.withLock { $0.failures }
        _ = await self.stop.wait(atMost: Self.backoff.delay(attempt: failures - 1))
        self.wake.signal()
    }

    private static let backoff = Backoff(first: .milliseconds(50), longest: .seconds(1))

    private func drain() -> [TurnEvent] {
        self.state.withLock { state in
            defer { state.pending = [] }
            state.isWriting = !state.pending.isEmpty
            return state.pending
        }
    }

    /// Waits until everything taken so far is in the log: what is written past the relay must come after it. Returns
    /// early when the task is cancelled or another holder has the conversation.
    func settleDown() async {
        while !Task.isCancelled {
            let isQuiet = self.state.withLock { $0.isFenced || ($0.pending.isEmpty && !$0.isWriting) }
            if isQuiet { return }
            // Questions are rare and people slow; a bell for every batch would be paid for by every turn.
            try? await Task.sleep(for: self.limits.eventBatch)
        }
    }

    private enum Written {
        case written, failed, fenced
    }

    /// Events that could not be written are put back, unless fenced: they are written later, at the latest by the
    /// settlement.
    private func write(_ batch: [TurnEvent]) async -> Written {
        defer { self.state.withLock { $0.isWriting = false } }
        do {
            let written = try await self.store.append(
                batch,
                turn: self.turn,
                fence: self.fence,
                progressSeconds: self.progressSeconds
            )
            guard case .done = written else {
                self.state.withLock { $0.isFenced = true }
                return .fenced
            }
            self.state.withLock { $0.failures = 0 }
            if !batch.isEmpty { self.changed() }
            return .written
        } catch {
            self.putBack(batch, error)
            return .failed
        }
    }

    private func putBack(_ batch: [TurnEvent], _ error: any Error) {
        // A batch whose commit is in doubt is dropped rather than doubled: the terminal event holds the whole reply.
        let isInDoubt = (error as? PostgresError)?.isOutcomeUnknown ?? false
        self.state.withLock { state in
            if !isInDoubt { state.pending.insert(contentsOf: batch, at: 0) }
            state.failures += 1
        }
    }

    /// Lets `run` return once the write under way is through.
    func finish() {
        self.stop.raise()
    }

    /// Takes nothing more and returns what was not written. Call it once `run` has returned.
    func close() -> [TurnEvent] {
        self.state.withLock { state in
            state.isClosed = true
            defer { state.pending = [] }
            return state.pending
        }
    }

    /// Whether a write found another holder.
    var isFenced: Bool { self.state.withLock { $0.isFenced } }
}
