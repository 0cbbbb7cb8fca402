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

    /// Decides a question; the first decision wins, and the same one again changes nothing. Throws `alreadyDecided` with
    /// the winner's decision, `approvalOver` once nobody waits for one, `invalid` when the worker offers nothing that
    /// fits, or `notFound`.
    package func decide(
        _ id: ApprovalID,
        _ wish: ApprovalWish,
        reason: String?,
        by token: TokenID
    ) async throws -> ApprovalRecord {
        let asked = try await self.approval(id)
        guard let option = wish.choice(of: asked.options) else {
            throw GatewayError.invalid(member: "decision", problem: "names nothing that the worker offers")
        }
        let decided = try await reaching {
            try await self.store.decideApproval(id, option: option, reason: reason, by: token)
        }
        guard let (won, record) = decided else { throw GatewayError.notFound("approval") }
        if won {
            self.tell(record)
        } else if record.state != .decided {
            throw GatewayError.approvalOver(record.state)
        } else if let winner = record.decision, winner != option {
            throw GatewayError.alreadyDecided(winner)
        }
        return record
    }

    /// Wakes who waits for the decision. All of this only saves waiting for a poll.
    private func tell(_ record: ApprovalRecord) {
        self.desk.wake(record.id)
        self.feed.changed(record.number)
        guard self.registry.session(record.number) == nil, let owner = record.ownerReplica else { return }
        self.hints.send(.approval(record.number, record.id), to: owner)
    }
}
