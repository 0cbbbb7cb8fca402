import Domain
import Faults
import Glibc
import Runtime
import Subprocess

// The process behind a worker: starting it, attending to it, and seeing it off.

extension Worker {
    /// How long a process that closed its output may take to exit before it is killed.
    private static let closedOutputGrace = Duration.seconds(2)

    /// Makes the workspace and starts what has to run before the first turn. Returns when the worker is ready, and
    /// bound unless it is a spare.
    /// A spare has no order yet.
    func open(_ order: WorkerOrder?) async throws(WorkerError) {
        let limits = self.order.configuration.limits
        if let directory = self.directory, let order, self.mayWriteSnapshots {
            try await self.restore(directory, order.chain.links)
        }
        let recalled = try await self.makeWorkspace()
        try await self.checkProfile()
        if self.hasProcessPerTurn {
            _ = try self.command(for: nil, token: .make())
            self.advance { state, effects in state.carry(state.driver.opened(), &effects) }
        } else {
            try await self.spawn(self.command(for: nil, token: self.token))
            self.advance { state, effects in
                state.carry(state.driver.opened(), &effects)
                guard let order else { return }
                state.carry(state.driver.assigned(self.assignment(order, recalled: recalled)), &effects)
            }
            let timer = Task {
                // Awaited by nobody: cancelled a few lines below, and harmless when it comes too late.
                do { try await self.tools.spawner.reactor.sleep(for: .seconds(limits.startSeconds)) } catch { return }
                self.startIsOverdue()
            }
            defer { timer.cancel() }
            do {
                try await self.started.value().get()
            } catch {
                await self.forgetSession()
                throw error
            }
            if order != nil { self.reportContext() }
        }
        let isThere = self.state.withLock { state in
            guard state.lifecycle.state == .spare else { return false }
            var effects = Effects()
            if state.binding != nil { state.apply(.bound, &effects) }
            return true
        }
        guard isThere else {
            throw WorkerError(code: .workerStartFailed, message: "the worker was stopped while it started")
        }
    }

    private func startIsOverdue() {
        let seconds = self.order.configuration.limits.startSeconds
        self.advance { state, effects in
            guard state.lifecycle.state == .starting else { return }
            let message = "the worker did not initialize within \(seconds) s"
            state.apply(.deadlinePassed, failing: (.workerStartFailed, message), &effects)
        }
    }

    /// A profile that the host cannot give, or that is weaker than its operator wants, starts nothing; it is never replaced
    /// by another.
    private func checkProfile() async throws(WorkerError) {
        let configuration = self.order.configuration
        if let (member, problem) = self.tools.floor.problem(of: configuration, resolve: Profile.resolved) {
            throw WorkerError(code: .workerStartFailed, message: "this replica does not start it: \(member) \(problem)")
        }
        var problem = Profile.refusal(configuration)
        if problem == nil, configuration.isolation == .sandbox {
            problem = await self.tools.sandboxCheck.problem(self.tools.spawner, root: self.workspace.path)
        }
        guard let problem else { return }
        let name = configuration.isolation.rawValue
        throw WorkerError(
            code: .workerStartFailed,
            message: "this host cannot give the isolation profile \(name): \(problem)"
        )
    }

    /// Returns the agent's session that served the conversation last, where one is known.
    private func makeWorkspace() async throws(WorkerError) -> AgentSession? {
        do {
            return try await self.tools.blocking.run {
                [workspace, root = self.tools.root, files = self.order.configuration.files] in
                try workspace.create(below: root)
                try workspace.seed(files, below: root)
                return try workspace.agentSession(below: root)
            }
        } catch {
            let message = "the worker's workspace cannot be made: \(error)"
            throw WorkerError(code: .workerStartFailed, message: message, cause: error)
        }
    }

    /// The process to start: for the worker, or for one turn of it.
    private func command(for turn: ArmedTurn?, token: WorkerToken?) throws(WorkerError) -> Command {
        let configuration = self.order.configuration
        var context = try self.modelVariables(token)
        if let turn {
            context["TURNPIKE_TURN"] = turn.id.text
            context["TURNPIKE_AGENT"] = self.order.agent.text
            context["TURNPIKE_ORG"] = self.order.org?.text
            context["TURNPIKE_CONVERSATION"] = self.state.withLock { $0.binding?.conversation?.text }
        }
        let variables = WorkerEnvironment.variables(
            configuration: configuration,
            workspace: self.workspace,
            path: self.tools.path,
            account: self.order.accountEnvironment,
            adding: context
        )
        let program = try WorkerEnvironment.resolve(
            configuration.command.first ?? "",
            path: variables["PATH"] ?? WorkerEnvironment.systemPath
        )
        return Command(
            executable: program,
            arguments: Array(configuration.command.dropFirst()),
            environment: variables,
            directory: self.workspace.work,
            limits: Profile.limits(configuration),
            noNewPrivileges: configuration.isolation != .none,
            sandbox: Profile.sandbox(configuration, self.workspace),
            controlGroups: Profile.controlGroups(configuration),
            output: self.hasProcessPerTurn ? .bytes : .lines(maximumBytes: self.longestLine)
        )
    }

    /// A line that carries a snapshot may be as long as the largest snapshot makes it; the driver holds all others to
    /// `line_bytes`.
    private var longestLine: Int {
        let (limits, configuration) = (self.order.configuration.limits, self.order.configuration)
        let mayEver = configuration.storeMode == .snapshot && configuration.snapshots.kind == .blob
        return mayEver ? limits.lineBytes + limits.snapshotBytes / 3 * 4 + 8 : limits.lineBytes
    }

    private func spawn(_ command: Command) async throws(WorkerError) {
        let child: ChildProcess
        do {
            try await Faults.reach(.spawnBefore)
            child = try await self.tools.spawner.start(command)
        } catch {
            throw WorkerError(
                code: .workerStartFailed,
                message: "\(command.executable) cannot be started: \(error)",
                cause: error
            )
        }
        await Faults.pass(.spawned)
        let isUnwanted = self.state.withLock { state in
            state.child = child
            state.lastActivity = .now
            // A turn that was handed over to a frozen worker, whose process is the turn's own.
            if state.isFrozen { child.freeze() }
            return state.lifecycle.state == .stopping || state.lifecycle.state == .exited
        }
        // Awaited by `stop` through `gone`, and by the turn when the process is the turn's own.
        let attendant = Task { await self.attend(child) }
        self.state.withLock { $0.attendant = attendant }
        self.writerWake.raise()
        if isUnwanted { child.kill() }
    }

    /// Starts the process of one turn and puts up with its failure: the turn fails then, the worker does not.
    func spawn(for turn: ArmedTurn, token: WorkerToken?) async {
        do {
            try await self.spawn(self.command(for: turn, token: token))
        } catch {
            self.advance { state, effects in
                state.outbox = []
                guard let open = state.turn else { return }
                state.finish(open.failure(error.code, error.message, isSure: true), &effects)
            }
        }
    }

    // MARK: Attending

    /// Feeds and reads the process until it is gone.
    private func attend(_ child: ChildProcess) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.write(to: child) }
            await self.read(from: child)
            let isTaken = PlantedBug.endOfOutputIsExit.isPlanted
            let status = isTaken ? .exited(0) : await self.exit(of: child)
            // Everything of it is gone by now, or soon is; this closes what was its own.
            if !isTaken { await child.end(.immediate) }
            if child.mayHaveLeftProcesses { await self.endStrays(of: child.pid) }
            await self.processEnded(status, refusal: child.startFailure, LastWords.text(await child.errorTail))
            self.writerWake.raise()
        }
    }

    private func write(to child: ChildProcess) async {
        while true {
            await self.writerWake.wait()
            let batch = self.state.withLock { state -> [Outgoing]? in
                guard state.child === child else { return nil }
                defer { state.outbox = [] }
                return state.outbox
            }
            guard let batch else { return }
            for item in batch {
                switch item {
                case .bytes(let bytes):
                    // A process that does not read has its own end, which says more than this error.
                    do { try await child.write(bytes) } catch { break }
                case .end: await child.closeInput()
                }
            }
        }
    }

    /// What a killed one still had to say is left unread: it may be a flood.
    private func read(from child: ChildProcess) async {
        do {
            while !self.state.withLock({ $0.wasKilled }), let output = try await child.nextOutput() {
                let bytes =
                    switch output {
                    case .line(let bytes), .bytes(let bytes): bytes
                    }
                self.advance { state, effects in
                    state.lastActivity = .now
                    state.carry(state.driver.received(bytes), &effects)
                }
            }
        } catch {
            self.advance { state, effects in
                state.apply(.killRequested, failing: (.outputLimit, "the worker's output: \(error)"), &effects)
            }
        }
    }

    /// Waits for the exit of a process whose output has ended. A worker without an output is of no use, so it has
    /// only a moment; the process of a turn may work on in silence.
    private func exit(of child: ChildProcess) async -> WorkerStatus {
        let status = await withTaskGroup(of: Void.self) { group in
            if !self.hasProcessPerTurn {
                group.addTask {
                    // Not `Task.sleep`, which would keep the child, with all it read, until the grace is over.
                    do { try await self.tools.spawner.reactor.sleep(for: Self.closedOutputGrace) } catch { return }
                    child.kill()
                }
            }
            let status = await child.exit()
            group.cancelAll()
            return status
        }
        return switch status {
        case .exited(let code): .exited(code)
        case .signalled(let signal): .signalled(signal)
        }
    }

    /// `refusal`: why the program never ran, when it did not.
    private func processEnded(_ status: WorkerStatus, refusal: SubprocessError?, _ words: String) async {
        let (effects, wasKilled) = self.state.withLock { state in
            var effects = Effects()
            state.child = nil
            state.outbox = []
            if let actions = state.driver.ended(status), state.turn != nil {
                state.carry(actions.map { Self.add(words, to: $0) }, &effects)
            }
            if state.lifecycle.state == .stopping || !self.hasProcessPerTurn && state.lifecycle.state != .exited {
                let when = state.lifecycle.state == .starting ? " before it was ready" : ""
                let message = refusal?.message ?? LastWords.join("the worker \(status)\(when)", words)
                state.apply(.exited, failing: (.workerExited, message), &effects)
            }
            return (effects, state.wasKilled)
        }
        self.perform(effects)
        guard let intended = effects.exitIsIntended else { return }
        let reason = !intended ? "exited" : wasKilled ? "killed" : "stopped"
        self.tools.metrics.count(
            "turnpike_worker_exits_total",
            "Workers that ended, by reason.",
            labels: ["reason": reason]
        )
        let fields: KeyValuePairs<String, LogValue> = [
            "reason": .text(reason), "status": .text("\(status)"), "last_words": .text(words),
        ]
        if intended {
            self.tools.log.info("worker ended", fields)
        } else {
            self.tools.log.warning("worker ended", fields)
        }
        await self.leave(WorkerExit(status: status, wasIntended: intended, lastWords: words))
    }

    /// Ends what the program had started and its launcher no longer can, having been killed itself, before anybody uses the
    /// workspace again.
    private func endStrays(of launcher: Int32) async {
        let folder = self.workspace.path
        let mark = "\(WorkerEnvironment.workspace)=\(folder)"
        let groups = Profile.controlGroups(self.order.configuration)
        do {
            let left = try await self.tools.blocking.run {
                let left = StrayProcesses.end(startedWith: mark, in: folder)
                if let groups { ControlGroups.remove(launcher: launcher, from: groups) }
                return left
            }
            if left > 0 { self.tools.log.error("processes of a worker cannot be ended", ["left": .count(left)]) }
        } catch {
            self.tools.log.error("processes of a worker were not looked for", ["error": .error(error)])
        }
    }

    private static func add(_ words: String, to action: DriverAction) -> DriverAction {
        guard case .failed(let code, let message, let sure) = action else { return action }
        return .failed(code, LastWords.join(message, words), sure: sure)
    }

    // MARK: Seeing off

    /// Ends the whole tree: the protocol's own end, SIGTERM, SIGKILL.
    func tearDown(_ child: ChildProcess) async {
        self.thaw()
        let grace = Duration.seconds(self.order.configuration.limits.graceSeconds)
        _ = await child.end(Teardown(afterInput: min(grace, .seconds(2)), afterTerminate: grace))
    }

    /// The worker is gone: tells who asked, removes what goes with it, and frees its place.
    func leave(_ exit: WorkerExit) async {
        await self.removeWorkspace()
        let observers = self.state.withLock { state in
            state.exit = exit
            defer { state.observers = [] }
            return state.observers
        }
        self.taken.resolve(.failure(Self.goneSpare))
        for observer in observers { observer(exit) }
        self.rememberTree()
        self.place.release()
        if PlantedBug.descriptorKept.isPlanted { _ = dup(STDERR_FILENO) }
        self.gone.resolve(())
    }

    private func removeWorkspace() async {
        guard self.state.withLock({ $0.binding?.keepsWorkspace != true }) else { return }
        do {
            try await self.tools.blocking.run { [workspace, root = self.tools.root] in
                try workspace.remove(below: root)
            }
        } catch {
            let fields: KeyValuePairs<String, LogValue> = ["path": .text(self.workspace.path), "error": .error(error)]
            self.tools.log.warning("workspace not removed", fields)
        }
    }
}
