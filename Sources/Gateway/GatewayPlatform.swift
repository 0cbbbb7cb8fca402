import Domain
package import Postgres
package import Runtime
import Store
package import Workers

/// What a gateway is built on.
package struct GatewayPlatform: Sendable {
    /// The connections that everything but locks goes over.
    package var pool: ConnectionPool
    /// The lock session; must be configured to listen on `Hint.channel` of the replica when hints are used.
    package var session: DirectSession
    /// How many workers it has.
    package var workers: WorkerPool
    /// The thread that runs timers and descriptors.
    package var reactor: Reactor
    /// This replica's share of the cluster's lock table.
    package var lockCapacity: Int
    /// Where lines go.
    package var log: Logger
    /// Where figures go.
    package var metrics: Metrics

    package init(
        pool: ConnectionPool,
        session: DirectSession,
        workers: WorkerPool,
        reactor: Reactor,
        lockCapacity: Int,
        log: Logger,
        metrics: Metrics
    ) {
        self.pool = pool
        self.session = session
        self.workers = workers
        self.reactor = reactor
        self.lockCapacity = lockCapacity
        self.log = log
        self.metrics = metrics
    }
}

extension Gateway {
    /// Puts the parts together. Nothing runs yet; see `sharedServices`.
    package init(_ configuration: GatewayConfiguration, on platform: GatewayPlatform) {
        let store = Store(pool: platform.pool)
        let hints = HintSender(
            store: store,
            isEnabled: configuration.usesHints,
            reactor: platform.reactor,
            log: platform.log
        )
        let tokens = TokenDesk(store: store)
        let tools = Self.tools(configuration, on: platform, store: store, tokens: tokens, hints: hints)
        let agents = AgentDirectory(store: store)
        self.configuration = configuration
        self.log = tools.log
        self.metrics = tools.metrics
        self.store = store
        self.hints = hints
        self.tokens = tokens
        self.agentDirectory = agents
        (self.feed, self.approvals, self.registry, self.leases) = (
            tools.feed, tools.approvals, tools.registry, tools.leases
        )
        self.intake = TurnIntake(
            store: store,
            agents: agents,
            index: tools.index,
            hints: hints,
            feed: tools.feed,
            wakeDispatcher: tools.wakeDispatcher,
            configuration: configuration,
            metrics: tools.metrics
        )
        self.sweeper = Sweeper(
            store: store,
            registry: tools.registry,
            hints: hints,
            feed: tools.feed,
            wakeDispatcher: tools.wakeDispatcher,
            configuration: configuration,
            log: tools.log,
            metrics: tools.metrics
        )
        self.models = tools.models
        self.pruner = SnapshotPruner(store: store, limits: tools.limits, log: tools.log, metrics: tools.metrics)
        self.dispatcher = Dispatcher(tools: tools, intake: self.intake)
        self.spares = SpareKeeper(tools: tools, isDraining: { [intake] in intake.isDraining })
        self.caretaker = Caretaker(tools: tools, sweeper: self.sweeper)
        self.accounts = AccountKeeper(tools: tools, configuration: configuration)
        self.circuits = CircuitBoard(store: store, replica: configuration.replica, workers: platform.workers)
        self.schedules = ScheduleKeeper(tools: tools, isDraining: { [intake] in intake.isDraining })
        self.presence = Self.presence(
            configuration,
            store: store,
            circuits: self.circuits,
            leases: tools.leases,
            sweeper: self.sweeper,
            isDraining: { [intake] in intake.isDraining },
            drain: { [intake, spares] in Self.drain(intake, spares) },
            hostAccounts: self.accounts.host,
            tools: tools
        )
        self.checker = AgentChecker(workers: platform.workers)
        tools.leases.whenRestored { [caretaker] in
            tools.wakeDispatcher.signal()
            caretaker.lookSoon()
        }
        self.listen(on: platform.session)
    }

    /// What every session needs, shared with the services around them.
    private static func tools(
        _ configuration: GatewayConfiguration,
        on platform: GatewayPlatform,
        store: Store,
        tokens: TokenDesk,
        hints: HintSender
    ) -> SessionTools {
        let (limits, log, metrics) = (configuration.limits, platform.log, platform.metrics)
        let registry = ConversationRegistry()
        return SessionTools(
            store: store,
            workers: platform.workers,
            registry: registry,
            index: SessionIndex(),
            leases: LeaseKeeper(
                session: platform.session,
                store: store,
                registry: registry,
                replica: configuration.replica,
                limits: limits,
                capacity: platform.lockCapacity,
                reactor: platform.reactor,
                log: log,
                metrics: metrics
            ),
            feed: EventFeed(
                store: store,
                tokens: tokens,
                hints: hints,
                replica: configuration.replica,
                limits: limits,
                reactor: platform.reactor,
                log: log
            ),
            approvals: ApprovalDesk(
                store: store,
                poll: limits.approvalPoll,
                reactor: platform.reactor,
                log: log,
                metrics: metrics
            ),
            accounts: AccountSlots(),
            places: FairPlaces(registry: registry),
            wakeDispatcher: WakeUp(reactor: platform.reactor),
            reactor: platform.reactor,
            replica: configuration.replica,
            limits: limits,
            log: log,
            metrics: metrics
        )
    }

    private static func presence(
        _ configuration: GatewayConfiguration,
        store: Store,
        circuits: CircuitBoard,
        leases: LeaseKeeper,
        sweeper: Sweeper,
        isDraining: @escaping @Sendable () -> Bool,
        drain: @escaping @Sendable () -> Void,
        hostAccounts: @escaping @Sendable () async throws -> Void,
        tools: SessionTools
    ) -> ReplicaPresence {
        ReplicaPresence(
            store: store,
            circuits: circuits,
            leases: leases,
            sweeper: sweeper,
            wakeDispatcher: tools.wakeDispatcher,
            workers: { tools.workers.placesTaken },
            isDraining: isDraining,
            drain: drain,
            hostAccounts: hostAccounts,
            configuration: configuration,
            log: tools.log
        )
    }

    /// Acts on hints from other replicas.
    private func listen(on session: DirectSession) {
        guard self.configuration.usesHints else { return }
        let (registry, feed, approvals) = (self.registry, self.feed, self.approvals)
        let (intake, spares) = (self.intake, self.spares)
        session.onNotification { _, payload in
            switch HintMessage(payload: payload) {
            case .look(let number): registry.session(number)?.look()
            case .cancel(let number, let turn): registry.session(number)?.cancelRunningTurn(turn)
            case .interrupt(let number, let turn):
                registry.session(number)?.cancelRunningTurn(turn, isInterrupted: true)
            case .approval(let number, let id):
                approvals.wake(id)
                feed.hinted(number)
            case .follow(let number, let replica): feed.interested(replica, in: number)
            case .events(let number): feed.hinted(number)
            case .drain: Self.drain(intake, spares)
            case nil: break
            }
        }
    }

    /// Not ready and no new claims from now on, idle conversations are handed over. Before a stop, or long before.
    package func beginDraining() {
        Self.drain(self.intake, self.spares)
    }

    private static func drain(_ intake: TurnIntake, _ spares: SpareKeeper) {
        intake.drain()
        spares.look()
    }

    /// Leaves without waiting for running turns: each fails, or goes back to the queue where its agent allows another
    /// run, and all workers are ended.
    package func leaveAtOnce() {
        self.dispatcher.leaveAtOnce()
    }
}
