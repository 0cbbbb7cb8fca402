import Archive
import Domain
import Runtime
import Subprocess

// What a worker knows and decides, as values. Everything here runs under the worker's lock and only writes down, in
// `Effects`, what is to be done once the lock is free.

extension Worker {
    /// What goes to the process's input.
    enum Outgoing: Sendable {
        case bytes([UInt8])
        case end
    }

    /// What goes to the task that performs the turn. In a queue under the worker's lock, so that events keep their
    /// order and none comes after the end.
    enum TurnSignal: Sendable {
        case event(TurnEvent)
        case question(PermissionQuestion)
        case note(String, CallNote)
        /// The grace begins.
        case cancelled
        /// The process is to be ended by signal.
        case interrupt
        /// The worker is done; what it left in its workspace is to be archived.
        case answered
        case ended(TurnRecord.Ending)
    }

    /// What is to be done outside the lock.
    struct Effects: Sendable {
        var wakesWriter = false
        var wakesTurn = false
        var stops = false
        var kills = false
        var started: Result<Void, WorkerError>?
        var taken: Result<Void, WorkerError>?
        var exitIsIntended: Bool?
        var oddities: [DriverOddity] = []
        var illegal: [WorkerLifecycle.IllegalEvent] = []
    }

    struct State {
        var lifecycle = WorkerLifecycle()
        var driver: any WorkerDriver
        /// Nil while it is a spare.
        var binding: Binding?
        var child: ChildProcess?
        var attendant: Task<Void, Never>?
        var outbox: [Outgoing] = []
        /// The turn that runs.
        var turn: TurnRecord?
        var signals: [TurnSignal] = []
        /// Questions of the turn that wait for an answer.
        var questions: Set<String> = []
        /// How the worker said that it is done with the turn that runs, while its workspace is archived.
        var answer: DriverStop?
        /// What is in its workspace, as the newest snapshot has it.
        var tree: SettledTree?
        /// What is known of the files in its workspace besides; nil where they are few.
        var watch: FileWatch?
        var lastActivity = ContinuousClock.now
        /// Its processes are stopped, by us.
        var isFrozen = false
        /// They are for as long as its workspace is archived.
        var isPaused = false
        var wasKilled = false
        var hasKeptSession = false
        var exit: WorkerExit?
        var observers: [@Sendable (WorkerExit) -> Void] = []

        init(driver: any WorkerDriver, binding: Binding?) {
            self.driver = driver
            self.binding = binding
        }

        /// Writes down what the driver wants done.
        mutating func carry(_ actions: [DriverAction], _ effects: inout Effects) {
            for action in actions {
                switch action {
                case .send(let bytes):
                    self.outbox.append(.bytes(bytes))
                    effects.wakesWriter = true
                case .closeInput:
                    self.outbox.append(.end)
                    effects.wakesWriter = true
                case .interrupt: self.signal(.interrupt, &effects)
                case .ready: self.ready(&effects)
                case .unready(let message):
                    effects.taken = .failure(WorkerError(code: .workerStartFailed, message: message))
                    self.apply(.killRequested, failing: (.workerStartFailed, message), &effects)
                case .event(let event): self.log(event, &effects)
                case .counted(let bytes):
                    if self.turn?.count(bytes) == false { self.overflow(&effects) }
                case .ask(let question):
                    self.questions.insert(question.id)
                    self.signal(.question(question), &effects)
                case .note(let name, let note): self.signal(.note(name, note), &effects)
                case .idle(let stop):
                    guard let turn = self.turn, self.answer == nil else { continue }
                    guard turn.isToBeArchived(stop) else {
                        self.finish(turn.ending(stop), &effects)
                        continue
                    }
                    self.answer = stop
                    self.signal(.answered, &effects)
                case .declined(let code, let message):
                    if let turn = self.turn { self.finish(turn.declined(code, message), &effects) }
                case .failed(let code, let message, let sure):
                    if let turn = self.turn { self.finish(turn.failure(code, message, isSure: sure), &effects) }
                case .broken(let code, let message): self.apply(.killRequested, failing: (code, message), &effects)
                case .odd(let oddity): effects.oddities.append(oddity)
                }
            }
        }

        /// At first it is ready for a conversation, then, when it came without one, for the turns of the one it got.
        private mutating func ready(_ effects: inout Effects) {
            guard self.lifecycle.state == .starting else {
                effects.taken = .success(())
                return
            }
            self.apply(.ready, &effects)
            effects.started = .success(())
        }

        private mutating func log(_ event: TurnEvent, _ effects: inout Effects) {
            guard self.turn != nil else { return }
            guard self.turn?.note(event) == true else { return self.overflow(&effects) }
            self.signal(.event(event), &effects)
        }

        private mutating func overflow(_ effects: inout Effects) {
            self.apply(.killRequested, failing: (.outputLimit, "the turn's output is over the agent's limit"), &effects)
        }

        private mutating func signal(_ signal: TurnSignal, _ effects: inout Effects) {
            guard self.turn != nil else { return }
            self.signals.append(signal)
            effects.wakesTurn = true
        }

        /// Ends the turn that runs and moves the worker on.
        mutating func finish(_ ending: TurnRecord.Ending, _ effects: inout Effects) {
            self.close(ending, &effects)
            guard self.lifecycle.state != .exited else { return }
            self.apply(ending.isSure ? .turnEnded : .turnSpoilt, &effects)
        }

        private mutating func close(_ ending: TurnRecord.Ending, _ effects: inout Effects) {
            self.signal(.ended(ending), &effects)
            self.turn = nil
            self.answer = nil
            self.questions = []
        }

        /// Asks for the end of the turn that runs; the grace begins.
        mutating func cancelTurn(_ effects: inout Effects) {
            guard self.turn?.isCancelled == false else { return }
            self.turn?.isCancelled = true
            self.turn?.wasAsking = !self.questions.isEmpty
            self.questions = []
            self.carry(self.driver.cancel(), &effects)
            self.signal(.cancelled, &effects)
        }

        /// Moves the worker on. `failing`: what its start, or the turn that runs, fails with if it has to.
        mutating func apply(
            _ event: WorkerLifecycle.Event,
            failing: (code: FailureCode, message: String) = (.workerExited, "the worker was stopped"),
            _ effects: inout Effects
        ) {
            if self.lifecycle.state == .exited, let turn = self.turn {
                // The archive of its workspace was all that was still going on.
                return self.close(turn.failure(failing.code, failing.message, isSure: false), &effects)
            }
            let actions: [WorkerLifecycle.Action]
            do {
                actions = try self.lifecycle.apply(event)
            } catch {
                effects.illegal.append(error)
                return
            }
            for action in actions {
                switch action {
                case .failStart:
                    effects.started = .failure(WorkerError(code: .workerStartFailed, message: failing.message))
                case .failTurn:
                    // One that ends after its answer has left all there will be: the turn ends with the archive of it.
                    guard let turn = self.turn, event != .exited || self.answer == nil else { continue }
                    self.close(turn.failure(failing.code, failing.message, isSure: false), &effects)
                case .stop: effects.stops = true
                case .kill:
                    self.wasKilled = true
                    effects.kills = true
                case .reportExit(let intended): effects.exitIsIntended = intended
                }
            }
        }

        /// When the worker last gave a sign of life. While it waits for an answer, has given its own, or is frozen, the
        /// silence is not its own.
        func lastSign(now: ContinuousClock.Instant) -> ContinuousClock.Instant {
            self.questions.isEmpty && self.answer == nil && !self.isFrozen ? self.lastActivity : now
        }
    }
}
