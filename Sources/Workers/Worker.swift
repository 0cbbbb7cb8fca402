package import Domain
import Runtime
package import Subprocess

/// A live worker: one program that performs the turns of one conversation, one at a time.
///
/// Decisions are made in values under one lock (`State`, the driver, the lifecycle); this shell carries them out. A
/// worker ends only through `end`, which gives back the lease it was started under.
package final class Worker: Sendable {
    /// The placement of the worker.
    package let deployment: DeploymentID
    /// Whether the permit it was started with held a lease.
    package let mayWriteSnapshots: Bool
    let order: Contract
    let workspace: Workspace
    let tools: Tools
    let permit: PermitKeeper
    let place: WorkerPlace
    let state: Locked<State>
    let started = OneShot<Result<Void, WorkerError>>()
    let gone = OneShot<Void>()
    let writerWake = Wakeup()
    let turnWake = Wakeup()

    /// What stays of the order: all but the state to start from, which may be large and is used once.
    struct Contract: Sendable {
        let org: OrganizationID?
        let agent: AgentID
        let conversation: ConversationID?
        let configuration: AgentConfiguration
        let epoch: Int64

        init(_ order: WorkerOrder) {
            self.org = order.org
            self.agent = order.agent
            self.conversation = order.conversation
            self.configuration = order.configuration
            self.epoch = order.epoch
        }
    }

    /// What a worker needs of the process it lives in.
    struct Tools: Sendable {
        let spawner: Spawner
        let blocking: BlockingPool
        let root: String
        /// The gateway's own search path.
        let path: String?
        let log: Logger
        let metrics: Metrics
    }

    init(permit: consuming SpawnPermit, order: WorkerOrder, place: WorkerPlace, tools: Tools) {
        self.deployment = order.deployment
        self.mayWriteSnapshots = permit.mayWriteSnapshots
        self.permit = PermitKeeper(permit)
        self.order = Contract(order)
        self.place = place
        self.workspace = Workspace(root: tools.root, order: order)
        let fields: KeyValuePairs<String, LogValue> = [
            "deployment": .text(order.deployment.text), "agent": .text(order.agent.text),
        ]
        self.tools = Tools(
            spawner: tools.spawner,
            blocking: tools.blocking,
            root: tools.root,
            path: tools.path,
            log: tools.log.with(fields),
            metrics: tools.metrics
        )
        let driver: any WorkerDriver =
            switch order.configuration.driver {
            case .command: CommandDriver()
            case .acp: ACPDriver(setup: Self.setup(order, self.workspace))
            }
        self.state = Locked(State(driver: driver))
    }

    private static func setup(_ order: WorkerOrder, _ workspace: Workspace) -> ACPDriver.Setup {
        ACPDriver.Setup(
            directory: workspace.work,
            chain: order.chain.links,
            client: order.instance,
            clientVersion: "1",
            lineBytes: order.configuration.limits.lineBytes,
            snapshotBytes: order.configuration.limits.snapshotBytes
        )
    }

    /// A `command` worker has a process only while it performs a turn.
    var hasProcessPerTurn: Bool { self.order.configuration.driver == .command }

    // MARK: What others may know

    /// The process; 0 when there is none, as between two turns of a `command` worker.
    package var pid: Int32 { self.state.withLock { $0.child?.pid } ?? 0 }

    /// Whether it takes a turn now: it lives, none runs, and its state is what the last settled turn left.
    package var isUsable: Bool { self.state.withLock { $0.lifecycle.takesTurns } }

    /// Where it stands.
    package var lifecycleState: WorkerLifecycle.State { self.state.withLock { $0.lifecycle.state } }

    /// The last sign of life: any line or bytes it wrote, whatever they meant; now, while it waits for an answer.
    package var lastActivity: ContinuousClock.Instant {
        self.state.withLock { $0.lastSign(now: .now) }
    }

    /// Whether it gives its state away with each reply.
    package var handsOverSnapshots: Bool { self.state.withLock { $0.driver.handsOverSnapshots } }

    /// What it said of itself while it started.
    package var report: AgentReport? { self.state.withLock { $0.driver.report } }

    /// Memory and processor time of its whole process tree now; nil without a process. Reads files of /proc, so it is
    /// for metrics and recycling, not for each request.
    package func resourceUsage() -> ResourceUsage? {
        self.state.withLock { $0.child }?.resourceUsage()
    }

    /// Memory of its whole process tree now, in bytes; nil without a process.
    package var residentBytes: Int? { self.resourceUsage()?.residentBytes }

    /// Calls `body` once when the worker is gone: now, if it is. Its process is dead then; `end` may still have to
    /// remove what it left.
    package func whenExited(_ body: @escaping @Sendable (WorkerExit) -> Void) {
        let exit = self.state.withLock { state -> WorkerExit? in
            if state.exit == nil { state.observers.append(body) }
            return state.exit
        }
        if let exit { body(exit) }
    }

    // MARK: What others may ask for

    /// Asks for the end of the turn that runs: the worker is told, and killed after the agent's grace. The turn ends
    /// as cancelled, whatever the worker makes of it. Does nothing without a turn.
    package func cancel() {
        self.advance { state, effects in state.cancelTurn(&effects) }
    }

    /// Kills the whole tree at once. A turn that runs fails with `worker_exited`. `end` is still to be called.
    package func kill() {
        self.advance { state, effects in state.apply(.killRequested, &effects) }
    }

    /// Stops the worker: its protocol's own end, SIGTERM to the whole tree after a moment, SIGKILL after the agent's
    /// grace. Returns once nothing of it is left and its place is free, with the lease it was started under: to the
    /// first caller, nil to all others.
    package func end() async -> Lease? {
        await self.stop()
        return await self.permit.take()
    }

    /// `end` without taking the lease.
    func stop() async {
        let (effects, child) = self.state.withLock { state in
            var effects = Effects()
            state.apply(.stopRequested, &effects)
            if state.child == nil, state.lifecycle.state == .stopping { state.apply(.exited, &effects) }
            return (effects, state.child)
        }
        self.perform(effects)
        if effects.stops, let child { await self.tearDown(child) }
        if let intended = effects.exitIsIntended {
            await self.leave(WorkerExit(status: .exited(0), wasIntended: intended, lastWords: ""))
        }
        await self.gone.value()
    }

    // MARK: Carrying out

    /// Decides under the lock, then acts.
    func advance(_ decide: (inout State, inout Effects) -> Void) {
        let effects = self.state.withLock { state in
            var effects = Effects()
            decide(&state, &effects)
            return effects
        }
        self.perform(effects)
    }

    /// Does what can be done at once; stopping and leaving take time and are up to the caller.
    func perform(_ effects: Effects) {
        if effects.kills { self.state.withLock { $0.child }?.kill() }
        if let started = effects.started { self.started.resolve(started) }
        if effects.wakesWriter { self.writerWake.raise() }
        if effects.wakesTurn { self.turnWake.raise() }
        for oddity in effects.oddities {
            self.tools.metrics.count(
                "turnpike_worker_oddities_total",
                "What was tolerated from workers.",
                labels: ["kind": oddity.rawValue]
            )
            self.tools.log.debug("worker was odd", ["kind": .text(oddity.rawValue)])
        }
        for illegal in effects.illegal { self.tools.log.error("illegal worker event", ["error": .error(illegal)]) }
    }
}

/// Keeps a worker's permit until its lease is asked for.
actor PermitKeeper {
    private var permit: SpawnPermit?

    init(_ permit: consuming SpawnPermit) {
        self.permit = consume permit
    }

    /// The lease, once; nil afterwards, and for a permit that never held one.
    func take() -> Lease? {
        switch self.permit.take() {
        case .some(let permit): permit.surrender()
        case .none: nil
        }
    }
}
