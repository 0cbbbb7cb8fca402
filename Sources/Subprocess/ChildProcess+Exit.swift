internal import CRuntime
internal import CSubprocess
import Glibc
import Runtime

extension ChildProcess {
    /// Waits for the exit, whatever its pipes do. Not cancellable: `end` or `kill` the child.
    package func exit() async -> ExitStatus {
        await self.exited.value()
    }

    /// Calls `callback` on the reactor once it has ended: at once if it has.
    package nonisolated func whenExited(_ callback: @escaping @Sendable (ExitStatus) -> Void) {
        self.perform { child in
            if let status = child.exitStatus {
                callback(status)
            } else {
                child.exitObservers.append(callback)
            }
        }
    }

    /// Ends the whole tree and waits until it is gone, then closes what belongs to it. Output that was read before can
    /// still be asked for. Not cancellable. Several callers share one teardown, the first one's.
    @discardableResult
    package func end(_ teardown: Teardown = .default) async -> ExitStatus {
        self.carryOut(self.teardown.begin(teardown))
        let status = await self.exited.value()
        self.release()
        return status
    }

    /// Begins what `end` does, without waiting.
    nonisolated func beginEnd(_ teardown: Teardown) {
        self.perform { $0.carryOut($0.teardown.begin(teardown)) }
    }

    /// Kills the whole tree now, without waiting.
    package nonisolated func kill() {
        self.perform { $0.carryOut($0.teardown.kill()) }
    }

    // MARK: - Teardown

    private func carryOut(_ actions: [TeardownMachine.Action]) {
        for action in actions {
            switch action {
            case .closeInput: self.closeInput()
            case .terminate: self.signal(SIGTERM)
            case .kill: self.signal(SIGUSR1)
            case .abandon:
                self.log.error("launcher does not end its tree", ["pid": .count(self.pid)])
                self.signal(SIGKILL)
            case .stopWaiting: self.teardownTimer?.cancel()
            case .wait(let delay):
                self.teardownTimer?.cancel()
                self.teardownTimer = self.reactor.after(delay) {
                    self.assumeIsolated { $0.carryOut($0.teardown.graceEnded()) }
                }
            }
        }
    }

    /// Signals the launcher. By pidfd, so that it can never be another process; one that has ended needs no signal.
    private func signal(_ number: Int32) {
        guard let stream = self.exitWatch else { return }
        _ = crt_pidfd_send_signal(stream.descriptor, number)
    }

    // MARK: - Exit

    func checkExit() {
        guard self.exitStatus == nil else { return }
        if let status = self.peekExit() {
            self.finish(status)
        } else {
            // Either Foundation is just collecting it, or the watch could not be set up. Both are over soon.
            self.reactor.after(.milliseconds(1)) { self.assumeIsolated { $0.checkExit() } }
        }
    }

    /// The exit status if it can be known now. Foundation collects the process as soon as it ends, on its own thread;
    /// when it was faster, it knows the status.
    private func peekExit() -> ExitStatus? {
        if let stream = self.exitWatch {
            var isSignal: Int32 = 0
            var value: Int32 = 0
            switch csp_peek_exit(stream.descriptor, &isSignal, &value) {
            case 1: return isSignal != 0 ? .signalled(value) : .exited(value)
            case 0: return nil
            default: break
            }
        }
        return self.spawned.collectedStatus()
    }

    private func finish(_ status: ExitStatus) {
        self.readErrors()
        let outcome = Outcome(
            status: status,
            startFailure: self.refusal(status),
            mayHaveLeft: self.teardown.mayHaveLeft(status)
        )
        self.outcome.withLock { $0 = outcome }
        self.exitWatch?.close()
        self.exitWatch = nil
        self.carryOut(self.teardown.exited())
        self.dropInput()
        self.exited.resolve(status)
        let observers = self.exitObservers
        self.exitObservers = []
        for observer in observers { observer(status) }
        self.outputIsReady()
        guard self.outputStream != nil || self.errorStream != nil else { return }
        self.reactor.after(Self.drainTime) { self.assumeIsolated { $0.drainTimeIsOver() } }
    }

    /// The launcher's own words, if it ended because it could not start the program: then nothing else has been written.
    private func refusal(_ status: ExitStatus) -> SubprocessError? {
        let words = self.errors.last
        guard Launcher.refusalCodes.contains(status), words.count == self.errors.total,
            words.starts(with: Launcher.refusal)
        else { return nil }
        let line = words.dropFirst(Launcher.refusal.count).prefix { $0 != UInt8(ascii: "\n") }
        return SubprocessError(.cannotExecute, "cannot " + String(decoding: line, as: UTF8.self))
    }

    private func drainTimeIsOver() {
        self.isDrained = true
        self.readErrors()
        self.finishErrors()
        self.readOutput()
        self.wakeReader()
    }

    /// Takes what the pipes still hold and closes them.
    private func release() {
        self.readErrors()
        self.finishErrors()
        self.readOutput()
        self.finishOutput()
        self.wakeReader()
    }
}
