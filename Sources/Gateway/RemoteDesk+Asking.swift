import Crypto
package import Domain
import Store

// Questions of workers outside the gateway.
extension RemoteDesk {
    /// A worker's question.
    package struct Question: Sendable {
        /// Its number within the run; the same again is the same question.
        package let number: Int64
        /// The tool whose use is in question.
        package let tool: ApprovalTool
        /// What the tool would be given.
        package let arguments: JSONValue?
        /// What may be answered.
        package let options: [ApprovalOption]

        package init(number: Int64, tool: ApprovalTool, arguments: JSONValue?, options: [ApprovalOption]) {
            self.number = number
            self.tool = tool
            self.arguments = arguments
            self.options = options
        }
    }

    /// Where a question stands after at most `patience`: by the agent's policy, or by what somebody decides. The decision
    /// is an option's id. Throws `fenced`.
    package func ask(
        _ ticket: RemoteTicket,
        _ question: Question,
        patience: Duration
    ) async throws -> (state: ApprovalState, decision: String?) {
        let run = try await self.live(ticket)
        let (policy, limits) = (run.configuration?.permissions ?? .deny, run.configuration?.limits ?? AgentLimits())
        // What is answered where neither a rule nor the agent wants people to be asked.
        let wish = policy == .allow ? ApprovalWish.allow : .deny
        let byPolicy = (state: ApprovalState.decided, decision: wish.choice(of: question.options))
        // Without an organization there is nobody who could decide.
        guard run.org != nil else { return byPolicy }
        let digest = Digest.hex(Digest.sha256(Array("\(run.id.text):\(question.number)".utf8)))
        guard let id = run.question(digest: digest) else { throw IdentityFailure() }
        let asked = ApprovalQuestion(
            id: id,
            tool: question.tool,
            arguments: question.arguments,
            options: question.options,
            lifetimeSeconds: limits.approvalSeconds
        )
        let stored = try await reaching {
            try await self.store.askApproval(
                asked,
                turn: ticket.turn,
                org: self.worker.org,
                agent: run.agent,
                policy: policy,
                fence: run.fence,
                progressSeconds: limits.progressSeconds
            )
        }
        guard case .done(let found) = stored else { throw self.fenced(ticket) }
        guard let standing = found else { return byPolicy }
        self.feed.changed(run.fence.conversation)
        return try await self.wait(for: standing, until: ContinuousClock.now + patience, run)
    }

    private func wait(
        for first: ApprovalStanding,
        until deadline: ContinuousClock.Instant,
        _ run: RemoteRun
    ) async throws -> (state: ApprovalState, decision: String?) {
        var standing = first
        while standing.state == .pending, ContinuousClock.now < deadline {
            try await Task.sleep(for: self.limits.approvalPoll)
            let next = try await reaching { try await self.store.approvalStanding(first.id) }
            guard let next else { return (.withdrawn, nil) }
            standing = next
        }
        if standing.state == .expired {
            standing = try await reaching { try await self.store.expireApproval(first.id) } ?? standing
            self.feed.changed(run.fence.conversation)
        }
        return (standing.state, standing.decision)
    }
}
