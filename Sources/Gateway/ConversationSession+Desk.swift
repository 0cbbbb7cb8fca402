import Domain
import Runtime
import Store
import Workers

// The session's desk: what other tasks may do to a session while its own task performs or waits.
extension ConversationSession {
    struct Desk {
        var machine = SessionDesk()
        var delivery: OneShot<SessionDesk.Step>?
        var idleSince: ContinuousClock.Instant?
        /// The worker, from before it is started.
        var worker: Worker?
        /// Whether the worker is to stand still, also one that is still being started.
        var isFrozen = false
        var running: TurnID?
        /// When others end the running turn: its marker has counted since the hand-over.
        var deadline: ContinuousClock.Instant?
        /// The turn that was performed last, or is.
        var lastTaken: TurnID?
        /// The turn that was settled last.
        var lastSettled: TurnID?
        var cancelWanted = false
        /// Who wants it is a newer turn.
        var isInterrupted = false
        /// Set when the session must come down at once.
        var abortion: SessionEnding?
    }

    // MARK: - For the session's own task

    /// The next step; waits for one while there is nothing to do, at most the agent's idle time.
    func nextStep() async -> SessionDesk.Step {
        let shot = OneShot<SessionDesk.Step>()
        let step = self.desk.withLock { desk -> SessionDesk.Step? in
            if let abortion = desk.abortion { return .end(abortion) }
            if let step = desk.machine.ready() { return step }
            desk.delivery = shot
            desk.idleSince = ContinuousClock.now
            return nil
        }
        if let step { return step }
        let timer = self.tools.reactor.after(.seconds(self.agent.limits.idleSeconds)) { [weak self] in
            self?.end(.idle)
        }
        defer { timer.cancel() }
        return await shot.value()
    }

    /// Takes charge of a worker: before it is started, and of a spare when it is the conversation's.
    func attend(_ worker: Worker) {
        // Within the lock, so that no thaw comes in between.
        let isAborted = self.desk.withLock { desk in
            desk.worker = worker
            if desk.isFrozen { worker.freeze() }
            return desk.abortion != nil
        }
        if isAborted { worker.kill() }
    }

    func note(running turn: ArmedTurn?) {
        self.desk.withLock { desk in
            if turn?.id != desk.running {
                desk.cancelWanted = false
                desk.isInterrupted = turn?.isInterrupted ?? false
                desk.deadline = turn?.remaining.map { .now + $0 }
            }
            desk.running = turn?.id
            desk.lastTaken = turn?.id ?? desk.lastTaken
        }
    }

    /// The turn that was performed last, or is.
    var lastTaken: TurnID? { self.desk.withLock { $0.lastTaken } }

    /// Whether the turn was cancelled before its worker got it.
    func takeEarlyCancel() -> Bool {
        self.desk.withLock { $0.cancelWanted }
    }

    /// The turn that was settled last, which the worker remembers.
    var lastSettled: TurnID? { self.desk.withLock { $0.lastSettled } }

    func note(settled turn: TurnID) {
        self.desk.withLock { $0.lastSettled = turn }
    }

    /// When the running turn's time is over; nil where that is not known.
    var deadline: ContinuousClock.Instant? { self.desk.withLock { $0.deadline } }

    /// Whether the running turn is being stopped for a newer one.
    var isInterrupted: Bool { self.desk.withLock { $0.isInterrupted } }

    /// Nothing more can reach the session.
    func close() {
        self.desk.withLock { desk in
            desk.machine.close()
            desk.worker = nil
        }
    }

    /// Why the session must come down at once; nil while it need not.
    var abortion: SessionEnding? { self.desk.withLock { $0.abortion } }

    /// Whether the session is to end after the turn in hand.
    var wantsToEnd: Bool { self.desk.withLock { $0.machine.isEnding } }

    // MARK: - For everybody else

    /// Reserves the session for a turn that is about to be committed; nil when it is busy or ending. Whoever gets a
    /// hand-over must call `decide`.
    func reserve() -> HandOver? {
        self.desk.withLock { $0.machine.reserve() } ? self.handOver() : nil
    }

    /// What became of the reserving intake.
    func decide(_ turn: ArmedTurn?) {
        self.deliver { $0.decide(turn) }
    }

    /// A turn may be waiting.
    func look() {
        self.deliver { $0.wake() }
    }

    /// End once nothing is in hand.
    func end(_ reason: SessionEnding) {
        if reason == .draining { self.isLeaving.raise() }
        self.deliver { $0.end(reason) }
    }

    /// Another holder, a sweep or a deletion came first: come down at once and write nothing more.
    func fenceOff() {
        self.abort(.fenced)
    }

    /// Comes down at once: the worker is killed, and whatever it was doing is over.
    func abort(_ reason: SessionEnding) {
        let (worker, delivery) = self.desk.withLock { desk in
            desk.abortion = desk.abortion ?? reason
            desk.machine.close()
            defer { desk.delivery = nil }
            return (desk.worker, desk.delivery)
        }
        self.isLeaving.raise()
        self.isAborted.raise()
        worker?.kill()
        delivery?.resolve(.end(reason))
    }

    /// Stops the worker's processes where they are, because this replica may not be the conversation's any more.
    func freeze() {
        self.desk.withLock { desk in
            desk.isFrozen = true
            desk.worker?.freeze()
        }
    }

    /// Lets a frozen worker go on.
    func thaw() {
        self.desk.withLock { desk in
            desk.isFrozen = false
            desk.worker?.thaw()
        }
    }

    /// Tells the worker to stop the turn; if it has not got it yet, it will not get it. The first to ask says why.
    func cancelRunningTurn(_ turn: TurnID, isInterrupted: Bool = false) {
        let worker = self.desk.withLock { desk -> Worker? in
            guard desk.running == turn else { return nil }
            if !desk.cancelWanted { desk.isInterrupted = isInterrupted }
            desk.cancelWanted = true
            return desk.worker
        }
        worker?.cancel()
    }

    /// Since when the session has had nothing to do; nil while it has.
    var idleSince: ContinuousClock.Instant? {
        self.desk.withLock { $0.machine.state == .idle ? $0.idleSince : nil }
    }

    private func deliver(_ event: (inout SessionDesk) -> SessionDesk.Step?) {
        let (step, delivery) = self.desk.withLock { desk -> (SessionDesk.Step?, OneShot<SessionDesk.Step>?) in
            guard let step = event(&desk.machine) else { return (nil, nil) }
            defer { desk.delivery = nil }
            return (step, desk.delivery)
        }
        if let step { delivery?.resolve(step) }
    }
}
