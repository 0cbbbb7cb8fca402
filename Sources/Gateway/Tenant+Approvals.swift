package import Domain
import Store

extension Tenant {
    /// Questions of workers in the order in which they were asked, after `after`, at most `limit`; only those that stand
    /// at `state` when one is named.
    package func approvals(state: ApprovalState?, after: ApprovalID?, limit: Int) async throws -> [ApprovalRecord] {
        try await reaching { try await self.store.approvals(state: state, after: after, limit: limit) }
    }

    /// One question. Throws `notFound`.
    package func approval(_ id: ApprovalID) async throws -> ApprovalRecord {
        guard let record = try await reaching({ try await self.store.approval(id) }) else {
            throw GatewayError.notFound("approval")
        }
        return record
    }

    /// Decides a question; the first decision wins, and the same one again changes nothing. An option for always makes a
    /// rule and decides all open questions like this one, which `mayMakeRules` has to allow. Throws `alreadyDecided` with
    /// the winner's decision, `approvalOver` once nobody waits for one, `invalid` when the worker offers nothing that
    /// fits, `lacksScope`, or `notFound`.
    package func decide(
        _ id: ApprovalID,
        _ wish: ApprovalWish,
        reason: String?,
        by token: TokenID,
        mayMakeRules: Bool = false
    ) async throws -> ApprovalRecord {
        let asked = try await self.approval(id)
        guard let option = wish.choice(of: asked.options) else {
            throw GatewayError.invalid(member: "decision", problem: "names nothing that the worker offers")
        }
        let always = asked.options.first { $0.id == option }?.standing
        let decided: ApprovalDecision?
        if let always, asked.state == .pending {
            guard mayMakeRules else { throw GatewayError.lacksScope(.agents) }
            decided = try await self.decideForAlways(asked, option, always, reason: reason, by: token)
        } else {
            decided = try await reaching {
                try await self.store.decideApproval(id, option: option, reason: reason, by: token)
            }
        }
        guard let decided else { throw GatewayError.notFound("approval") }
        let record = decided.record
        if decided.won {
            self.tell(decided)
        } else if record.state != .decided {
            throw GatewayError.approvalOver(record.state)
        } else if let winner = record.decision, winner != option {
            throw GatewayError.alreadyDecided(winner)
        }
        return record
    }

    private func decideForAlways(
        _ asked: ApprovalRecord,
        _ option: String,
        _ effect: ApprovalEffect,
        reason: String?,
        by token: TokenID
    ) async throws -> ApprovalDecision? {
        guard try await !reaching({ try await self.store.asksPeople(asked) }) else {
            throw GatewayError.invalid(
                member: "decision",
                problem: "is for always, but a rule leaves each call of this tool to people"
            )
        }
        let tool = asked.tool.name
        guard (1...1_000).contains(tool.unicodeScalars.count), !tool.utf8.contains(0) else {
            throw GatewayError.invalid(member: "decision", problem: "is for always, but no rule can name this tool")
        }
        let rule = try NewID.make(ApprovalRuleID.self)
        return try await reaching {
            try await self.store.decideApproval(
                asked.id,
                option: option,
                always: effect,
                rule: rule,
                of: asked.agent,
                tool: tool,
                reason: reason,
                by: token
            )
        }
    }

    /// Wakes who waits for the decision. All of this only saves waiting for a poll.
    private func tell(_ decision: ApprovalDecision) {
        let record = decision.record
        for told in [ToldApproval(id: record.id, number: record.number, owner: record.ownerReplica)] + decision.others {
            self.desk.wake(told.id)
            self.feed.changed(told.number)
            guard self.registry.session(told.number) == nil, let owner = told.owner else { continue }
            self.hints.send(.approval(told.number, told.id), to: owner)
        }
        if decision.wakes { self.intake.lookForWork() }
    }

    // MARK: - Standing rules

    /// Rules in the order in which they were made, after `after`, at most `limit`.
    package func approvalRules(after: ApprovalRuleID?, limit: Int) async throws -> [ApprovalRule] {
        try await reaching { try await self.store.rules(after: after, limit: limit) }
    }

    /// Makes a rule for questions from now on; `agent` nil is every agent of the organization.
    package func makeApprovalRule(
        agent: AgentID?,
        tool: String,
        arguments: JSONValue?,
        effect: ApprovalEffect,
        reason: String?,
        by token: TokenID
    ) async throws -> ApprovalRule {
        let id = try NewID.make(ApprovalRuleID.self)
        return try await reaching {
            try await self.store.makeRule(
                id,
                agent: agent,
                tool: tool,
                arguments: arguments,
                effect: effect,
                reason: reason,
                by: token
            )
        }
    }

    /// Removes a rule. Throws `notFound`.
    package func deleteApprovalRule(_ id: ApprovalRuleID) async throws {
        guard try await reaching({ try await self.store.deleteRule(id) }) else {
            throw GatewayError.notFound("rule")
        }
    }
}
