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
        /// Events that were taken out of `pending` and are not known to be in the log.
        var underWay: [TurnEvent] = []
        /// Whether they may be there: their commit was not heard of. They are sent again as they are.
        var isInDoubt = false
        /// Batches that are in the log.
        var batches: Int64 = 0
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
    private let isTrusted: @Sendable () -> Bool
    private let changed: @Sendable () -> Void
    private let reactor: Reactor
    private let state = Locked(State())
    /// Rings when the first event of a batch has waited long enough.
    private let wake: WakeUp
    private let stop = StopSignal()

    /// Events wait while the locks are not trusted. `changed` is called after each batch that was written.
    init(
        store: Store,
        fence: Fence,
        turn: TurnID,
        progressSeconds: Int,
        limits: Limits,
        reactor: Reactor,
        isTrusted: @escaping @Sendable () -> Bool,
        changed: @escaping @Sendable () -> Void
    ) {
        self.store = store
        self.fence = fence
        self.turn = turn
        self.progressSeconds = progressSeconds
        self.limits = limits
        self.reactor = reactor
        self.wake = WakeUp(reactor: reactor)
        self.isTrusted = isTrusted
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
    /// then while the worker lives without saying anything loggable, so that its progress deadline moves. A batch in doubt
    /// is settled before this returns.
    /// `onFenced` is called once if another holder turns out to have the conversation.
    func run(lastActivity: () -> ContinuousClock.Instant, onFenced: () -> Void) async {
        await self.writeBatches(lastActivity, onFenced)
        while self.state.withLock({ $0.isInDoubt && !$0.isFenced }), !Task.isCancelled {
            switch await self.write(self.drain()) {
            case .written: return
            case .failed: await self.reactor.pause(for: self.delay)
            case .fenced: onFenced()
            }
        }
    }

    private func writeBatches(_ lastActivity: () -> ContinuousClock.Instant, _ onFenced: () -> Void) async {
        var touched = ContinuousClock.now
        let quiet = Duration.seconds(max(1, self.progressSeconds / 4))
        while !self.stop.isRaised {
            await self.wake.wait(atMost: quiet, or: self.stop)
            if self.stop.isRaised { return }
            let batch = self.drainIfTrusted()
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
        _ = await self.stop.wait(atMost: self.delay)
        self.wake.signal()
    }

    /// Before the next try.
    private var delay: Duration { Self.backoff.delay(attempt: self.state.withLock { $0.failures } - 1) }

    private static let backoff = Backoff(first: .milliseconds(50), longest: .seconds(1))

    /// Without its locks a holder says nothing. A sign of life is told all the same: the deadline goes on as well.
    private func drainIfTrusted() -> [TurnEvent] {
        guard self.isTrusted() else {
            self.reactor.after(Self.distrust) { [wake] in wake.signal() }
            return []
        }
        return self.drain()
    }

    /// Between two looks whether the locks are back.
    private static let distrust: Duration = .milliseconds(200)

    private func drain() -> [TurnEvent] {
        self.state.withLock { state in
            if !state.isInDoubt { swap(&state.underWay, &state.pending) }
            return state.underWay
        }
    }

    /// Waits until everything taken so far is in the log: what is written past the relay must come after it. Returns
    /// early when the task is cancelled or another holder has the conversation.
    func settleDown() async {
        while !Task.isCancelled {
            let isQuiet = self.state.withLock { $0.isFenced || ($0.pending.isEmpty && $0.underWay.isEmpty) }
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
        let number = self.state.withLock { $0.batches } + 1
        do {
            let written = try await self.store.append(
                batch,
                batch: batch.isEmpty ? nil : number,
                turn: self.turn,
                fence: self.fence,
                progressSeconds: self.progressSeconds
            )
            guard case .done = written else {
                self.state.withLock { $0.isFenced = true }
                return .fenced
            }
            self.state.withLock { $0.failures = 0 }
            if !batch.isEmpty { self.noteWritten(number) }
            return .written
        } catch {
            self.state.withLock { $0.failures += 1 }
            if !batch.isEmpty { self.noteFailed(error) }
            return .failed
        }
    }

    private func noteWritten(_ number: Int64) {
        let wasInDoubt = self.state.withLock { state in
            defer { (state.underWay, state.isInDoubt, state.batches) = ([], false, number) }
            return state.isInDoubt
        }
        self.changed()
        // What came meanwhile has rung already, when it was not its turn.
        if wasInDoubt { self.wake.signal() }
    }

    /// A batch whose commit is in doubt stays as it is and is sent again under its number, until the database has answered:
    /// an acknowledgement or a refusal.
    private func noteFailed(_ error: any Error) {
        let error = error as? PostgresError
        self.state.withLock { state in
            if let error { state.isInDoubt = error.isOutcomeUnknown || (state.isInDoubt && error.isWorthRepeating) }
            guard !state.isInDoubt else { return }
            state.pending.insert(contentsOf: state.underWay, at: 0)
            state.underWay = []
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
