import Domain
import Postgres
import Runtime
import Store
import TestKit
import Testing

@testable import Gateway

@Suite("Busy conversations on several replicas")
struct BusyTests {
    @Test(
        "a turn that interrupts stops the running one wherever it runs, keeps its text, and is next",
        arguments: [true, false]
    )
    func interrupt(usesHints: Bool) async throws {
        try await GatewayFixture.with({
            $0.replicas = 2
            $0.usesHints = usesHints
        }) { fixture in
            let agent = try await fixture.agent("slow", "slow")
            let first = try await fixture.submit(agent, "c")
            try await fixture.performing(first)
            let behind = try await fixture.submit(agent, "c")
            let owner = try #require(fixture.replicas.first { $0.conversationSession(first) != nil })
            let other = try #require(fixture.replicas.first { $0.id != owner.id })
            let workers = owner.workerPIDs
            let next = try await fixture.submit(agent, "c", onBusy: .interrupt, to: other)
            #expect(next.ahead == 1)
            let ended = try await fixture.ended(first)
            #expect(ended.outcome?.code == "interrupted" && ended.outcome?.reply == "half ")
            #expect(try await fixture.ended(behind).outcome?.code == "interrupted")
            try await fixture.performing(next)
            #expect(owner.workerPIDs == workers, "the worker obeyed, so it lives")
            #expect(try await fixture.count("SELECT count(*) FROM turnpike.dead_letters") == 0)
            _ = try await fixture.gateway.tenant(fixture.org).cancel(next.id)
            #expect(try await fixture.ended(next).state == .cancelled)
        }
    }

    @Test("two that interrupt at the same moment on two replicas are both accepted, and no outcome is lost")
    func twoAtOnce() async throws {
        try await GatewayFixture.with({ $0.replicas = 2 }) { fixture in
            let agent = try await fixture.agent("slow", "slow")
            let first = try await fixture.submit(agent, "c")
            try await fixture.performing(first)
            async let left = fixture.submit(agent, "c", onBusy: .interrupt, to: fixture.replicas[0])
            async let right = fixture.submit(agent, "c", onBusy: .interrupt, to: fixture.replicas[1])
            let turns = try await [left, right].sorted { $0.seq < $1.seq }
            #expect(turns.map(\.seq) == [2, 3])
            #expect(try await fixture.ended(first).outcome?.code == "interrupted")
            #expect(try await fixture.ended(turns[0]).outcome?.code == "interrupted")
            try await fixture.performing(turns[1])
            _ = try await fixture.gateway.tenant(fixture.org).cancel(turns[1].id)
            #expect(try await fixture.ended(turns[1]).state == .cancelled)
            #expect(try await fixture.count("SELECT count(*) FROM turnpike.outcomes") == 3)
        }
    }

    @Test("an agent says what becomes of a turn that does not say it itself")
    func agentsPolicy() async throws {
        try await GatewayFixture.with { fixture in
            let agent = try await fixture.agent("slow", "slow") { $0.onBusy = .reject }
            let first = try await fixture.submit(agent, "c")
            try await fixture.performing(first)
            await #expect(throws: GatewayError.conversationBusy(ahead: 1)) {
                _ = try await fixture.submit(agent, "c")
            }
            let queued = try await fixture.submit(agent, "c", onBusy: .enqueue)
            #expect(queued.ahead == 1)
            try await fixture.gateway.tenant(fixture.org).deleteConversation(agent, ConversationID("c"))
        }
    }

    @Test(
        "32 clients on three replicas never have more turns open than the cap, and after faults nothing is left counted"
    )
    func quotaUnderFaults() async throws {
        let cap = 12
        try await GatewayFixture.with({
            $0.replicas = 3
            // The workers that exit would make the others wait.
            $0.limits.breakerFailures = 1_000
        }) { fixture in
            let agent = try await fixture.agent("counter", "counter") { $0.retries = 1 }
            let dying = try await fixture.agent("exit", "exit", "3")
            _ = try await fixture.gateway.tenant(fixture.org).set(Quota(organizationTurns: cap, tokenTurns: cap))
            let watch = QuotaWatch()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for client in 0..<32 {
                    group.addTask {
                        let token: TokenID = freshID()
                        for index in 0..<6 {
                            let replica = fixture.replicas[(client + index) % 3]
                            let name = client % 4 == 0 ? nil : "c\(client)"
                            do {
                                let turn = try await fixture.submit(
                                    client % 5 == 0 ? dying : agent,
                                    name,
                                    submitter: token,
                                    to: replica
                                )
                                watch.note(accepted: true)
                                if index == 2 { _ = try? await replica.gateway.tenant(fixture.org).cancel(turn.id) }
                                if index == 4, let name {
                                    let tenant = replica.gateway.tenant(fixture.org)
                                    try? await tenant.deleteConversation(agent, ConversationID(name))
                                }
                            } catch let error as GatewayError where error == .deleted {
                                return
                            } catch let error as GatewayError
                                where error == .quotaReached(.organizationTurns, limit: cap)
                            {
                                watch.note(accepted: false)
                            }
                            let open = try await fixture.openTurns()
                            watch.saw(open)
                            if client == 7, index == 3 { try await fixture.cutLockSession(of: fixture.replicas[2]) }
                        }
                    }
                }
                try await group.waitForAll()
            }
            try await eventually("every turn to end", within: .seconds(30)) { try await fixture.openTurns() == 0 }
            #expect(watch.most <= cap && watch.accepted > 0 && watch.refused > 0)
            let counted: Query = """
                SELECT (SELECT open FROM turnpike.quotas) + (SELECT sum(open) FROM turnpike.quota_tokens) AS count
                """
            #expect(try await fixture.count(counted) == 0, "a reservation leaked")
            let negative: Query = "SELECT count(*) FROM turnpike.quota_tokens WHERE open <> 0"
            #expect(try await fixture.count(negative) == 0)
        }
    }
}

/// What the clients of the test saw.
private final class QuotaWatch: Sendable {
    private let state = Locked((most: 0, accepted: 0, refused: 0))

    func note(accepted: Bool) {
        self.state.withLock { if accepted { $0.accepted += 1 } else { $0.refused += 1 } }
    }

    func saw(_ open: Int) {
        self.state.withLock { $0.most = max($0.most, open) }
    }

    var most: Int { self.state.withLock { $0.most } }
    var accepted: Int { self.state.withLock { $0.accepted } }
    var refused: Int { self.state.withLock { $0.refused } }
}

extension GatewayFixture {
    fileprivate func openTurns() async throws -> Int {
        try await self.count("SELECT count(*) FROM turnpike.turns WHERE ended_at IS NULL")
    }

    fileprivate func submit(
        _ agent: AgentID,
        _ conversation: String?,
        onBusy: BusyPolicy? = nil,
        submitter: TokenID? = nil,
        to replica: Replica? = nil
    ) async throws -> SubmittedTurn {
        var request = TurnRequest(
            agent: agent,
            conversation: try conversation.map { try ConversationID($0) },
            input: TurnInput(text: "hello")
        )
        request.onBusy = onBusy
        request.submitter = submitter
        return try await (replica ?? self.replica).gateway.tenant(self.org).submit(request)
    }
}
