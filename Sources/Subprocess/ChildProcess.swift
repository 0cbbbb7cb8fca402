import Runtime

/// A running child: its input, its output, its end.
///
/// The actor lives on the reactor, so readiness of its descriptors reaches it without a hop. Nothing here blocks, and
/// nothing is kept beyond a bound: output stays in the pipe until somebody asks for it, standard error keeps its tail,
/// input makes the writer wait.
///
/// What is watched is the launcher (see `Sources/launcher/main.c`). It ends when the last process of the tree has ended,
/// and as the program ended, so its exit is the end of everything.
///
/// Whoever got it from `Spawner.start` must `end` it; that is also what closes its descriptors.
package actor ChildProcess {
    /// One piece of standard output.
    package enum Output: Hashable, Sendable {
        /// A line without its newline. The last one may have had none.
        case line([UInt8])
        /// What was there.
        case bytes([UInt8])
    }

    /// What is known once the child has ended.
    struct Outcome: Sendable {
        let status: ExitStatus
        let startFailure: SubprocessError?
        let mayHaveLeft: Bool
    }

    /// A descriptor and the watch that reports on it.
    struct Stream {
        let descriptor: Int32
        let watch: Watch

        func close() {
            self.watch.cancel(thenClose: true)
        }
    }

    /// How much of standard error is kept, in bytes.
    static let errorTailBytes = 64 * 1024
    /// How much input may wait for the child before `write` waits too, in bytes.
    static let inputCapacity = 256 * 1024
    /// How long after the exit output may still come from whoever else holds the pipe.
    static let drainTime = Duration.milliseconds(200)

    /// The launcher's process id; the program is its child.
    package nonisolated let pid: Int32
    nonisolated let reactor: Reactor
    nonisolated let outcome = Locked<Outcome?>(nil)
    let log: Logger
    let exited = OneShot<ExitStatus>()
    let spawned: SpawnedProcess

    var exitWatch: Stream?
    var exitObservers: [@Sendable (ExitStatus) -> Void] = []

    var inputStream: Stream?
    var input = InputQueue()
    var inputWaiters: [CheckedContinuation<Void, Never>] = []

    var outputStream: Stream?
    var output: OutputBuffer
    /// The pipe was left with data in it, so no further edge may come.
    var outputHasMore = false
    var outputWaiter: CheckedContinuation<Void, Never>?

    var errorStream: Stream?
    var errors = Tail(capacity: ChildProcess.errorTailBytes)
    var isDrained = false

    var teardown = TeardownMachine()
    var teardownTimer: ReactorTimer?

    package nonisolated var unownedExecutor: UnownedSerialExecutor {
        self.reactor.asUnownedSerialExecutor()
    }

    init(_ spawned: SpawnedProcess, output: Command.OutputMode, reactor: Reactor, log: Logger) {
        self.pid = spawned.pid
        self.spawned = spawned
        self.output = OutputBuffer(output)
        self.reactor = reactor
        self.log = log
    }

    /// How it ended; nil while it runs.
    package nonisolated var exitStatus: ExitStatus? {
        self.outcome.withLock { $0?.status }
    }

    /// Why the program never ran, once that is known: the launcher could not execute it. nil if it ran.
    package nonisolated var startFailure: SubprocessError? {
        self.outcome.withLock { $0?.startFailure }
    }

    /// Whether its launcher may have been killed before it could end the rest of the tree; see `StrayProcesses`.
    package nonisolated var mayHaveLeftProcesses: Bool {
        self.outcome.withLock { $0?.mayHaveLeft ?? false }
    }

    /// The last 64 KiB of standard error, which is always read.
    package var errorTail: [UInt8] {
        self.readErrors()
        return self.errors.last
    }

    /// Begins to listen. Called once, before anyone else has the handle.
    func attach() {
        self.inputStream = self.stream(self.spawned.input, [.writable, .edgeTriggered]) { child, readiness in
            // No reader is left on the pipe: what is written now would be lost without an error.
            readiness.contains(.hangup) ? child.dropInput() : child.flushInput()
        }
        self.outputStream = self.stream(self.spawned.output, [.readable, .edgeTriggered]) { child, _ in
            child.outputIsReady()
        }
        self.errorStream = self.stream(self.spawned.errors, .readable) { child, _ in child.readErrors() }
        if let descriptor = self.spawned.pidfd {
            self.exitWatch = self.stream(descriptor, .readable) { child, _ in child.checkExit() }
        } else {
            self.checkExit()
        }
    }

    private func stream(
        _ descriptor: Int32,
        _ interest: Readiness,
        _ body: @escaping @Sendable (isolated ChildProcess, Readiness) -> Void
    ) -> Stream {
        let watch = self.reactor.watch(descriptor, for: interest) { readiness in
            self.assumeIsolated { body($0, readiness) }
        }
        return Stream(descriptor: descriptor, watch: watch)
    }

    /// Runs `body` on the reactor, soon or at once.
    nonisolated func perform(_ body: @escaping @Sendable (isolated ChildProcess) -> Void) {
        self.reactor.perform {
            self.assumeIsolated { body($0) }
        }
    }
}
