import Domain
import Runtime
import Store
import Workers

/// Finds conversations with work and opens sessions for them, within this replica's room.
///
/// Every conversation that is claimed is answered for: it gets a session, goes back to the queue with a delay and a
/// reason, or its turn fails with a dead letter. Nothing is dropped.
final class Dispatcher: Service {
    let name = "dispatcher"
    let tools: SessionTools
    private let intake: TurnIntake
    private let sessionsMayEnd: Duration
    /// Claims that are being served, those whose task has not begun included.
    private let serving = Locked(0)
    private let hurry = StopSignal()
    /// Whose conversation was claimed last; nil when there was none.
    private let last = Locked<Claimant?>(nil)

    init(tools: SessionTools, intake: TurnIntake) {
        self.tools = tools
        self.intake = intake
        self.sessionsMayEnd = tools.limits.drainGrace
    }

    private static let claimsAtOnce = 32
    /// What a full replica leaves to the others before it looks at it.
    private static let fullReplicaPatience: Duration = .seconds(2)

    func run(until stop: StopSignal) async throws {
        await withDiscardingTaskGroup { group in
            while !stop.isRaised {
                guard !self.intake.isDraining else {
                    await self.handOver(until: stop)
                    break
                }
                let hadMore = await self.dispatch(into: &group)
                if !hadMore { await self.tools.wakeDispatcher.wait(atMost: self.pollDelay, or: stop) }
            }
            await self.drain()
        }
    }

    /// The poll interval with some jitter, so that replicas do not look in step.
    private var pollDelay: Duration {
        self.tools.limits.pollInterval * Double.random(in: 0.8...1.2)
    }

    /// Claims once and starts serving what was claimed; true when there may be more.
    private func dispatch(into group: inout DiscardingTaskGroup) async -> Bool {
        // Without its lock session this replica can promise nothing: it leaves everything to the others.
        guard self.tools.leases.isTrusted else {
            try? await Task.sleep(for: .milliseconds(50))
            return true
        }
        let free = self.tools.workers.freePlaces
        let isFull = free <= 0
        // No more than there are places for: what is claimed in vain has lost its turn.
        let limit = isFull ? 4 : min(free, Self.claimsAtOnce)
        let last = self.last.withLock { $0 }
        do {
            let claims = try await self.tools.store.claim(
                limit: limit,
                hold: self.tools.limits.claimHold,
                readyFor: isFull ? Self.fullReplicaPatience : .zero,
                acting: self.accountsWithRoom(),
                // Where there are enough places nobody has to share them.
                held: free > Self.claimsAtOnce ? [:] : self.tools.places.held,
                after: last,
                isThorough: last == nil
            )
            self.last.withLock { $0 = claims.last?.claimant }
            for claim in claims {
                self.serving.withLock { $0 += 1 }
                group.addTask {
                    await self.serve(claim)
                    self.serving.withLock { $0 -= 1 }
                }
            }
            return claims.count == limit
        } catch {
            self.tools.log.warning("claiming failed", ["error": .error(error)])
            return false
        }
    }

    /// The workers it has places for.
    var workers: WorkerPool { self.tools.workers }

    // MARK: - One claim

    private func serve(_ claim: Claim) async {
        // Claimed while the drain began: the others are there for it.
        guard !self.intake.isDraining else { return await self.abandon(claim) }
        guard self.tools.registry.enter(claim.number) else {
            // Ours already: a session that is just leaving. Its release makes the conversation ready again.
            return await self.putBack(claim, .lockBusy)
        }
        guard let next = claim.next else {
            self.tools.registry.leave(claim.number)
            return await self.abandon(claim)
        }
        guard let agent = claim.agentConfiguration, agent.problems.isEmpty else {
            self.tools.registry.leave(claim.number)
            return await self.giveUp(claim, next, .agentNotConfigured, FailureCode.agentNotConfigured.meaning)
        }
        if let error = self.tools.workers.refusalToStart(
            org: claim.org,
            agent: claim.agent,
            version: claim.agentVersion
        ) {
            self.tools.registry.leave(claim.number)
            return await self.putBack(claim, .circuitOpen(error))
        }
        // Given back when all is over, the session's own end included.
        let account: HostedAccount?
        switch self.takeAccount(for: claim, agent) {
        case .none: account = nil
        case .taken(let hosted): account = hosted
        case .busy:
            self.tools.registry.leave(claim.number)
            return await self.putBack(claim, .accountBusy)
        }
        defer { self.tools.accounts.giveBack(account) }
        let decision = SpawnGuard.decide(claim, next, agent)
        switch consume decision {
        case .refuse(let refusal):
            self.tools.registry.leave(claim.number)
            await self.putBack(claim, .refused(refusal))
        case .spawn(let permit):
            await self.holdWithoutLock(claim, agent, permit, account)
        case .takeLease(let demand):
            await self.holdWithLease(claim, agent, demand, account)
        }
    }

    private func holdWithLease(
        _ claim: Claim,
        _ agent: AgentConfiguration,
        _ demand: consuming LeaseDemand,
        _ account: HostedAccount?
    ) async {
        guard let place = self.reserve(claim, agent) else {
            self.tools.registry.leave(claim.number)
            return await self.putBack(claim, .atCapacity)
        }
        guard let deployment = self.newDeployment() else { return await self.unserved(claim, place) }
        let acquired = await self.tools.leases.acquire(
            demand,
            of: claim,
            deployment: deployment,
            workspace: place.workspace,
            account: account?.id,
            limits: agent.limits
        )
        switch consume acquired {
        case .busy:
            self.tools.registry.leave(claim.number)
            place.release()
            await self.putBack(claim, await self.isBusy(account) ? .accountBusy : .lockBusy)
        case .atCapacity:
            self.tools.registry.leave(claim.number)
            place.release()
            self.evictIdleSession { $0.key != nil }
            await self.putBack(claim, .atCapacity)
        case .unavailable(let reason):
            self.tools.log.warning("no lease", ["number": .number(claim.number.value), "reason": .text(reason)])
            await self.unserved(claim, place)
            await self.abandon(claim)
        case .granted(let lease, let head, let workspace, let armed):
            let session = ConversationSession(
                claim: claim,
                agent: agent,
                fence: lease.fence,
                deployment: deployment,
                workspace: workspace,
                account: account,
                tools: self.tools
            )
            await self.serve(session, armed, head: head, permit: SpawnPermit(under: lease), place)
        }
    }

    /// For a turn that cannot write a snapshot: a fence, so that its events and outcome are the only ones, but no lock.
    private func holdWithoutLock(
        _ claim: Claim,
        _ agent: AgentConfiguration,
        _ permit: consuming SpawnPermit,
        _ account: HostedAccount?
    ) async {
        guard let place = self.reserve(claim, agent) else {
            self.tools.registry.leave(claim.number)
            return await self.putBack(claim, .atCapacity)
        }
        guard let deployment = self.newDeployment() else { return await self.unserved(claim, place) }
        do {
            let term = try await self.tools.store.term(
                of: claim,
                replica: self.tools.replica,
                deployment: deployment,
                workspace: claim.conversation == nil ? nil : place.workspace,
                account: account?.id,
                agent.limits
            )
            guard let term else {
                self.tools.registry.leave(claim.number)
                place.release()
                if await self.isBusy(account) { await self.putBack(claim, .accountBusy) }
                return
            }
            let session = ConversationSession(
                claim: claim,
                agent: agent,
                fence: term.fence,
                deployment: deployment,
                workspace: term.workspace,
                account: account,
                tools: self.tools
            )
            await self.serve(session, term.armed, head: term.head, permit: permit, place)
        } catch {
            self.tools.log.warning("no term", ["number": .number(claim.number.value), "error": .error(error)])
            await self.unserved(claim, place)
        }
    }

    private func serve(
        _ session: ConversationSession,
        _ armed: ArmedTurn?,
        head: Int64,
        permit: consuming SpawnPermit,
        _ place: WorkerPlace
    ) async {
        self.tools.feed.changed(session.number)
        guard let armed else {
            // The queue emptied between the claim and the term: cancelled meanwhile.
            place.release()
            return await session.leave(permit.surrender(), .finished)
        }
        self.tools.feed.remember(session.number)
        self.tools.registry.publish(session)
        self.tools.index.add(session)
        await session.run(first: armed, head: head, permit: permit, place: place)
    }

    private func reserve(_ claim: Claim, _ agent: AgentConfiguration) -> WorkerPlace? {
        if let place = self.tools.workers.reserve(
            org: claim.org,
            agent: claim.agent,
            maximum: agent.limits.maxWorkers,
            version: claim.isNew ? claim.agentVersion : nil
        ) {
            self.tools.places.served(claim.claimant)
            return place
        }
        // Where only the agent is at its limit, another agent's worker would be ended for nothing.
        let isFull = self.tools.workers.isFull
        self.evictIdleSession { isFull || $0.claim.claimant == claim.claimant }
        return nil
    }

    private func newDeployment() -> DeploymentID? {
        try? NewID.make(DeploymentID.self)
    }

    /// Ends the session that has been idle longest of those that would help, to make room for one that has work.
    func evictIdleSession(where helps: (ConversationSession) -> Bool) {
        let idle = self.tools.registry.sessions().filter(helps).compactMap { session in
            session.idleSince.map { (since: $0, session: session) }
        }
        idle.min { $0.since < $1.since }?.session.end(.evicted)
    }

    // MARK: - Claims that get no session

    func putBack(_ claim: Claim, _ deferral: Deferral) async {
        guard let next = claim.next else { return await self.abandon(claim) }
        self.tools.metrics.count(
            "turnpike_deferrals_total",
            "Claims put back into the queue, by reason.",
            labels: ["reason": deferral.label]
        )
        let (verdict, beginsAnew) = deferral.ruling(on: claim, next, limits: self.tools.limits)
        switch verdict {
        case .giveUp:
            await self.giveUp(claim, next, deferral.failureCode, deferral.description)
        case .lookAgain(let delay):
            // Who is owed a place stays ready, to be the first once there is one.
            let isOwed = deferral == .atCapacity && self.tools.workers.isFull && self.tools.places.wish(claim.claimant)
            await self.writing("put back") {
                try await self.tools.store.putBack(
                    claim.number,
                    turn: next.id,
                    reason: deferral.description,
                    delay: isOwed ? .zero : delay * Double.random(in: 0.8...1.2),
                    beginsAnew: beginsAnew
                )
            }
        }
    }

    private func giveUp(_ claim: Claim, _ next: QueuedTurn, _ code: FailureCode, _ message: String) async {
        await self.writing("give up") {
            let failed = try await self.tools.store.failQueued(
                claim.number,
                turn: next.id,
                code: code,
                message: message
            )
            guard failed else { return }
            self.tools.feed.changed(claim.number)
            self.tools.metrics.count(
                "turnpike_turns_total",
                "Turns settled by this replica, by outcome.",
                labels: ["outcome": code.rawValue]
            )
            self.tools.wakeDispatcher.signal()
        }
    }

    private func abandon(_ claim: Claim) async {
        await self.writing("abandon") { try await self.tools.store.abandonClaim(claim.number) }
    }

    /// The claim runs out by itself and somebody looks again.
    private func unserved(_ claim: Claim, _ place: WorkerPlace) async {
        self.tools.registry.leave(claim.number)
        place.release()
    }

    /// A write about a claim. When it fails the claim simply runs out, and whoever claims next writes it again.
    private func writing(_ what: String, _ body: () async throws -> Void) async {
        do {
            try await body()
        } catch {
            self.tools.log.warning("a claim is left to run out", ["write": .text(what), "error": .error(error)])
        }
    }

    // MARK: - Leaving

    /// From now on draining waits for no turn.
    func leaveAtOnce() {
        self.hurry.raise()
    }

    /// Asked to drain, but not to end yet: no new claims, idle sessions end now, busy ones after their turn, however long
    /// that takes.
    private func handOver(until stop: StopSignal) async {
        self.tools.log.info("handing over", ["sessions": .count(self.tools.registry.count)])
        while !stop.isRaised {
            for session in self.tools.registry.sessions() { session.end(.draining) }
            await self.tools.wakeDispatcher.wait(atMost: .milliseconds(100), or: stop)
        }
    }

    /// No new claims; idle sessions end now, busy ones after their turn, and what is left after the grace is killed.
    private func drain() async {
        let sessions = self.tools.registry.sessions()
        self.tools.log.info("draining", ["sessions": .count(sessions.count)])
        for session in sessions { session.end(.draining) }
        let deadline = ContinuousClock.now + self.sessionsMayEnd
        // Not the registry's count: what was claimed last may not have entered it yet, and would never be told.
        while self.serving.withLock({ $0 }) > 0, !Task.isCancelled {
            let isOver = ContinuousClock.now >= deadline || self.hurry.isRaised
            for session in self.tools.registry.sessions() {
                if isOver { session.abort(.draining) } else { session.end(.draining) }
            }
            try? await Task.sleep(for: .milliseconds(20))
        }
        for session in self.tools.registry.sessions() { session.abort(.draining) }
    }
}
