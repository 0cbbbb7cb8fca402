package import Domain
import Runtime
import Subprocess

// One turn of a worker, from the prompt to the outcome.

/// Who listens to a worker while it performs.
private struct TurnListener: Sendable {
    let ask: @Sendable (PermissionQuestion) async -> PermissionAnswer
    let note: @Sendable (CallNote) async -> CallVerdict
    let emit: @Sendable (TurnEvent) -> Void
}

extension Worker {
    /// Performs `turn` and returns how it ended; every way in which it can end is an outcome.
    ///
    /// `ask` answers the worker's questions; when the turn ends while it waits, its task is cancelled and it has to
    /// return. `note` answers what a worker that goes on with a parked turn says about its calls. `emit` gets the turn's
    /// events in order, on the caller's actor, none after this returns. Cancelling the calling task kills the worker;
    /// `cancel` is the polite way. One turn at a time: a second one fails. `token` is the turn's own, for a worker that may
    /// use a model. `deadline` is the hard one of a turn whose time counts since before this call.
    package func perform(
        _ turn: ArmedTurn,
        wantsBase: Bool,
        resumption: Resumption? = nil,
        token: WorkerToken? = nil,
        deadline: ContinuousClock.Instant? = nil,
        ask: @escaping @Sendable (PermissionQuestion) async -> PermissionAnswer,
        note: @escaping @Sendable (CallNote) async -> CallVerdict = { _ in .fenced },
        emit: @escaping @Sendable (TurnEvent) -> Void
    ) async -> TurnResult {
        if turn.cancelRequested {
            return TurnResult(outcome: .cancelled(partial: ""), snapshot: nil, workerIsUsable: self.isUsable)
        }
        let limits = self.order.configuration.limits
        let seconds = turn.deadlineSeconds ?? limits.turnSeconds
        let deadline = deadline ?? ContinuousClock.now + .seconds(seconds) - (turn.ran ?? .zero)
        guard self.begin(turn, wantsBase: wantsBase, resumption, token) else {
            let outcome = Outcome.failed(.workerExited, message: "the worker takes no turn", partial: "")
            return TurnResult(outcome: outcome, snapshot: nil, workerIsUsable: false)
        }
        // The driver may have declined it at once.
        let isOpen = self.state.withLock { $0.turn != nil }
        if self.hasProcessPerTurn, isOpen { await self.spawn(for: turn, token: token) }
        let ending = await withTaskCancellationHandler {
            let listener = TurnListener(ask: ask, note: note, emit: emit)
            return await self.follow(turn, wantsBase: wantsBase, until: deadline, seconds: seconds, listener)
        } onCancel: {
            self.abandon()
        }
        if self.hasProcessPerTurn { await self.state.withLock { $0.attendant }?.value }
        await self.keepSession()
        return TurnResult(
            outcome: ending.outcome,
            snapshot: ending.snapshot,
            workerIsUsable: self.isUsable,
            parking: ending.parking
        )
    }

    private func begin(_ turn: ArmedTurn, wantsBase: Bool, _ resumption: Resumption?, _ token: WorkerToken?) -> Bool {
        let outputBytes = self.order.configuration.limits.outputBytes
        let effects = self.state.withLock { state -> Effects? in
            guard state.lifecycle.takesTurns, let binding = state.binding else { return nil }
            let isKept = binding.mayWriteSnapshots && turn.run != nil
            let wants: Snapshot.Kind? = isKept && self.directory == nil ? (wantsBase ? .base : .delta) : nil
            let prompt = DriverPrompt(
                turn: turn,
                epoch: binding.epoch,
                wants: wants,
                resumption: resumption,
                token: token
            )
            var effects = Effects()
            state.apply(.turnGiven, &effects)
            let isArchived = binding.mayWriteSnapshots && self.directory != nil
            let keepsSnapshots = binding.mayWriteSnapshots && state.driver.handsOverSnapshots || isArchived
            state.turn = TurnRecord(
                outputBytes: outputBytes,
                keepsSnapshots: keepsSnapshots,
                said: resumption?.said ?? ""
            )
            state.turn?.isArchived = isKept && isArchived
            state.tree?.isCurrent = false
            state.signals = []
            state.questions = []
            state.lastActivity = .now
            state.carry(state.driver.prompt(prompt), &effects)
            return effects
        }
        guard let effects else { return false }
        self.perform(effects)
        return true
    }

    private func follow(
        _ turn: ArmedTurn,
        wantsBase: Bool,
        until deadline: ContinuousClock.Instant,
        seconds: Int,
        _ listener: TurnListener
    ) async -> TurnRecord.Ending {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.watch(until: deadline, seconds: seconds) }
            while true {
                await self.turnWake.wait()
                for signal in self.takeSignals() {
                    switch signal {
                    case .event(let event): listener.emit(event)
                    case .question(let question):
                        group.addTask { self.answer(question.id, await listener.ask(question)) }
                    case .note(let name, let note):
                        group.addTask { self.noted(name, await listener.note(note)) }
                    case .cancelled: group.addTask { await self.waitOutGrace() }
                    case .interrupt: group.addTask { await self.interrupt() }
                    case .answered: group.addTask { await self.archive(after: turn, wantsBase: wantsBase) }
                    case .ended(let ending):
                        group.cancelAll()
                        return ending
                    }
                }
            }
        }
    }

    private func takeSignals() -> [TurnSignal] {
        self.state.withLock { state in
            defer { state.signals = [] }
            return state.signals
        }
    }

    private func answer(_ question: String, _ answer: PermissionAnswer) {
        self.advance { state, effects in
            guard state.questions.remove(question) != nil else { return }
            state.lastActivity = .now
            state.carry(state.driver.answered(question, answer), &effects)
        }
    }

    private func noted(_ name: String, _ verdict: CallVerdict) {
        self.advance { state, effects in
            guard state.turn != nil else { return }
            state.lastActivity = .now
            state.carry(state.driver.noted(name, verdict), &effects)
        }
    }

    /// Ends the process of a turn, which has no other way to be told.
    private func interrupt() async {
        guard let child = self.state.withLock({ $0.child }) else { return }
        let grace = Duration.seconds(self.order.configuration.limits.graceSeconds)
        await child.end(Teardown(steps: [.terminate(grace: grace)]))
    }

    // MARK: Deadlines

    private func waitOutGrace() async {
        let grace = self.order.configuration.limits.graceSeconds
        do { try await Task.sleep(for: .seconds(grace)) } catch { return }
        self.advance { state, effects in
            guard state.turn != nil else { return }
            state.apply(.deadlinePassed, &effects)
        }
    }

    private func watch(until deadline: ContinuousClock.Instant, seconds: Int) async {
        while let next = self.checkDeadlines(deadline, seconds: seconds) {
            do { try await self.tools.spawner.reactor.sleep(for: next - .now) } catch { return }
        }
    }

    /// Ends the turn if one of its deadlines has passed; otherwise says when to look again.
    private func checkDeadlines(_ deadline: ContinuousClock.Instant, seconds: Int) -> ContinuousClock.Instant? {
        let progressSeconds = self.order.configuration.limits.progressSeconds
        var lookAgain: ContinuousClock.Instant?
        self.advance { state, effects in
            guard state.turn != nil else { return }
            let now = ContinuousClock.now
            let quietUntil = state.lastSign(now: now) + .seconds(progressSeconds)
            if now >= deadline {
                let message = "the turn was not over after \(seconds) s"
                state.apply(.deadlinePassed, failing: (.deadlineExceeded, message), &effects)
            } else if now >= quietUntil {
                let message = "the worker gave no sign of life for \(progressSeconds) s"
                state.apply(.deadlinePassed, failing: (.workerUnresponsive, message), &effects)
            } else {
                lookAgain = min(deadline, quietUntil)
            }
        }
        return lookAgain
    }

    /// The task that performs the turn is being torn down; nobody is left to wait out a grace.
    private func abandon() {
        self.advance { state, effects in
            guard state.turn != nil else { return }
            state.turn?.isCancelled = true
            state.apply(.killRequested, &effects)
        }
    }
}
