import Domain
import Faults
import Postgres
import Runtime
import Store
import Workers

/// One conversation on this replica, from the moment its term began until its lease is let go: the spine.
///
/// Lifetimes nest: the lease outlives the worker, the worker outlives its turns, and each turn is settled before the
/// next begins. Whatever ends a session, the order is the same: the running turn is settled (or was fenced off), the
/// worker's tree is gone, the registry entry goes, the lock is let go, and only then is the conversation free for a
/// new claim.
final class ConversationSession: Sendable {
    let number: ConversationNumber
    /// Nil for a row that holds one turn only: a direct one, or one whose key is incomplete.
    let key: ConversationKey?
    let agentVersion: Int64
    let fence: Fence

    let claim: Claim
    let agent: AgentConfiguration
    let deployment: DeploymentID
    /// The workspace that is the conversation's by name; nil where its number names it.
    let workspace: WorkspaceID?
    /// Who the worker acts as; nil when its agent needs no account.
    let account: HostedAccount?
    let tools: SessionTools
    let log: Logger
    let desk = Locked(Desk())
    /// Raised when the session must come down at once: its desk says why.
    let isAborted = StopSignal()
    /// Raised when a worker whose start has not begun is wanted no more.
    let isLeaving = StopSignal()
    let backends: BackendKeeper

    init(
        claim: Claim,
        agent: AgentConfiguration,
        fence: Fence,
        deployment: DeploymentID,
        workspace: WorkspaceID?,
        account: HostedAccount? = nil,
        tools: SessionTools
    ) {
        self.number = claim.number
        self.claim = claim
        self.agent = agent
        self.agentVersion = claim.agentVersion
        self.fence = fence
        self.deployment = deployment
        self.workspace = workspace
        self.account = account
        self.tools = tools
        if let org = claim.org, let conversation = claim.conversation {
            self.key = ConversationKey(org: org, agent: claim.agent, conversation: conversation)
        } else {
            self.key = nil
        }
        self.log = tools.log.with([
            "conversation": .text(claim.conversation?.text ?? "-"), "org": .text(claim.org?.text ?? "-"),
            "agent": .text(claim.agent.text), "number": .number(claim.number.value), "epoch": .number(fence.epoch),
        ])
        self.backends = BackendKeeper(store: tools.store, fence: fence, log: self.log, metrics: tools.metrics) {
            tools.feed.changed(claim.number)
        }
    }

    // MARK: - The story

    /// Serves the conversation: starts its worker, performs `first` and every turn after it, and leaves nothing
    /// behind. `place` was reserved for the worker, `permit` is the guard's leave to start it.
    func run(first: ArmedTurn, head: Int64, permit: consuming SpawnPermit, place: WorkerPlace) async {
        self.note(running: first)
        let readsSnapshots = permit.mayWriteSnapshots
        let chain = readsSnapshots ? await self.hydrate(for: first, head: head) : SnapshotChain.empty
        guard let chain, let transcript = await self.transcript(before: first, after: chain, head: head) else {
            place.release()
            return await self.leave(permit.surrender(), .finished)
        }
        // An agent may have kept snapshots before its store mode was changed; a settlement compares the head they left.
        let isWhole = readsSnapshots && !PlantedBug.hydrateBeforeBump.isPlanted
        var shape = isWhole ? chain.shape : .untouched(head: head)
        let wait = StartWait(askedEvery: .seconds(max(1, self.agent.limits.progressSeconds / 4)), until: self.isLeaving)
        {
            await self.touch(first)
        } begun: { [weak self] worker in
            self?.attend(worker)
        }
        switch await self.tools.workers.start(permit, self.order(chain, transcript), in: place, waiting: wait) {
        case .failed(let error, let lease):
            await self.leave(lease, await self.unstarted(first, error, head: head))
        case .started(let worker):
            async let noted: Void = self.note(pid: worker.pid)
            let ending = await self.serve(worker, first: first, shape: &shape)
            await noted
            let lease = await worker.end()
            await self.leave(lease, ending)
        }
    }

    /// Performs turns until there is a reason to end.
    private func serve(_ worker: Worker, first: ArmedTurn, shape: inout ChainShape) async -> SessionEnding {
        self.attend(worker)
        worker.whenExited { [weak self] _ in self?.end(.workerExited) }
        var turn: ArmedTurn? = first
        while true {
            if let current = turn {
                switch await self.perform(current, by: worker, shape: &shape) {
                case .next(let next):
                    turn = next
                case .end(let ending):
                    return ending
                }
            } else {
                switch await self.nextStep() {
                case .perform(let handed): turn = handed
                case .look: turn = await self.takeNext()
                case .end(let ending): return ending
                }
            }
        }
    }

    private enum Performed {
        case next(ArmedTurn?)
        case end(SessionEnding)
    }

    /// One turn: perform, then settle. The next turn, if one waits, is handed over by the settlement.
    private func perform(_ turn: ArmedTurn, by worker: Worker, shape: inout ChainShape) async -> Performed {
        self.note(running: turn)
        defer { self.note(running: nil) }
        if !worker.isUsable, turn.attempt == 1 {
            // It ended between the hand-over and now, so it never saw the turn: a fresh worker may. Once only, or a
            // worker that always ends right after its start would spin.
            return .end(await self.requeue(turn, events: [], message: "the worker ended before it got the turn"))
        }
        let relay = self.relay(for: turn)
        var result = await self.converse(turn, worker: worker, relay: relay, shape: shape)
        if let update = result.snapshot, !shape.accepts(update) {
            result = TurnResult(
                outcome: .failed(
                    .snapshotFailed,
                    message: "the worker gave a delta where there is no base",
                    partial: ""
                ),
                snapshot: nil,
                workerIsUsable: false
            )
        }
        if let abortion = self.abortion, result.isAbandoned(by: abortion) {
            let events = relay.close()
            return .end(await self.abandon(turn, abortion, result.outcome, events: events, head: shape.head))
        }
        if let parking = result.parking {
            return .end(await self.park(turn, parking, result, events: relay.close(), head: shape.head))
        }
        let recycling = result.workerIsUsable ? self.prove(worker) : nil
        if self.tools.places.yields(self.claim.claimant) { self.end(.evicted) }
        let isLast = self.key == nil || turn.run == nil || !result.workerIsUsable || recycling != nil
        if case .failed(.workerExited, let message, _) = result.outcome, turn.attempt <= self.agent.retries {
            return .end(await self.requeue(turn, events: relay.close(), message: message))
        }
        if case .failed(.noCapacity, let message, "") = result.outcome, await self.reroute(turn, message: message) {
            return .end(.finished)
        }
        let settlement = Settlement(
            turn: turn.id,
            seq: turn.seq,
            outcome: self.named(result.outcome, turn),
            parent: shape.head,
            snapshot: result.snapshot,
            events: relay.close(),
            isDeadLetter: turn.attempt > 1 && result.outcome.state == .failed
        )
        guard let settled = await self.settle(settlement, next: isLast || self.wantsToEnd ? nil : self.handOver())
        else {
            return .end(self.abortion ?? .fenced)
        }
        if let update = result.snapshot { shape.append(update, seq: turn.seq) }
        if recycling != nil { return .end(.recycled) }
        if isLast { return .end(result.workerIsUsable ? .finished : .workerExited) }
        return .next(settled.next)
    }

    /// The worker can take another turn, so its agent works. Says whether it should be replaced all the same.
    private func prove(_ worker: Worker) -> Recycling? {
        self.tools.workers.proved(org: self.claim.org, agent: self.claim.agent)
        guard let recycling = worker.recycling else { return nil }
        self.tools.metrics.count(
            "turnpike_workers_recycled_total",
            "Workers replaced between two turns, by reason.",
            labels: ["reason": recycling.rawValue]
        )
        self.log.info("worker is recycled", ["reason": .text(recycling.rawValue)])
        return recycling
    }

    /// Lets the worker perform while the relay writes what it says.
    private func converse(
        _ turn: ArmedTurn,
        worker: Worker,
        relay: EventRelay,
        shape: ChainShape
    ) async -> TurnResult {
        if turn.cancelRequested || self.takeEarlyCancel() {
            return TurnResult(outcome: .cancelled(partial: ""), snapshot: nil, workerIsUsable: true)
        }
        let wantsBase = shape.wantsBase(maximumDeltas: self.agent.limits.snapshotDeltas)
        var resumption: Resumption?
        if turn.isResumed {
            switch await self.resumption(of: turn) {
            case .success(let found): resumption = found
            case .failure(let failure):
                let outcome = Outcome.failed(.snapshotFailed, message: failure.message, partial: "")
                return TurnResult(outcome: outcome, snapshot: nil, workerIsUsable: true)
            }
        }
        let begun = Locked<Set<String>>([])
        let model = await self.openModel(for: turn, by: worker)
        return await withTaskGroup(of: Void.self) { [resumption] group in
            group.addTask {
                await relay.run(lastActivity: { worker.lastActivity }, onFenced: { self.fenceOff() })
            }
            let result = await worker.perform(
                turn,
                wantsBase: wantsBase,
                resumption: resumption,
                token: model?.token,
                deadline: self.deadline,
                ask: { question in await self.answer(question, in: turn, after: relay) },
                note: { note in await self.note(note, in: turn, after: relay, begun: begun) },
                emit: { event in self.take(event, relay) }
            )
            relay.finish()
            await group.waitForAll()
            await self.close(model?.turn)
            return result
        }
    }

    // MARK: - Values

    private func order(_ chain: SnapshotChain, _ transcript: Transcript?) -> WorkerOrder {
        WorkerOrder(
            org: self.claim.org,
            agent: self.claim.agent,
            conversation: self.claim.conversation,
            number: self.number,
            configuration: self.agent,
            deployment: self.deployment,
            epoch: self.fence.epoch,
            chain: chain,
            transcript: transcript,
            workspace: self.workspace,
            accountEnvironment: self.account?.environment ?? [:]
        )
    }

    func handOver() -> HandOver {
        HandOver(
            fence: self.fence,
            deployment: self.deployment,
            replica: self.tools.replica,
            turnSeconds: self.agent.limits.turnSeconds,
            progressSeconds: self.agent.limits.progressSeconds
        )
    }

    private func relay(for turn: ArmedTurn) -> EventRelay {
        let (feed, leases, number) = (self.tools.feed, self.tools.leases, self.number)
        return EventRelay(
            store: self.tools.store,
            fence: self.fence,
            turn: turn.id,
            progressSeconds: self.agent.limits.progressSeconds,
            limits: self.tools.limits,
            reactor: self.tools.reactor,
            // That bug has neither guard: with this one it would do no harm.
            isTrusted: { leases.isTrusted || PlantedBug.unfencedEvents.isPlanted },
            changed: { feed.changed(number) }
        )
    }

    /// The outcome by its right name: of a turn whose last allowed run failed, and of one that a newer turn stopped.
    private func named(_ outcome: Outcome, _ turn: ArmedTurn) -> Outcome {
        switch outcome {
        case .failed(.workerExited, let message, let partial) where turn.attempt > 1:
            .failed(.retriesExhausted, message: "run \(turn.attempt): \(message)", partial: partial)
        case .cancelled(let partial) where self.isInterrupted:
            .failed(.interrupted, message: FailureCode.interrupted.meaning, partial: partial)
        default: outcome
        }
    }
}
