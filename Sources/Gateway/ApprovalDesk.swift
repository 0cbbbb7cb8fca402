import Domain
import Postgres
import Runtime
import Store
import Workers

/// Where workers of this replica wait for people: stores a question, waits for its decision, gives the answer.
///
/// The database decides; a wake from the API of this replica or a hint from another's only saves waiting for the poll.
final class ApprovalDesk: Sendable {
    private let store: Store
    private let poll: Duration
    private let reactor: Reactor
    private let log: Logger
    private let metrics: Metrics
    /// The bells of the questions that wait here.
    private let waiting = Locked<[ApprovalID: WakeUp]>([:])

    init(store: Store, poll: Duration, reactor: Reactor, log: Logger, metrics: Metrics) {
        self.store = store
        self.poll = poll
        self.reactor = reactor
        self.log = log
        self.metrics = metrics
    }

    /// Asks the people of `org` and waits for them; what to answer the worker. Returns soon when the task is cancelled,
    /// which is how a turn that ended says so. `changed` is called when the conversation's log has something new, and
    /// `fenced` when the conversation turns out to be another holder's.
    func answer(
        _ question: ApprovalQuestion,
        turn: TurnID,
        org: OrganizationID,
        agent: AgentID,
        policy: PermissionPolicy,
        fence: Fence,
        progressSeconds: Int,
        changed: () -> Void,
        fenced: () -> Void
    ) async -> PermissionAnswer {
        // Hung up before anybody can decide, so that no decision rings unheard.
        let bell = WakeUp(reactor: self.reactor)
        self.waiting.withLock { $0[question.id] = bell }
        defer { self.waiting.withLock { _ = $0.removeValue(forKey: question.id) } }
        let first = await self.persistently { () -> Fenced<ApprovalStanding?> in
            try await self.store.askApproval(
                question,
                turn: turn,
                org: org,
                agent: agent,
                policy: policy,
                fence: fence,
                progressSeconds: progressSeconds
            )
        }
        guard let first else { return .cancelled }
        guard case .done(let asked) = first else {
            fenced()
            return .cancelled
        }
        guard let standing = asked else { return policy.answer(question.options.map(PermissionOption.init)) }
        changed()
        let end = await self.wait(for: standing, bell)
        self.metrics.count(
            "turnpike_approvals_total",
            "Questions of workers that stopped waiting on this replica, by how they stood then.",
            labels: ["state": end?.state.rawValue ?? "abandoned"]
        )
        changed()
        return Self.answer(end, question)
    }

    /// The worker's answer to a question that stands so. Expiry is no denial: the log tells the two apart, but a worker
    /// knows only yes and no.
    private static func answer(_ standing: ApprovalStanding?, _ question: ApprovalQuestion) -> PermissionAnswer {
        switch standing?.state {
        case .decided: standing?.decision.map { .select($0) } ?? .cancelled
        case .expired: ApprovalWish.deny.choice(of: question.options).map { .select($0) } ?? .cancelled
        case .withdrawn, .pending, nil: .cancelled
        }
    }

    /// Whether a standing rule may have a say about this agent's questions; true, too, when the task is cancelled.
    func hasRules(org: OrganizationID, agent: AgentID) async -> Bool {
        await self.persistently { try await self.store.hasRules(org: org, agent: agent) } ?? true
    }

    /// Somebody decided this question, or may have.
    func wake(_ id: ApprovalID) {
        self.waiting.withLock { $0[id] }?.signal()
    }

    /// The standing that ends the wait; nil when there is nothing left to wait for. It may be another question's than the
    /// one that was asked: that of the turn's earlier run.
    private func wait(for first: ApprovalStanding, _ bell: WakeUp) async -> ApprovalStanding? {
        let id = first.id
        self.waiting.withLock { $0[id] = bell }
        defer { self.waiting.withLock { _ = $0.removeValue(forKey: id) } }
        var standing = first
        while true {
            if standing.state == .expired {
                return await self.persistently { try await self.store.expireApproval(id) } ?? nil
            }
            guard standing.state == .pending else { return standing }
            await bell.wait(atMost: self.poll)
            guard !Task.isCancelled else { return nil }
            guard let next = await self.persistently({ try await self.store.approvalStanding(id) }) ?? nil else {
                return nil
            }
            standing = next
        }
    }

    /// Repeats a call until PostgreSQL has answered it; nil when the task is cancelled, or the question cannot be stored.
    private func persistently<Value: Sendable>(_ body: () async throws -> Value) async -> Value? {
        let backoff = Backoff(first: .milliseconds(20), longest: .seconds(1))
        var attempt = 0
        while !Task.isCancelled {
            do {
                return try await body()
            } catch let error as PostgresError where error.isWorthRepeating || error.isOutcomeUnknown {
                self.log.warning("an approval call is repeated", ["error": .error(error)])
                // Cancelled meanwhile: the loop's condition sees it.
                try? await Task.sleep(for: backoff.delay(attempt: attempt))
                attempt += 1
            } catch {
                self.log.error("a question could not be stored", ["error": .error(error)])
                return nil
            }
        }
        return nil
    }
}

extension ConversationSession {
    /// The answer to a worker's question within `turn`, by the organization's rules and the agent's policy.
    func answer(_ question: PermissionQuestion, in turn: ArmedTurn, after relay: EventRelay) async -> PermissionAnswer {
        let options = question.options.map { ApprovalOption(id: $0.id, name: $0.name, kind: $0.kind) }
        // Without an organization there is nobody who could be asked.
        guard let org = self.claim.org else { return self.agent.permissions.answer(question.options) }
        if self.agent.permissions != .ask {
            let mayBeRuled = await self.tools.approvals.hasRules(org: org, agent: self.claim.agent)
            guard mayBeRuled else { return self.agent.permissions.answer(question.options) }
        }
        // Fails closed: what cannot be asked is denied.
        guard let id = try? NewID.make(ApprovalID.self) else { return PermissionPolicy.deny.answer(question.options) }
        let (feed, number) = (self.tools.feed, self.number)
        await relay.settleDown()
        return await self.tools.approvals.answer(
            ApprovalQuestion(
                id: id,
                tool: ApprovalTool(id: question.tool.id, name: question.tool.name),
                arguments: question.tool.input,
                options: options,
                lifetimeSeconds: self.agent.limits.approvalSeconds
            ),
            turn: turn.id,
            org: org,
            agent: self.claim.agent,
            policy: self.agent.permissions,
            fence: self.fence,
            progressSeconds: self.agent.limits.progressSeconds,
            changed: { feed.changed(number) },
            fenced: { self.fenceOff() }
        )
    }
}
