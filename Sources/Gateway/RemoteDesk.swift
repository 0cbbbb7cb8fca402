package import Domain
import Postgres
import Runtime
import Store

/// What a worker outside the gateway can do: claim turns of its account, and answer for them. Scoped to that worker.
///
/// Nothing of a run is kept in memory: any replica takes any of the worker's requests, and what makes a write count is
/// the fence that its ticket stands for. A request whose answer was lost is sent again and changes nothing the second time.
package struct RemoteDesk: Sendable {
    /// Who asks.
    package let worker: RemoteWorker
    let store: Store
    let feed: EventFeed
    let limits: Limits
    let isDraining: @Sendable () -> Bool
    let log: Logger
    let metrics: Metrics

    // MARK: - Claiming

    /// The turn that this claim got, waited for at most `patience`; nil when there is none, or when what it got is over by
    /// now. The same key again gets the same turn.
    package func claim(_ key: String, leaseSeconds: Int, patience: Duration) async throws -> RemoteAssignment? {
        if let known = try await reaching({ try await self.store.remoteRun(of: self.worker, claimKey: key) }) {
            return try await self.assignment(known)
        }
        let demand = RemoteDemand(worker: self.worker, key: key, leaseSeconds: leaseSeconds)
        let deadline = ContinuousClock.now + patience
        while true {
            if let assignment = try await self.take(demand) { return assignment }
            let left = deadline - ContinuousClock.now
            guard left > .zero, !self.isDraining() else { return nil }
            try await Task.sleep(for: min(left, self.limits.remotePoll * Double.random(in: 0.8...1.2)))
        }
    }

    /// Claims once. Every conversation that is claimed is answered for, as the dispatcher does.
    private func take(_ demand: RemoteDemand) async throws -> RemoteAssignment? {
        let claimed = try await reaching {
            try await self.store.claimRemote(
                self.worker,
                hold: self.limits.claimHold,
                presence: self.limits.remotePresence
            )
        }
        guard let claim = claimed else { return nil }
        guard let next = claim.next else {
            try await reaching { try await self.store.abandonClaim(claim.number) }
            return nil
        }
        guard let agent = claim.agentConfiguration, agent.problems.isEmpty else {
            try await self.giveUp(claim, next, .agentNotConfigured, FailureCode.agentNotConfigured.meaning)
            return nil
        }
        guard !next.wasParked else {
            // This protocol has no word for going on with it, and begun anew it would do again what its calls have done.
            let message = "the turn was parked, but a remote worker cannot go on with one"
            try await self.giveUp(claim, next, .protocolError, message)
            return nil
        }
        if let refusal = Self.refusal(claim, next, agent) {
            try await self.putBack(claim, next, .refused(refusal))
            return nil
        }
        return try await self.begin(claim, next, agent, demand)
    }

    /// The spawn guard's word on a turn that may write the shared snapshot and names nothing to guard.
    private static func refusal(
        _ claim: Claim,
        _ next: QueuedTurn,
        _ agent: AgentConfiguration
    ) -> SpawnGuard.Refusal? {
        let decision = SpawnGuard.decide(claim, next, agent)
        switch consume decision {
        case .refuse(let refusal): return refusal
        case .spawn: return nil
        case .takeLease: return nil
        }
    }

    private func begin(
        _ claim: Claim,
        _ next: QueuedTurn,
        _ agent: AgentConfiguration,
        _ demand: RemoteDemand
    ) async throws -> RemoteAssignment? {
        let (id, nonce, deployment) = (
            try NewID.make(ReplicaID.self), try NewID.nonce(), try NewID.make(DeploymentID.self)
        )
        let begun: RemoteRun?
        do {
            begun = try await reaching {
                try await self.store.beginRemoteTerm(
                    claim,
                    for: demand,
                    run: id,
                    nonce: nonce,
                    deployment: deployment,
                    limits: agent.limits
                )
            }
        } catch let error as PostgresError where error.isUniqueViolation(of: "remote_runs_token_claim_key_key") {
            // The worker asked twice at once; the other request got the turn.
            try await reaching { try await self.store.abandonClaim(claim.number) }
            let known = try await reaching { try await self.store.remoteRun(of: self.worker, claimKey: demand.key) }
            guard let known else { return nil }
            return try await self.assignment(known)
        }
        guard let run = begun else {
            if try await reaching({ try await !self.store.hasFreeSlot(self.worker.account) }) {
                try await self.putBack(claim, next, .accountBusy)
            }
            return nil
        }
        self.feed.changed(claim.number)
        guard run.turn != nil else {
            try await reaching { try await self.store.endIdle(run) }
            return nil
        }
        guard let assignment = try await self.assignment(run) else { return nil }
        try await self.report(assignment, limits: agent.limits)
        return assignment
    }

    /// Writes into the log what the worker knows of the turns before, so that no answer is out of context silently.
    private func report(_ assignment: RemoteAssignment, limits: AgentLimits) async throws {
        guard assignment.run.conversation != nil, assignment.turn.seq > 1 else { return }
        let told = assignment.transcript?.exchanges.count ?? 0
        let context: WorkerContext = assignment.state != nil ? .snapshot : told > 0 ? .seeded : .new
        let report = ContextReport(context: context, turns: told, isCut: assignment.transcript?.isCut ?? false)
        let written = try await reaching {
            try await self.store.append(
                [.context(report)],
                turn: assignment.turn.id,
                fence: assignment.run.fence,
                progressSeconds: limits.progressSeconds
            )
        }
        if written.value != nil { self.feed.changed(assignment.run.fence.conversation) }
    }

    private func putBack(_ claim: Claim, _ next: QueuedTurn, _ deferral: Deferral) async throws {
        let reason = deferral.description
        let (verdict, beginsAnew) = deferral.ruling(on: claim, next, limits: self.limits)
        switch verdict {
        case .giveUp: try await self.giveUp(claim, next, deferral.failureCode, reason)
        case .lookAgain(let delay):
            try await reaching {
                let (number, turn) = (claim.number, next.id)
                try await self.store.putBack(number, turn: turn, reason: reason, delay: delay, beginsAnew: beginsAnew)
            }
        }
    }

    private func giveUp(_ claim: Claim, _ next: QueuedTurn, _ code: FailureCode, _ message: String) async throws {
        _ = try await reaching {
            try await self.store.failQueued(claim.number, turn: next.id, code: code, message: message)
        }
        self.feed.changed(claim.number)
    }

    /// All that the worker is told; nil when the run is over.
    private func assignment(_ run: RemoteRun) async throws -> RemoteAssignment? {
        guard run.isLive, let turn = try await reaching({ try await self.store.runningTurn(run.fence) }) else {
            return nil
        }
        guard run.conversation != nil, turn.seq > 1 else {
            return RemoteAssignment(run: run, turn: turn, state: nil, transcript: nil)
        }
        let chain = try await reaching { try await self.store.hydrate(run.fence) }
        if chain.links.count == 1, let base = chain.links.first, base.format == .blob,
            let state = String(validating: base.body, as: UTF8.self)
        {
            return RemoteAssignment(run: run, turn: turn, state: state, transcript: nil)
        }
        let bytes = run.configuration?.limits.seedBytes ?? AgentLimits().seedBytes
        let transcript = try await reaching {
            try await self.store.transcript(run.fence.conversation, before: turn.seq, maximumBytes: bytes)
        }
        return RemoteAssignment(run: run, turn: turn, state: nil, transcript: transcript)
    }

    // MARK: - Writing

    /// The worker's run, which must still hold its conversation. Throws `fenced`.
    func live(_ ticket: RemoteTicket) async throws -> RemoteRun {
        let found = try await reaching { try await self.store.remoteRun(of: self.worker, ticket) }
        guard let run = found, run.isLive else { throw self.fenced(ticket) }
        return run
    }

    func fenced(_ ticket: RemoteTicket) -> GatewayError {
        self.metrics.count("turnpike_remote_fenced_total", "Writes of remote workers that came too late.")
        self.log.warning("a remote worker's write was refused", ["turn": .text(ticket.turn.text)])
        return .fenced
    }

    /// Keeps the lease. Says whether the turn is to be cancelled, and for how long the worker may be silent now.
    package func beat(_ ticket: RemoteTicket) async throws -> (isCancelling: Bool, leaseSeconds: Int) {
        let run = try await self.live(ticket)
        let renewed = try await reaching {
            try await self.store.renew(run, of: self.worker, presence: self.limits.remotePresence)
        }
        guard let isCancelling = renewed.value else { throw self.fenced(ticket) }
        return (isCancelling, run.leaseSeconds)
    }

    /// Writes a batch of events; the batches of a run are numbered from 1 without a gap, and one that was written is not
    /// written again. Throws `invalid` for one that comes too early, and `outputLimit` for one with which the run says more
    /// than its agent may: then the turn has failed with that, as it would here.
    package func append(_ ticket: RemoteTicket, batch: Int64, _ events: [TurnEvent]) async throws {
        let run = try await self.live(ticket)
        guard batch <= run.batch + 1 else {
            throw GatewayError.invalid(member: "batch", problem: "must be \(run.batch + 1), the next of this run")
        }
        let limits = run.configuration?.limits ?? AgentLimits()
        let written = try await reaching {
            try await self.store.append(
                events,
                batch: batch,
                run: run,
                progressSeconds: limits.progressSeconds,
                outputBytes: limits.outputBytes
            )
        }
        switch written {
        case .fenced: throw self.fenced(ticket)
        case .done(.repeated): return
        case .done(.written): self.feed.changed(run.fence.conversation)
        case .done(.tooMuch):
            let said = try await reaching { try await self.store.said(by: run) }
            let outcome = Outcome.failed(.outputLimit, message: Self.tooMuch, partial: said)
            _ = try await self.end(run, ticket, outcome, state: nil)
            throw GatewayError.outputLimit(bytes: limits.outputBytes)
        }
    }

    /// How a run's end was taken.
    package enum Ending: Sendable, Hashable {
        /// This is the turn's outcome.
        case settled
        /// It was the turn's outcome already.
        case repeated
        /// The turn waits for another run.
        case requeued
    }

    /// Ends the run with `outcome`, and keeps `state` as the conversation's where it was completed. A turn that somebody
    /// cancelled, or a newer one interrupted, ends as that, whatever the worker makes of it.
    package func settle(_ ticket: RemoteTicket, _ wanted: Outcome, state: String?) async throws -> Ending {
        guard let run = try await reaching({ try await self.store.remoteRun(of: self.worker, ticket) }) else {
            throw self.fenced(ticket)
        }
        return try await self.end(run, ticket, wanted, state: state)
    }

    private func end(
        _ run: RemoteRun,
        _ ticket: RemoteTicket,
        _ wanted: Outcome,
        state: String?
    ) async throws -> Ending {
        guard run.isLive else { return try await self.endedBefore(run, ticket) }
        let agent = run.configuration
        let outcome = Self.judge(try await self.bounded(wanted, run), run, state: state)
        if case .failed(.workerExited, let message, _) = outcome, run.attempt <= agent?.retries ?? 0 {
            let requeued = try await reaching {
                try await self.store.requeue(run, turn: ticket.turn, code: .workerExited, message: message)
            }
            guard requeued.value != nil else { return try await self.endedBefore(run, ticket) }
            self.feed.changed(run.fence.conversation)
            return .requeued
        }
        if case .failed(.noCapacity, let message, "") = outcome, try await self.reroute(run, ticket.turn, message) {
            return .requeued
        }
        let keeps = outcome.state == .completed && run.conversation != nil && agent?.storeMode == .snapshot
        let settlement = Settlement(
            turn: ticket.turn,
            seq: run.seq,
            outcome: outcome,
            parent: run.head,
            snapshot: keeps ? state.map { SnapshotUpdate(kind: .base, body: Array($0.utf8)) } : nil,
            events: [],
            isDeadLetter: run.attempt > 1 && outcome.state == .failed
        )
        let settled = try await reaching { try await self.store.settle(settlement, run: run) }
        guard settled.value != nil else { return try await self.endedBefore(run, ticket) }
        self.feed.changed(run.fence.conversation)
        self.metrics.count(
            "turnpike_turns_total",
            "Turns settled by this replica, by outcome.",
            labels: ["outcome": outcome.label]
        )
        return .settled
    }

    /// Gives the turn to another account. False when there is none.
    private func reroute(_ run: RemoteRun, _ turn: TurnID, _ message: String) async throws -> Bool {
        let rerouted = try await reaching {
            try await self.store.reroute(
                turn: turn,
                fence: run.fence,
                events: [],
                message: message,
                most: self.limits.reroutes,
                exclusion: self.limits.exclusion
            )
        }
        guard case .done(.some) = rerouted else { return false }
        try await reaching { try await self.store.endIdle(run) }
        self.metrics.count("turnpike_reroutes_total", "Turns given to another account for want of capacity.")
        self.feed.changed(run.fence.conversation)
        return true
    }

    /// What the worker says, within what its agent may say: a reply that is too long gives way to what was streamed of it.
    private func bounded(_ outcome: Outcome, _ run: RemoteRun) async throws -> Outcome {
        guard outcome.text.utf8.count > (run.configuration?.limits ?? AgentLimits()).outputBytes else { return outcome }
        let said = try await reaching { try await self.store.said(by: run) }
        if case .cancelled = outcome { return .cancelled(partial: said) }
        return .failed(.outputLimit, message: Self.tooMuch, partial: said)
    }

    private static let tooMuch = "the turn's output is over the agent's limit"

    /// What is stored of what the worker says.
    private static func judge(_ outcome: Outcome, _ run: RemoteRun, state: String?) -> Outcome {
        if run.isInterrupted {
            return .failed(.interrupted, message: FailureCode.interrupted.meaning, partial: outcome.text)
        }
        if run.isCancelling { return .cancelled(partial: outcome.text) }
        if outcome.state == .completed, let state, state.utf8.count > run.configuration?.limits.snapshotBytes ?? .max {
            return .failed(.snapshotTooLarge, message: FailureCode.snapshotTooLarge.meaning, partial: outcome.text)
        }
        if case .failed(.workerExited, let message, let partial) = outcome, run.attempt > 1,
            run.attempt > run.configuration?.retries ?? 0
        {
            return .failed(.retriesExhausted, message: "run \(run.attempt): \(message)", partial: partial)
        }
        return outcome
    }

    /// Whether this very run had settled the turn: then its answer was lost. Throws `fenced` otherwise.
    private func endedBefore(_ run: RemoteRun, _ ticket: RemoteTicket) async throws -> Ending {
        guard try await reaching({ try await self.store.isSettled(ticket.turn, by: run.fence) }) else {
            throw self.fenced(ticket)
        }
        return .repeated
    }
}
