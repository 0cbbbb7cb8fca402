internal import CSubprocess
package import Runtime

/// Starts child processes.
///
/// Every child is Foundation's `Process` behind the same guards: one thread spawns (`SpawnThread`); what is spawned is
/// always our launcher (`Sources/launcher/main.c`), which then starts the program with clean signals, limits and
/// descriptors and can end its whole tree; pipes are our own; the exit is seen by pidfd. If this process dies, for
/// whatever reason, the kernel tells each launcher and nothing of any tree survives.
package final class Spawner: Sendable {
    private let launcher: String
    /// On which children live.
    package let reactor: Reactor
    private let blocking: BlockingPool?
    private let log: Logger
    private let metrics: Metrics?
    private let thread: SpawnThread
    private let running = Locked(0)

    /// `launcher` as from `findLauncher`. Children live on `reactor`; programs are looked up on `blocking`, if given,
    /// because their file system may be slow. Keep one for the whole process: its thread never ends. Also makes the
    /// process ignore SIGPIPE.
    package init(
        launcher: String,
        reactor: Reactor,
        blocking: BlockingPool?,
        log: Logger,
        metrics: Metrics?
    ) {
        csp_ignore_broken_pipes()
        self.launcher = launcher
        self.reactor = reactor
        self.blocking = blocking
        self.log = log
        self.metrics = metrics
        self.thread = SpawnThread()
    }

    /// The launcher's path: beside the running executable, from TURNPIKE_LAUNCHER, or in the package's build directory.
    /// Throws `launcherMissing`.
    package static func findLauncher() throws -> String {
        try Launcher.find()
    }

    /// How many children run.
    package var runningCount: Int { self.running.withLock { $0 } }

    /// Starts `command`, lends it to `body`, and ends its whole tree when `body` leaves, for whatever reason. When the
    /// surrounding task is cancelled the teardown begins at once, so that waiting for the child ends too.
    ///
    /// Throws what `start` throws, what `body` throws, and `cannotExecute` when the program turned out not to start.
    package func withProcess<R>(
        _ command: Command,
        teardown: Teardown = .default,
        _ body: (ChildProcess) async throws -> R
    ) async throws -> R {
        let child = try await self.start(command)
        let result: Result<R, any Error>
        do {
            result = .success(
                try await withTaskCancellationHandler {
                    try await body(child)
                } onCancel: {
                    child.beginEnd(teardown)
                }
            )
        } catch {
            result = .failure(error)
        }
        await child.end(teardown)
        if let failure = child.startFailure { throw failure }
        return try result.get()
    }

    /// Starts `command`. The caller must `end` the child.
    ///
    /// Throws `SubprocessError` with `invalidCommand` or `executableMissing` before anything is spawned,
    /// `tooManyDescriptors`, or `spawnFailed`. What the launcher finds out later is in the child's `startFailure`.
    package func start(_ command: Command) async throws -> ChildProcess {
        try Task.checkCancellation()
        let began = ContinuousClock.now
        do {
            let path = try await self.resolve(command)
            let child = ChildProcess(
                try await self.spawn(command, path: path),
                output: command.output,
                reactor: self.reactor,
                log: self.log
            )
            await child.attach()
            self.account(for: child, spawnTime: ContinuousClock.now - began)
            return child
        } catch {
            self.metrics?.count("subprocess_spawns_total", "Child processes by outcome.", labels: ["outcome": "failed"])
            throw error
        }
    }

    private func resolve(_ command: Command) async throws -> String {
        guard let blocking = self.blocking else { return try command.resolvedExecutable() }
        return try await blocking.run { try command.resolvedExecutable() }
    }

    private func spawn(_ command: Command, path: String) async throws -> SpawnedProcess {
        let result = OneShot<Result<SpawnedProcess, SubprocessError>>()
        let arguments = try Launcher.arguments(for: command, path: path, launcher: self.launcher)
        self.thread.submit { [launcher] in
            do throws(SubprocessError) {
                let process = try SpawnedProcess(
                    launcher: launcher,
                    arguments: arguments,
                    environment: command.environment
                )
                result.resolve(.success(process))
            } catch {
                result.resolve(.failure(error))
            }
        }
        return try await result.value().get()
    }

    private func account(for child: ChildProcess, spawnTime: Duration) {
        self.metrics?.count("subprocess_spawns_total", "Child processes by outcome.", labels: ["outcome": "started"])
        self.metrics?.observe("subprocess_spawn_seconds", "Time to spawn a child process.", spawnTime)
        self.changeRunning(by: 1)
        child.whenExited { [self, pid = child.pid, spawned = child.spawned] status in
            self.changeRunning(by: -1)
            self.letGo(of: spawned)
            self.log.debug("child ended", ["pid": .count(pid), "status": .text(status.description)])
        }
    }

    /// Soon; but where the launcher was killed and something else has what tells Foundation, only when that has ended.
    private func letGo(of spawned: SpawnedProcess) {
        self.thread.submit {
            guard !spawned.letGo() else { return }
            self.reactor.after(.milliseconds(100)) { self.letGo(of: spawned) }
        }
    }

    private func changeRunning(by amount: Int) {
        let count = self.running.withLock { count in
            count += amount
            return count
        }
        self.metrics?.set("subprocess_running", "Child processes that run now.", to: Double(count))
    }
}
