package import Domain
import Glibc
package import Runtime
package import Subprocess

/// All workers of one replica: their number is bounded, their starts are staggered, and none is forgotten.
package final class WorkerPool: Sendable {
    let state = Locked(State())
    let limits: Limits
    let tools: Worker.Tools
    let gate: StartGate
    let metrics: Metrics
    /// Told when a spare was taken or has gone.
    let circuits = Locked<[AgentKey: Circuit]>([:])
    let usage = Locked(UsageBook())
    let spareIsMissing = Locked<(@Sendable () -> Void)?>(nil)

    /// `workspaces` is the absolute path of the directory that holds the workers' homes and working directories; it is
    /// created when needed. Whatever `floor` says, no worker is shown others' workspaces.
    package init(
        spawner: Spawner,
        limits: Limits,
        workspaces: String,
        floor: IsolationFloor = IsolationFloor(),
        log: Logger,
        metrics: Metrics
    ) {
        self.limits = limits
        var floor = floor
        floor.hidden.append(workspaces)
        self.gate = StartGate(places: max(1, limits.startsAtOnce))
        self.metrics = metrics
        self.tools = Worker.Tools(
            spawner: spawner,
            blocking: BlockingPool(threads: 2),
            archives: BlockingPool(threads: 2),
            trees: RememberedTrees(),
            root: workspaces,
            floor: floor,
            path: getenv("PATH").map { String(cString: $0) },
            log: log,
            metrics: metrics
        )
        metrics.collect { [weak self] metrics in
            self?.setGauges(metrics)
            self?.setUsage(metrics)
        }
    }

    /// What every agent's isolation must be at least.
    package var floor: IsolationFloor { self.tools.floor }

    /// Takes a worker's place, to be given to `start` or released. Nil at the replica's limit, or when `maximum`
    /// workers of the agent have theirs; but a spare worker makes room for one that has work. `version`: a spare of
    /// this version of the agent will do, and comes with its place.
    package func reserve(
        org: OrganizationID?,
        agent: AgentID,
        maximum: Int,
        version: Int64? = nil
    ) -> WorkerPlace? {
        let key = AgentKey(org: org, agent: agent)
        let found = self.state.withLock { state in
            state.take(for: key, maximum: maximum, version: version, of: self.limits.workersPerReplica)
        }
        switch found {
        case .none: return nil
        case .free: return WorkerPlace { [weak self] in self?.release(key) }
        case .spare(let spare):
            return WorkerPlace(spare: spare) { [weak self] in self?.putBack(spare) }
        case .vacated(let spare):
            spare.worker.kill()
            return WorkerPlace(after: spare.worker) { [self] in
                spare.worker.whenExited { _ in self.release(key) }
            }
        }
    }

    private func release(_ key: AgentKey) {
        self.state.withLock { $0.release(key) }
    }

    /// Starts the worker that `permit` permits, or gives its conversation the spare that came with the place, and
    /// returns it once it takes turns. On failure nothing of it is left, its place is free, and the lease comes back.
    /// A place in the queue of starts does not count against the agent's time to start; `wait` is asked meanwhile.
    package func start(
        _ permit: consuming SpawnPermit,
        _ order: WorkerOrder,
        in place: WorkerPlace,
        waiting wait: StartWait? = nil
    ) async -> StartResult {
        switch await self.useSpare(of: place, permit, order) {
        case .bound(let worker): return .started(worker)
        case .refused(let permit, let place): return await self.startAnew(permit, order, in: place, wait)
        }
    }

    private func startAnew(
        _ permit: consuming SpawnPermit,
        _ order: WorkerOrder,
        in place: WorkerPlace,
        _ wait: StartWait?
    ) async -> StartResult {
        let worker = Worker(permit: permit, order: order, place: place, tools: self.tools)
        guard await self.gate.enter(wait) else {
            let message = "nobody waits for the worker any more"
            return .failed(WorkerError(code: .workerStartFailed, message: message), lease: await worker.end())
        }
        wait?.begun(worker)
        let failure = await self.open(worker, order)
        let result = failure == nil ? "ready" : "failed"
        self.metrics.count("turnpike_worker_starts_total", "Attempts to start a worker.", labels: ["result": result])
        guard let failure else {
            if !order.isCheck { self.noteStart(of: worker) }
            return .started(worker)
        }
        // One that was killed because nobody wants it any more says nothing of its agent.
        let isWanted = wait?.isOver.isRaised != true
        if !order.isCheck, isWanted { self.noteFailure(AgentKey(org: order.org, agent: order.agent), failure.message) }
        self.tools.log.warning(
            "worker did not start",
            ["deployment": .text(order.deployment.text), "error": .text(failure.message)]
        )
        return .failed(failure, lease: await worker.end())
    }

    /// Nil when the worker is ready. Whoever calls this has entered the gate, and it is left here.
    func open(_ worker: Worker, _ order: WorkerOrder?) async -> WorkerError? {
        let turn = Locked(true)
        let leave = { @Sendable in
            let isFirst = turn.withLock { isOpen in
                defer { isOpen = false }
                return isOpen
            }
            if isFirst { self.gate.leave() }
        }
        let timer = self.tools.spawner.reactor.after(self.limits.startGateHold, leave)
        defer {
            timer.cancel()
            leave()
        }
        let id = ObjectIdentifier(worker)
        let isOpen = self.state.withLock { state in
            if !state.isClosed { state.workers[id] = worker }
            return !state.isClosed
        }
        guard isOpen else { return WorkerError(code: .workerStartFailed, message: "the replica is shutting down") }
        worker.whenExited { [weak self] _ in _ = self?.state.withLock { $0.workers.removeValue(forKey: id) } }
        let clock = ContinuousClock()
        let begin = clock.now
        do {
            try await worker.open(order)
        } catch {
            return error
        }
        self.metrics.observe("turnpike_worker_start_seconds", "From spawn to ready.", clock.now - begin)
        return nil
    }

    /// Stops every worker and takes no new one. Leases stay with their workers: `Worker.end` gives them back.
    package func endAll() async {
        let workers = self.state.withLock { state in
            state.isClosed = true
            state.spares = []
            return Array(state.workers.values)
        }
        await withTaskGroup(of: Void.self) { group in
            for worker in workers {
                group.addTask { await worker.stop() }
            }
        }
    }

    /// Workers that have not exited, in no order.
    package var workers: [Worker] { self.state.withLock { Array($0.workers.values) } }

    /// Places that are taken: workers, and starts that have reserved theirs.
    package var placesTaken: Int { self.state.withLock { $0.places } }

    /// Whether every place is taken, and by workers that do not make room.
    package var isFull: Bool { self.freePlaces <= 0 }

    /// Places that nobody has, or only a spare.
    package var freePlaces: Int {
        self.state.withLock { self.limits.workersPerReplica - $0.places + $0.spares.count }
    }

    private func setGauges(_ metrics: Metrics) {
        var counts: [WorkerLifecycle.State: Int] = [:]
        for worker in self.workers { counts[worker.lifecycleState, default: 0] += 1 }
        for state in WorkerLifecycle.State.allCases where state != .exited {
            metrics.set(
                "turnpike_workers",
                "Live workers by state.",
                labels: ["state": state.rawValue],
                to: Double(counts[state, default: 0])
            )
        }
        metrics.set("turnpike_worker_places", "Places that are taken.", to: Double(self.placesTaken))
        metrics.set("turnpike_worker_starts_waiting", "Starts that wait their turn.", to: Double(self.gate.queue))
    }
}
