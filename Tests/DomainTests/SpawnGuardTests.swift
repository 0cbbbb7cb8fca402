import Domain
import Testing

@Suite("The spawn guard")
struct SpawnGuardTests {
    /// A row of the decision table and what it must come to.
    struct Case: Sendable, CustomTestStringConvertible {
        let storeMode: StoreMode
        let hasRun: Bool
        let hasOrganization: Bool
        let hasConversation: Bool

        var testDescription: String {
            "\(self.storeMode), \(self.hasRun ? "run" : "no run"), "
                + "\(self.hasOrganization ? "org" : "no org"), "
                + "\(self.hasConversation ? "conversation" : "no conversation")"
        }

        static let all = StoreMode.allCases.flatMap { mode in
            [true, false].flatMap { run in
                [true, false].flatMap { org in
                    [true, false].map { conversation in
                        Case(storeMode: mode, hasRun: run, hasOrganization: org, hasConversation: conversation)
                    }
                }
            }
        }

        /// The table of the design, written a second time on purpose: "lease", "spawn" or "refuse".
        var expected: String {
            switch (self.storeMode, self.hasRun, self.hasOrganization && self.hasConversation) {
            case (.snapshot, true, true): "lease"
            case (.snapshot, true, false): "refuse"
            case (.snapshot, false, _), (.file, _, _), (.none, _, _): "spawn"
            }
        }
    }

    @Test("every row of the decision table comes out as written", arguments: Case.all)
    func table(_ row: Case) throws {
        let decision = SpawnGuard.decide(
            storeMode: row.storeMode,
            run: row.hasRun ? RunID("00000000-0000-4000-8000-000000000001") : nil,
            org: row.hasOrganization ? try OrganizationID("o") : nil,
            agent: try AgentID("a"),
            conversation: row.hasConversation ? try ConversationID("c") : nil
        )
        switch consume decision {
        case .takeLease(let demand):
            #expect(row.expected == "lease")
            let key = demand.key
            #expect(key.description == "o/a/c")
        case .spawn(let permit):
            #expect(row.expected == "spawn")
            let mayWrite = permit.mayWriteSnapshots
            #expect(mayWrite == false)
            switch permit.surrender() {
            case .none: break
            case .some: Issue.record("a stateless permit held a lease")
            }
        case .refuse(let refusal):
            #expect(row.expected == "refuse")
            #expect(refusal.lacksOrganization == !row.hasOrganization)
            #expect(refusal.lacksConversation == !row.hasConversation)
        }
    }

    @Test("a permit under a lease may write snapshots and gives the same lease back")
    func leasedPermit() throws {
        let decision = SpawnGuard.decide(
            storeMode: .snapshot,
            run: RunID("00000000-0000-4000-8000-000000000001"),
            org: try OrganizationID("o"),
            agent: try AgentID("a"),
            conversation: try ConversationID("c")
        )
        guard case .takeLease(let demand) = consume decision else {
            Issue.record("the guard asked for no lease")
            return
        }
        let nonce = try #require(Nonce("00000000-0000-4000-8000-000000000002"))
        let fence = Fence(conversation: ConversationNumber(7), epoch: 3, nonce: nonce)
        let permit = SpawnPermit(under: Lease(demand, lock: LockKey(42), fence: fence))
        let mayWrite = permit.mayWriteSnapshots
        #expect(mayWrite)
        switch permit.surrender() {
        case .some(let lease):
            let (keptFence, keptLock) = (lease.fence, lease.lock)
            #expect(keptFence == fence && keptLock == LockKey(42))
        case .none: Issue.record("the lease was lost")
        }
    }
}
