package import Domain
import Workers

/// What came of starting an agent once.
package struct AgentCheck: Sendable {
    /// Why it did not start; nil when it did.
    package let failure: (code: FailureCode, message: String)?
    /// From its place in the queue of starts to ready, or to the failure.
    package let duration: Duration
    /// Of its whole process tree once it was ready; nil without a process.
    package let memoryBytes: Int?
    /// What it said of itself; nil when it says nothing, as a `command` worker.
    package let report: AgentReport?
}

/// Starts agents to see whether they start, outside every conversation: a worker without a lease, in a workspace that
/// goes with it.
struct AgentChecker: Sendable {
    let workers: WorkerPool
    /// However long the agent may take to start otherwise: an HTTP request waits for this.
    private static let patience = 100

    /// What every agent's isolation must be at least.
    var floor: IsolationFloor { self.workers.floor }

    func check(_ agent: AgentID, _ configuration: AgentConfiguration, org: OrganizationID) async throws -> AgentCheck {
        guard let place = self.workers.reserve(org: org, agent: agent, maximum: configuration.limits.maxWorkers) else {
            throw GatewayError.noWorkerPlace
        }
        var configuration = configuration
        configuration.storeMode = .none
        configuration.limits.startSeconds = min(configuration.limits.startSeconds, Self.patience)
        let decision = SpawnGuard.decide(storeMode: .none, run: nil, org: org, agent: agent, conversation: nil)
        guard case .spawn(let permit) = consume decision else {
            place.release()
            throw GatewayError.noWorkerPlace
        }
        let order = WorkerOrder(
            org: org,
            agent: agent,
            conversation: nil,
            number: ConversationNumber(0),
            configuration: configuration,
            deployment: try NewID.make(DeploymentID.self),
            epoch: 0,
            chain: .empty,
            isCheck: true
        )
        let clock = ContinuousClock()
        let begin = clock.now
        switch await self.workers.start(permit, order, in: place) {
        case .failed(let error, _):
            return AgentCheck(
                failure: (error.code, error.message),
                duration: clock.now - begin,
                memoryBytes: nil,
                report: nil
            )
        case .started(let worker):
            let duration = clock.now - begin
            let memory = worker.residentBytes
            _ = await worker.end()
            return AgentCheck(failure: nil, duration: duration, memoryBytes: memory, report: worker.report)
        }
    }
}

extension Tenant {
    /// Starts an agent once and stops it: as it is stored, or as `configuration` would have it. Throws `notFound`,
    /// `invalid`, `startsElsewhere` or `noWorkerPlace`.
    package func check(_ id: AgentID, _ configuration: AgentConfiguration?) async throws -> AgentCheck {
        if let problem = configuration?.problems.first {
            throw GatewayError.invalid(member: problem.member, problem: problem.problem)
        }
        let effective: AgentConfiguration
        if let configuration { effective = configuration } else { effective = try await self.agent(id).configuration }
        guard effective.driver != .remote else {
            throw GatewayError.startsElsewhere
        }
        return try await self.checker.check(id, effective, org: self.org)
    }
}
