import Domain
import Postgres
import Store
import TestKit
import Testing

@Suite("Quotas in the store")
struct QuotaTests {
    @Test(
        "64 turns at the same moment: exactly as many get in as the cap allows",
        arguments: [
            (Quota(organizationTurns: 7), QuotaCap.organizationTurns), (Quota(tokenTurns: 7), .tokenTurns),
            (Quota(conversationTurns: 7), .conversationTurns),
        ]
    )
    func exact(_ quota: Quota, _ cap: QuotaCap) async throws {
        let fixture = try await StoreFixture.make(poolSize: 16)
        try await fixture.tenant.set(quota)
        let token: TokenID = freshID()
        let verdicts = try await withThrowingTaskGroup(of: Intake.self) { group in
            for index in 0..<64 {
                // One conversation where that is what is capped; else as many as there can be, direct turns among them.
                let name = cap == .conversationTurns ? "c" : index % 3 == 0 ? nil : "c\(index)"
                var submission = try fixture.submission(name, run: name != nil)
                submission.submitter = token
                let ready = submission
                group.addTask { try await fixture.store.accept(ready) }
            }
            return try await group.reduce(into: [Intake]()) { $0.append($1) }
        }
        #expect(verdicts.count { $0.verdict == .accepted } == 7)
        #expect(verdicts.count { $0.verdict == .quota && $0.refusal?.cap == cap && $0.refusal?.limit == 7 } == 57)
        #expect(try await fixture.count("SELECT count(*) FROM turnpike.turns") == 7)
        let rows = cap == .conversationTurns ? 1 : 7
        #expect(
            try await fixture.count("SELECT count(*) FROM turnpike.conversations") == rows,
            "a refusal leaves no row"
        )
        try await fixture.expectNoLeak()
    }

    @Test("a turn that is refused by its token's cap does not count for the organization")
    func bothCaps() async throws {
        let fixture = try await StoreFixture.make()
        try await fixture.tenant.set(Quota(organizationTurns: 5, tokenTurns: 2))
        for token: TokenID in [freshID(), freshID(), freshID()] {
            for _ in 0..<3 {
                var submission = try fixture.submission("c")
                submission.submitter = token
                _ = try await fixture.store.accept(submission)
            }
        }
        #expect(try await fixture.tenant.quota()?.openTurns == 5)
        try await fixture.expectNoLeak()
    }

    @Test("a client key that comes again at the cap finds its turn")
    func repeatedAtCap() async throws {
        let fixture = try await StoreFixture.make()
        try await fixture.tenant.set(Quota(organizationTurns: 1))
        let first = try await fixture.store.accept(fixture.submission("c", clientKey: "k"))
        #expect(try await fixture.store.accept(fixture.submission("c", clientKey: "k")).turn == first.turn)
        #expect(try await fixture.store.accept(fixture.submission("d")).verdict == .quota)
    }

    @Test("a turn that is enqueued in SQL counts like any other")
    func enqueuedInSQL() async throws {
        let fixture = try await StoreFixture.make()
        try await fixture.tenant.set(Quota(organizationTurns: 1))
        let verdicts = try await [nil, "c"].asyncMap { name in
            try await fixture.pool.query(
                """
                SELECT verdict, coalesce(refused_by, '') AS cap FROM turnpike.enqueue_turn('echo', '[]', 'default',
                    p_conversation => \(name)::text, p_run => gen_random_uuid())
                """
            ).first
        }
        #expect(try verdicts[0]?.get("verdict", as: String.self) == "accepted")
        #expect(try verdicts[1]?.get("verdict", as: String.self) == "quota")
        #expect(try verdicts[1]?.get("cap", as: String.self) == "organization_turns")
    }

    @Test("whichever way a turn ends, its place is free again; a turn that goes back to the queue keeps its own")
    func everyWayOut() async throws {
        let fixture = try await StoreFixture.make()
        try await fixture.tenant.set(Quota(organizationTurns: 100, tokenTurns: 100))
        let ways: [(String, (StoreFixture) async throws -> Int)] = [
            ("settled", Self.settled), ("requeued", Self.requeued), ("swept", Self.swept),
            ("taken over", Self.takenOver),
            ("cancelled", Self.cancelled), ("given up", Self.givenUp), ("deleted", Self.deleted),
            ("interrupted", Self.interrupted), ("erased", Self.erased),
        ]
        for (name, leave) in ways {
            let open = try await leave(fixture)
            let counted = try await fixture.count("SELECT open AS count FROM turnpike.quotas WHERE org = 'default'")
            #expect(counted == open, "\(name)")
            try await fixture.expectNoLeak()
            _ = try await fixture.pool.query("DELETE FROM turnpike.conversations")
            try await fixture.expectNoLeak()
        }
    }

    @Test("caps count what is open already, and a cap that is lowered lets nothing in until enough has ended")
    func changing() async throws {
        let fixture = try await StoreFixture.make()
        let token: TokenID = freshID()
        let turns = try await (0..<4).asyncMap { index in
            var submission = try fixture.submission("c\(index)")
            submission.submitter = token
            return try await fixture.store.accept(submission)
        }
        try await fixture.tenant.set(Quota(organizationTurns: 2, tokenTurns: 9))
        try await fixture.expectNoLeak()
        for turn in turns.prefix(3) {
            #expect(try await fixture.store.accept(fixture.submission("d")).verdict == .quota)
            _ = try await fixture.tenant.cancel(try #require(turn.turn))
        }
        #expect(try await fixture.store.accept(fixture.submission("d")).verdict == .accepted)
        try await fixture.tenant.set(Quota())
        #expect(try await fixture.count("SELECT count(*) FROM turnpike.quotas") == 0)
        #expect(try await fixture.store.accept(fixture.submission("e")).verdict == .accepted)
        let none = QuotaRecord(quota: Quota(), own: Quota(), ceiling: Quota(), openTurns: 3)
        #expect(try await fixture.tenant.quota() == none)
    }

    @Test("caps that change while turns come and go count right in the end")
    func changingUnderLoad() async throws {
        let fixture = try await StoreFixture.make(poolSize: 16)
        let quotas = [
            Quota(organizationTurns: 40), Quota(), Quota(tokenTurns: 3), Quota(organizationTurns: 9, tokenTurns: 5),
        ]
        let tokens: [TokenID] = [freshID(), freshID(), freshID()]
        try await withThrowingTaskGroup(of: Void.self) { group in
            for client in 0..<12 {
                group.addTask {
                    for index in 0..<40 {
                        var submission = try fixture.submission("c\(client)-\(index % 5)")
                        submission.submitter = tokens[client % 3]
                        let intake = try await fixture.store.accept(submission)
                        if let turn = intake.turn, index % 2 == 0 { _ = try await fixture.tenant.cancel(turn) }
                    }
                }
            }
            group.addTask { for round in 0..<40 { try await fixture.tenant.set(quotas[round % 4]) } }
            try await group.waitForAll()
        }
        try await fixture.expectNoLeak()
        #expect(try await fixture.count("SELECT count(*) FROM turnpike.quotas") == 1)
    }

    @Test("own caps hold below their ceilings and never above them, whichever is set first")
    func ceilings() async throws {
        let fixture = try await StoreFixture.make()
        let (high, low) = (Quota(organizationTurns: 3), Quota(organizationTurns: 1, tokenTurns: 5))
        for (own, ceiling) in [(high, low), (low, high)] {
            for isOwnFirst in [true, false] {
                if isOwnFirst { try await fixture.tenant.set(own) }
                try await fixture.tenant.setCeiling(ceiling)
                if !isOwnFirst { try await fixture.tenant.set(own) }
                let record = try #require(try await fixture.tenant.quota())
                #expect(record.own == own && record.ceiling == ceiling)
                #expect(record.quota == Quota(organizationTurns: 1, tokenTurns: 5))
                let verdicts = try await (0..<2).asyncMap { try await fixture.accept("c\($0)").verdict }
                #expect(verdicts == [.accepted, .quota])
                try await fixture.expectNoLeak()
                _ = try await fixture.pool.query("DELETE FROM turnpike.conversations")
                try await fixture.tenant.set(Quota())
                #expect(try await fixture.tenant.quota()?.quota == ceiling, "without own caps the ceilings hold")
                try await fixture.tenant.setCeiling(Quota())
                #expect(try await fixture.count("SELECT count(*) FROM turnpike.quotas") == 0)
            }
        }
    }

    @Test("while one organization's caps are being set, others' turns come and go")
    func othersGoOn() async throws {
        let fixture = try await StoreFixture.make()
        let other = StoreFixture(
            pool: fixture.pool,
            store: fixture.store,
            org: try OrganizationID("other"),
            agent: fixture.agent,
            replica: fixture.replica
        )
        try await fixture.store.ensureOrganization(other.org)
        try await other.tenant.set(Quota(organizationTurns: 9))
        try await fixture.pool.withTransaction { connection in
            _ = try await connection.query("SELECT turnpike.set_quota('default', 7, 7, 7)")
            let (term, turn, _) = try await other.hold("c")
            #expect(try await fixture.store.settle(other.settlement(turn, "x"), fence: term.fence).value != nil)
        }
        try await fixture.pool.withTransaction { connection in
            _ = try await connection.query(
                """
                SELECT verdict FROM turnpike.enqueue_turn('echo', '[]', 'other', p_conversation => 'd',
                    p_run => gen_random_uuid())
                """
            )
            try await fixture.tenant.set(Quota(organizationTurns: 3))
        }
        try await fixture.expectNoLeak()
    }

    // MARK: - Ways out

    private static func settled(_ fixture: StoreFixture) async throws -> Int {
        let (term, turn, _) = try await fixture.hold("c")
        #expect(try await fixture.store.settle(fixture.settlement(turn, "x"), fence: term.fence).value != nil)
        return 0
    }

    private static func requeued(_ fixture: StoreFixture) async throws -> Int {
        let (term, turn, _) = try await fixture.hold("c")
        let back = try await fixture.store.requeue(
            turn: turn.id,
            fence: term.fence,
            events: [],
            code: .workerExited,
            message: "gone"
        )
        #expect(back.value != nil)
        return 1
    }

    private static func swept(_ fixture: StoreFixture) async throws -> Int {
        _ = try await fixture.hold("c")
        _ = try await fixture.accept("c")
        _ = try await fixture.pool.query("UPDATE turnpike.markers SET hard_deadline = now() - interval '1 hour'")
        #expect(try await fixture.store.sweepOverdue(grace: .zero, limit: 10).count == 1)
        return 1
    }

    private static func takenOver(_ fixture: StoreFixture) async throws -> Int {
        let dead: ReplicaID = freshID()
        _ = try await fixture.hold("c", replica: dead)
        _ = try await fixture.hold("d", replica: dead)
        #expect(try await fixture.store.takeOver(from: dead).turns.count == 2)
        return 0
    }

    private static func cancelled(_ fixture: StoreFixture) async throws -> Int {
        let turn = try #require(try await fixture.accept("c").turn)
        _ = try await fixture.accept("c")
        #expect(try await fixture.tenant.cancel(turn) != .alreadyEnded)
        return 1
    }

    private static func givenUp(_ fixture: StoreFixture) async throws -> Int {
        let intake = try await fixture.accept("c")
        let turn = try #require(intake.turn)
        #expect(try await fixture.store.failQueued(intake.number, turn: turn, code: .leaseTimeout, message: "x"))
        return 0
    }

    private static func deleted(_ fixture: StoreFixture) async throws -> Int {
        _ = try await fixture.hold("gone")
        _ = try await fixture.accept("gone")
        _ = try await fixture.accept("kept")
        #expect(try await fixture.tenant.delete(fixture.agent, ConversationID("gone")) != nil)
        return 1
    }

    private static func interrupted(_ fixture: StoreFixture) async throws -> Int {
        _ = try await fixture.hold("c")
        for _ in 0..<3 { _ = try await fixture.accept("c") }
        var submission = try fixture.submission("c")
        submission.onBusy = .interrupt
        #expect(try await fixture.store.accept(submission).interrupted != nil)
        return 2
    }

    private static func erased(_ fixture: StoreFixture) async throws -> Int {
        _ = try await fixture.accept("c")
        _ = try await fixture.pool.query("DELETE FROM turnpike.turns")
        return 0
    }
}

extension StoreFixture {
    /// Every counter is what counting anew gives.
    func expectNoLeak() async throws {
        let wrong = try await self.count(
            """
            SELECT count(*) FROM (
                SELECT q.open, (SELECT count(*) FROM turnpike.turns t WHERE t.org = q.org AND t.ended_at IS NULL) AS real
                FROM turnpike.quotas q WHERE q.organization_turns IS NOT NULL
                UNION ALL
                SELECT c.open, (SELECT count(*) FROM turnpike.turns t
                    WHERE t.org = c.org AND t.submitter = c.token AND t.ended_at IS NULL)
                FROM turnpike.quota_tokens c
            ) counters WHERE open <> real
            """
        )
        #expect(wrong == 0, "a counter differs from the recount")
    }
}

extension Sequence {
    /// `map` for what takes its time, one after another.
    func asyncMap<Value>(_ transform: (Element) async throws -> Value) async throws -> [Value] {
        var values: [Value] = []
        for element in self { values.append(try await transform(element)) }
        return values
    }
}
