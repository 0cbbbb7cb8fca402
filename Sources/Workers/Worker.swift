package import Domain
import Runtime
package import Subprocess

/// A live worker: one program that performs the turns of one conversation, one at a time.
///
/// Decisions are made in values under one lock (`State`, the driver, the lifecycle); this shell carries them out. A
/// worker ends only through `end`, which gives back the lease it was started under.
package final class Worker: Sendable {
    let order: Contract
    /// Since when it is there.
    let born = ContinuousClock.now
    let workspace: Workspace
    /// How its workspace gets into snapshots; nil when it does not.
    let directory: DirectoryArchive?
    let tools: Tools
    let permit: PermitKeeper
    let place: WorkerPlace
    /// What a process that outlives its turns has in its environment; it is good for something only within one.
    package let token: WorkerToken?
    let state: Locked<State>
    let started = OneShot<Result<Void, WorkerError>>()
    /// What became of giving a spare to a conversation.
    let taken = OneShot<Result<Void, WorkerError>>()
    let gone = OneShot<Void>()
    let writerWake = Wakeup()
    let turnWake = Wakeup()

    /// What is known of a worker from its start, with a conversation or without.
    struct Contract: Sendable {
        let org: OrganizationID?
        let agent: AgentID
        let configuration: AgentConfiguration
        /// Empty for a worker that acts as no account, as a spare does.
        var accountEnvironment: [String: String] = [:]
    }

    /// What a worker has once it has a conversation: all of the order that is needed again, so not the state to start
    /// from, which may be large. Nothing but a permit brings one about.
    struct Binding: Sendable {
        /// The placement of the worker.
        let deployment: DeploymentID
        let conversation: ConversationID?
        let epoch: Int64
        /// Whether the permit held a lease.
        let mayWriteSnapshots: Bool
        /// Whether the workspace stays when the worker goes.
        let keepsWorkspace: Bool

        init(_ permit: borrowing SpawnPermit, _ order: WorkerOrder) {
            self.deployment = order.deployment
            self.conversation = order.conversation
            self.epoch = order.epoch
            self.mayWriteSnapshots = permit.mayWriteSnapshots
            self.keepsWorkspace = order.conversation != nil && order.org != nil
        }
    }

    /// What a worker needs of the process it lives in.
    struct Tools: Sendable {
        let spawner: Spawner
        let blocking: BlockingPool
        /// For what reads and writes whole workspaces.
        let archives: BlockingPool
        let trees: RememberedTrees
        let root: String
        let floor: IsolationFloor
        /// The gateway's own search path.
        let path: String?
        var log: Logger
        let metrics: Metrics
        let sandboxCheck = SandboxCheck()
        /// Where workers reach their models.
        let models = Locked<String?>(nil)

        func logging(_ fields: KeyValuePairs<String, LogValue>) -> Tools {
            var tools = self
            tools.log = self.log.with(fields)
            return tools
        }
    }

    init(permit: consuming SpawnPermit, order: WorkerOrder, place: WorkerPlace, tools: Tools) {
        let binding = Binding(permit, order)
        self.permit = PermitKeeper(permit)
        self.order = Contract(
            org: order.org,
            agent: order.agent,
            configuration: order.configuration,
            accountEnvironment: order.accountEnvironment
        )
        self.place = place
        self.token = Self.token(order.configuration)
        self.workspace = Workspace(root: tools.root, order: order)
        self.directory =
            binding.mayWriteSnapshots
            ? DirectoryArchive(order.configuration, self.workspace, root: tools.root) : nil
        self.tools = tools.logging([
            "deployment": .text(order.deployment.text), "agent": .text(order.agent.text),
        ])
        let setup = Self.setup(order.configuration, order.instance)
        self.state = Locked(State(driver: Self.driver(order.configuration, setup), binding: binding))
    }

    /// A spare: a worker that has no conversation yet, and therefore no permit.
    init(spare order: SpareOrder, place: WorkerPlace, tools: Tools) {
        self.permit = PermitKeeper()
        self.order = Contract(org: order.org, agent: order.agent, configuration: order.configuration)
        self.place = place
        self.token = Self.token(order.configuration)
        self.workspace = Workspace(root: tools.root, spare: order.workspace)
        // Used once it has a conversation and a lease; what the spare has put there by then is in its first base.
        self.directory = DirectoryArchive(order.configuration, self.workspace, root: tools.root)
        self.tools = tools.logging(["workspace": .text(order.workspace.text), "agent": .text(order.agent.text)])
        let setup = Self.setup(order.configuration, order.instance)
        self.state = Locked(State(driver: Self.driver(order.configuration, setup), binding: nil))
    }

    private static func driver(_ configuration: AgentConfiguration, _ setup: ACPDriver.Setup) -> any WorkerDriver {
        switch configuration.driver {
        // One that runs outside names no program, so that it cannot be started here.
        case .command, .remote: CommandDriver()
        case .acp: ACPDriver(setup: setup)
        }
    }

    private static func setup(_ configuration: AgentConfiguration, _ instance: String) -> ACPDriver.Setup {
        ACPDriver.Setup(
            client: instance,
            clientVersion: "1",
            lineBytes: configuration.limits.lineBytes,
            snapshotBytes: configuration.limits.snapshotBytes,
            usage: configuration.usage
        )
    }

    /// A process that has one turn gets that turn's own.
    private static func token(_ configuration: AgentConfiguration) -> WorkerToken? {
        configuration.model != nil && configuration.driver == .acp ? .make() : nil
    }

    /// A `command` worker has a process only while it performs a turn.
    var hasProcessPerTurn: Bool { self.order.configuration.driver == .command }

    // MARK: What others may know

    /// The process; 0 when there is none, as between two turns of a `command` worker.
    package var pid: Int32 { self.state.withLock { $0.child?.pid } ?? 0 }

    /// Whether the permit it was started with held a lease.
    package var mayWriteSnapshots: Bool { self.state.withLock { $0.binding?.mayWriteSnapshots ?? false } }

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

    /// Why it should be replaced before it gets another turn; nil when it need not.
    package var recycling: Recycling? {
        Recycling.decide(age: .now - self.born, limits: self.order.configuration.limits) {
            self.resourceUsage()?.residentBytes ?? 0
        }
    }

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

    /// Stops the whole tree where it is; nothing of the time until `thaw` counts as its silence. A turn's hard deadline
    /// still does.
    package func freeze() {
        // The signals within the lock, so that none of them comes after a thaw.
        self.state.withLock { state in
            state.isFrozen = true
            state.child?.freeze()
        }
    }

    /// Lets a frozen tree go on.
    package func thaw() {
        self.state.withLock { state in
            guard state.isFrozen else { return }
            state.isFrozen = false
            state.lastActivity = .now
            if !state.isPaused { state.child?.thaw() }
        }
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
        if let taken = effects.taken { self.taken.resolve(taken) }
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

    /// Of a spare, which has none yet.
    init() {}

    init(_ permit: consuming SpawnPermit) {
        self.permit = consume permit
    }

    func keep(_ permit: consuming SpawnPermit) {
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
