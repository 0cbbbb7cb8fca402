import Domain
import Faults
import Postgres
import Runtime
import Store

/// Accepts turns: durable before anybody is told, idempotent by client key, and handed to a worker in the same round
/// trip when this replica has an idle one for the conversation.
final class TurnIntake: Sendable {
    private let store: Store
    private let agents: AgentDirectory
    private let index: SessionIndex
    private let hints: HintSender
    private let feed: EventFeed
    private let wakeDispatcher: WakeUp
    private let configuration: GatewayConfiguration
    private let metrics: Metrics
    private let draining = Locked(false)

    init(
        store: Store,
        agents: AgentDirectory,
        index: SessionIndex,
        hints: HintSender,
        feed: EventFeed,
        wakeDispatcher: WakeUp,
        configuration: GatewayConfiguration,
        metrics: Metrics
    ) {
        self.store = store
        self.agents = agents
        self.index = index
        self.hints = hints
        self.feed = feed
        self.wakeDispatcher = wakeDispatcher
        self.configuration = configuration
        self.metrics = metrics
    }

    /// Whether this replica is leaving. It still accepts turns: they are durable, and another replica serves them.
    var isDraining: Bool { self.draining.withLock { $0 } }

    /// A conversation has become ready otherwise than by a submission.
    func lookForWork() {
        self.wakeDispatcher.signal()
    }

    /// From now on `isDraining`; again is harmless.
    func drain() {
        self.draining.withLock { $0 = true }
        self.wakeDispatcher.signal()
    }

    func submit(_ request: TurnRequest, org: OrganizationID) async throws -> SubmittedTurn {
        guard let agent = try await reaching({ try await self.agents.agent(org: org, agent: request.agent) }) else {
            throw GatewayError.agentNotConfigured(request.agent.text)
        }
        var submission = try self.submission(request, org: org, agent: agent.configuration)
        let session = self.session(for: request, org: org, agentVersion: agent.version)
        if PlantedBug.joinedKeys.isPlanted, let key = session?.key {
            (submission.agent, submission.conversation) = (key.agent, key.conversation)
        }
        let handOver = session?.reserve()
        let intake: Intake
        do {
            intake = try await reaching {
                do {
                    return try await self.store.accept(submission, handOver: handOver)
                } catch let error as PostgresError where error.isOutcomeUnknown {
                    throw GatewayError.acceptanceUnknown(submission.id)
                }
            }
        } catch {
            // Whether it was committed may be unknown; the session's look finds out.
            if handOver != nil { session?.decide(nil) }
            session?.look()
            throw error
        }
        if handOver != nil { session?.decide(intake.armed) }
        return try self.conclude(intake, session: session, request: request)
    }

    private func submission(
        _ request: TurnRequest,
        org: OrganizationID,
        agent: AgentConfiguration
    ) throws -> TurnSubmission {
        var submission = TurnSubmission(
            id: try NewID.make(),
            org: org,
            agent: request.agent,
            conversation: request.conversation,
            run: request.conversation == nil ? nil : try NewID.make(),
            input: request.input,
            queueLimit: self.configuration.limits.queuedTurnsPerConversation
        )
        submission.clientKey = PlantedBug.keyForgotten.isPlanted ? nil : request.clientKey
        submission.bodyHash = request.bodyHash
        submission.deadlineSeconds = request.deadlineSeconds
        submission.metadata = request.metadata
        submission.note = request.note
        submission.onBusy = request.onBusy ?? agent.onBusy
        submission.submitter = request.submitter
        return submission
    }

    /// The live session of the conversation, unless its agent has been changed since it started.
    private func session(for request: TurnRequest, org: OrganizationID, agentVersion: Int64) -> ConversationSession? {
        guard let conversation = request.conversation else { return nil }
        let key = ConversationKey(org: org, agent: request.agent, conversation: conversation)
        guard let session = self.index[key] else { return nil }
        if session.agentVersion < agentVersion { session.end(.reconfigured) }
        return session
    }

    private func conclude(
        _ intake: Intake,
        session: ConversationSession?,
        request: TurnRequest
    ) throws -> SubmittedTurn {
        self.metrics.count(
            "turnpike_turns_submitted_total",
            "Turns submitted, by verdict.",
            labels: ["verdict": intake.verdict.rawValue]
        )
        switch intake.verdict {
        case .deleted: throw GatewayError.deleted
        case .conflict: throw GatewayError.idempotencyConflict(intake.turn)
        case .full: throw GatewayError.queueFull(limit: self.configuration.limits.queuedTurnsPerConversation)
        case .busy: throw GatewayError.conversationBusy(ahead: intake.ahead, wait: intake.wait)
        case .quota:
            guard let (cap, limit) = intake.refusal else { throw PostgresError(.decoding, "no cap refused the turn") }
            throw GatewayError.quotaReached(cap, limit: limit)
        case .accepted: self.wake(intake, session: session)
        case .repeated: break
        }
        guard let turn = intake.turn, let state = intake.state else {
            throw PostgresError(.decoding, "an accepted turn has no identity")
        }
        return SubmittedTurn(
            id: turn,
            number: intake.number,
            seq: intake.seq,
            state: intake.armed?.id == turn ? .running : state,
            ahead: intake.ahead,
            wait: intake.armed?.id == turn || state != .queued ? .zero : intake.wait,
            isRepeat: intake.verdict == .repeated,
            logStart: max(0, intake.firstEvent - 1)
        )
    }

    /// A turn waits in a conversation, from elsewhere than a client's request. Only saves waiting for a poll.
    func announce(_ number: ConversationNumber, owner: ReplicaID?) {
        self.feed.changed(number)
        if let owner {
            self.hints.send(.look(number), to: owner)
        } else if !self.isDraining {
            self.wakeDispatcher.signal()
        }
    }

    /// Tells whoever should act on the new turn. All of this only saves waiting for a poll.
    private func wake(_ intake: Intake, session: ConversationSession?) {
        self.feed.changed(intake.number, by: intake.events)
        if intake.armed != nil { return }
        guard let owner = intake.owner else {
            // Nobody's, even if a session of it was here a moment ago.
            if !self.isDraining { self.wakeDispatcher.signal() }
            return
        }
        if let session, session.number == intake.number {
            if let turn = intake.interrupted { session.cancelRunningTurn(turn, isInterrupted: true) }
            session.look()
        } else if owner != self.configuration.replica {
            if let turn = intake.interrupted { self.hints.send(.interrupt(intake.number, turn), to: owner) }
            self.hints.send(.look(intake.number), to: owner)
        }
    }
}
