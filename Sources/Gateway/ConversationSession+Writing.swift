import Domain
import Faults
import Postgres
import Runtime
import Store
import Workers

/// What a session needs from its replica.
struct SessionTools: Sendable {
    let store: Store
    let workers: WorkerPool
    let registry: ConversationRegistry
    let index: SessionIndex
    let leases: LeaseKeeper
    let feed: EventFeed
    let approvals: ApprovalDesk
    let accounts: AccountSlots
    let places: FairPlaces
    let models = ModelDesk()
    let wakeDispatcher: WakeUp
    let reactor: Reactor
    let replica: ReplicaID
    let limits: Limits
    let log: Logger
    let metrics: Metrics
}

// Every write of the session to the database. A swallowed one would be a lost outcome, so each is repeated until it is
// answered, refused, or pointless.
extension ConversationSession {
    /// Writes the settlement. Nil when somebody else ended the turn first: then the reply came too late, is dropped,
    /// and is counted.
    func settle(_ settlement: Settlement, next: HandOver?) async -> Settled? {
        switch await self.settleOnce(settlement, next: next) {
        case .done(let settled):
            self.noteSettled(settlement, settled)
            return settled
        case .fenced:
            self.noteLate(settlement)
            return nil
        case .refused(let message):
            // The database will not hold this outcome (an unstorable text, a snapshot that would fork). The turn is
            // still owed one, so it fails, and says why.
            let failure = Settlement(
                turn: settlement.turn,
                seq: settlement.seq,
                outcome: .failed(.protocolError, message: "the outcome could not be stored: \(message)", partial: ""),
                parent: settlement.parent,
                snapshot: nil,
                events: []
            )
            guard case .done(let settled) = await self.settleOnce(failure, next: nil) else {
                self.noteLate(settlement)
                return nil
            }
            self.noteSettled(failure, settled)
            // The worker knows a turn that the log does not have: it must not perform another.
            self.end(.workerExited)
            return settled
        }
    }

    private func settleOnce(_ settlement: Settlement, next: HandOver?) async -> Write<Settled> {
        await self.persistently("settle") {
            try await self.tools.store.settle(settlement, fence: self.fence, next: next).value
        } resolve: {
            // If the outcome is there under this fence, the try whose answer was lost had been committed; a turn it
            // handed over is running now.
            guard try await self.tools.store.isSettled(settlement.turn, by: self.fence) else { return nil }
            return Settled(lastEvent: 0, next: try await self.tools.store.runningTurn(self.fence))
        }
    }

    private func noteSettled(_ settlement: Settlement, _ settled: Settled) {
        self.note(settled: settlement.turn)
        self.tools.feed.changed(self.number, by: settled.events)
        self.tools.metrics.count(
            "turnpike_turns_total",
            "Turns settled by this replica, by outcome.",
            labels: ["outcome": settlement.outcome.label]
        )
    }

    private func noteLate(_ settlement: Settlement) {
        self.log.warning("a late outcome was dropped", ["turn": .text(settlement.turn.text)])
        self.tools.metrics.count(
            "turnpike_late_replies_total",
            "Outcomes dropped because the turn had been ended by somebody else."
        )
        self.abort(.fenced)
    }

    /// The snapshots to start from. Nil when the session is over: fenced off, or its state cannot be read, in which
    /// case the turn has been failed.
    func hydrate(for turn: ArmedTurn, head: Int64) async -> SnapshotChain? {
        let read = await self.persistently("hydrate") { () -> SnapshotChain? in
            try await self.tools.store.hydrate(self.fence)
        } resolve: {
            nil
        }
        switch read {
        case .done(let chain): return chain
        case .fenced: return nil
        case .refused(let message):
            await self.fail(turn, .snapshotFailed, message, head: head)
            return nil
        }
    }

    /// What was said before `turn`, for a worker that cannot get its state otherwise: nil within when nothing was, or the
    /// worker has nothing to remember. Nil when the session is over, as with `hydrate`.
    func transcript(before turn: ArmedTurn, after chain: SnapshotChain, head: Int64) async -> Transcript?? {
        guard self.agent.driver == .acp, self.key != nil, turn.run != nil, turn.seq > 1 else { return .some(nil) }
        let seedBytes = self.agent.limits.seedBytes
        // A workspace that was restored may be no use to an agent that cannot open its own session again.
        guard chain.links.isEmpty || self.agent.snapshots.kind == .directory, seedBytes > 0 else {
            return .some(.withheld)
        }
        let read = await self.persistently("transcript") { () -> Transcript? in
            try await self.tools.store.transcript(self.number, before: turn.seq, maximumBytes: seedBytes)
        } resolve: {
            nil
        }
        switch read {
        case .done(let transcript): return .some(transcript)
        case .fenced: return nil
        case .refused(let message):
            await self.fail(turn, .snapshotFailed, "what was said before cannot be read: \(message)", head: head)
            return nil
        }
    }

    /// Notes the worker's process for people, beside the first turn and once: nothing depends on it. A `command` worker
    /// has a process only within a turn, so none is noted.
    func note(pid: Int32) async {
        guard pid > 0 else { return }
        do {
            try await self.tools.store.notePID(pid, of: self.deployment)
        } catch {
            self.log.debug("the worker's process was not noted", ["error": .error(error)])
        }
    }

    /// Gives a turn whose worker still waits to be started its whole time to start and to say something. False when
    /// somebody else has ended it: its hard deadline does not wait.
    func touch(_ turn: ArmedTurn) async -> Bool {
        let limits = self.agent.limits
        let touched = await self.persistently("touch") {
            try await self.tools.store.append(
                [],
                turn: turn.id,
                fence: self.fence,
                progressSeconds: limits.progressSeconds + limits.startSeconds
            ).value
        } resolve: {
            nil
        }
        guard case .fenced = touched else { return true }
        self.fenceOff()
        return false
    }

    /// Fails a turn whose worker never got it.
    func fail(_ turn: ArmedTurn, _ code: FailureCode, _ message: String, head: Int64) async {
        let settlement = Settlement(
            turn: turn.id,
            seq: turn.seq,
            outcome: .failed(code, message: message, partial: ""),
            parent: head,
            snapshot: nil,
            events: []
        )
        _ = await self.settle(settlement, next: nil)
        self.note(running: nil)
    }

    /// What becomes of a turn for which there is no worker. One that was not let start goes back, whatever its agent allows:
    /// nothing has run.
    func unstarted(_ turn: ArmedTurn, _ error: WorkerError, head: Int64) async -> SessionEnding {
        let abortion = self.abortion ?? (self.isLeaving.isRaised ? .draining : nil)
        switch abortion {
        case .fenced: return .fenced
        case nil:
            await self.fail(turn, error.code, error.message, head: head)
            return .finished
        case let abortion?:
            _ = await self.requeue(
                turn,
                events: [],
                code: .replicaLost,
                message: "the replica was leaving, or lost its lock session, before a worker had the turn",
                spendsAttempt: false
            )
            self.note(running: nil)
            return abortion
        }
    }

    /// What becomes of a turn in a session that is being taken down. Fenced off: nothing, somebody else has ended it.
    /// Lock lost or replica leaving, but fence unchanged: it fails, or goes back for another run where its agent allows
    /// one, here and now, so that nobody has to wait for its deadline. `outcome` is what the worker's end made of it.
    func abandon(
        _ turn: ArmedTurn,
        _ abortion: SessionEnding,
        _ outcome: Outcome,
        events: [TurnEvent],
        head: Int64
    ) async -> SessionEnding {
        guard abortion != .fenced else { return abortion }
        let message =
            abortion == .lockLost
            ? "the replica lost its lock session" : "the replica was stopped before the turn ended"
        guard turn.attempt > self.agent.retries else {
            _ = await self.requeue(turn, events: events, code: .replicaLost, message: message)
            return abortion
        }
        let settlement = Settlement(
            turn: turn.id,
            seq: turn.seq,
            outcome: .failed(.replicaLost, message: message, partial: outcome.text),
            parent: head,
            snapshot: nil,
            events: events,
            isDeadLetter: turn.attempt > 1
        )
        _ = await self.settle(settlement, next: nil)
        return abortion
    }

    /// Puts a turn back for another run.
    func requeue(
        _ turn: ArmedTurn,
        events: [TurnEvent],
        code: FailureCode = .workerExited,
        message: String,
        spendsAttempt: Bool = true
    ) async -> SessionEnding {
        let written = await self.persistently("requeue") {
            try await self.tools.store.requeue(
                turn: turn.id,
                fence: self.fence,
                events: events,
                code: code,
                message: message,
                spendsAttempt: spendsAttempt
            ).value
        } resolve: {
            nil
        }
        if case .done = written { self.tools.feed.changed(self.number) }
        return .workerExited
    }

    /// Asks for the next turn; also finds one whose hand-over was committed while its answer got lost.
    func takeNext() async -> ArmedTurn? {
        let found = await self.persistently("arm") { () -> ArmedTurn?? in
            if let armed = try await self.tools.store.arm(self.handOver()) { return .some(armed) }
            return .some(try await self.tools.store.runningTurn(self.fence))
        } resolve: {
            nil
        }
        guard case .done(let turn?) = found else { return nil }
        self.tools.feed.changed(self.number)
        return turn
    }

    /// The end of every session: the registry entry goes, then the lock, and only then is the conversation free.
    func leave(_ lease: consuming Lease?, _ ending: SessionEnding) async {
        self.close()
        self.tools.feed.forget(self.number)
        self.tools.index.remove(self)
        self.tools.registry.leave(self.number)
        await Faults.pass(.releaseBefore)
        if let lease { await self.tools.leases.release(lease) }
        await Faults.pass(.releaseUnlocked)
        let released = await self.persistently("release", evenAborted: true) {
            if try await self.release(ending) { return true }
            guard try await self.returnStrayTurn() else { return nil }
            return try await self.release(ending) ? true : nil
        } resolve: {
            true
        }
        if case .done = released {
            self.log.info("session ended", ["ending": .text(ending.rawValue)])
        } else {
            self.log.info("session ended without its conversation", ["ending": .text(ending.rawValue)])
        }
        self.tools.wakeDispatcher.signal()
    }

    private func release(_ ending: SessionEnding) async throws -> Bool {
        try await self.tools.store.release(self.fence, deployment: self.deployment, ending: ending.rawValue)
    }

    /// Puts back a turn that was handed to this session while it was being taken down: an intake had reserved it, and
    /// committed too late. No worker has got it, and without this nobody would look at it before its deadline.
    private func returnStrayTurn() async throws -> Bool {
        guard let stray = try await self.tools.store.runningTurn(self.fence), stray.id != self.lastTaken else {
            return false
        }
        _ = try await self.tools.store.requeue(
            turn: stray.id,
            fence: self.fence,
            events: [],
            code: .replicaLost,
            message: "the session ended before its worker got the turn",
            spendsAttempt: false
        )
        self.tools.feed.changed(self.number)
        return true
    }

    /// Not cut short by cancellation, over which a repeated write would spin. A cancelled task's next try is refused, and
    /// what it owes is left to its marker: others end the turn.
    private func pause(_ delay: Duration) async {
        await self.tools.reactor.pause(for: delay)
    }

    /// How a repeated write ended.
    enum Write<Value: Sendable>: Sendable {
        case done(Value)
        case fenced
        case refused(String)
    }

    /// Repeats a fenced write until PostgreSQL has answered it or the session has been fenced off. `write` gives nil
    /// for "fenced". `resolve` finds out what became of a try whose answer was lost, when a later one is refused.
    func persistently<Value: Sendable>(
        _ what: String,
        evenAborted: Bool = false,
        _ write: () async throws -> Value?,
        resolve: () async throws -> Value?
    ) async -> Write<Value> {
        let backoff = Backoff(first: .milliseconds(20), longest: .seconds(1))
        var isInDoubt = false
        var attempt = 0
        while true {
            if !evenAborted {
                await self.tools.leases.waitUntilTrusted(or: self.isAborted)
                if self.abortion == .fenced { return .fenced }
            }
            do {
                if let value = try await write() { return .done(value) }
                if isInDoubt, let value = try await resolve() { return .done(value) }
                return .fenced
            } catch let error as PostgresError where error.isWorthRepeating || error.isOutcomeUnknown {
                isInDoubt = isInDoubt || error.isOutcomeUnknown
                self.log.warning("a write is repeated", ["write": .text(what), "error": .error(error)])
                await self.pause(backoff.delay(attempt: attempt))
                attempt += 1
            } catch {
                self.log.error("a write was refused", ["write": .text(what), "error": .error(error)])
                return .refused(String(describing: error))
            }
        }
    }
}
