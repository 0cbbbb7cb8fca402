import Domain
import Postgres
import Store
import TestKit
import Testing

@Suite("Schedules in the store")
struct ScheduleTests {
    @Test("8 that look at the same moment begin each run once, with its turn in a conversation of its own")
    func once() async throws {
        let fixture = try await StoreFixture.make(poolSize: 8)
        for index in 0..<20 { try await fixture.due("s\(index)", seconds: 5) }
        let fired = try await withThrowingTaskGroup(of: [FiredSchedule].self) { group in
            for _ in 0..<8 {
                group.addTask {
                    var fired: [FiredSchedule] = []
                    while let one = try await fixture.fire() { fired.append(one) }
                    return fired
                }
            }
            return try await group.reduce(into: [FiredSchedule]()) { $0 += $1 }
        }
        #expect(fired.count == 20 && fired.allSatisfy { $0.turns.count == 1 && $0.refusal == nil })
        #expect(try await fixture.count("SELECT count(*) FROM turnpike.turns") == 20)
        let named: Query = """
            SELECT count(*) FROM turnpike.conversations c JOIN turnpike.schedules s
                ON c.conversation = 'echo_watcher_' || s.schedule || '_run_1' AND s.runs = 1 AND s.next_at > now()
            """
        #expect(try await fixture.count(named) == 20)
    }

    @Test("missed runs begin as the policy says, numbered on")
    func catchUp() async throws {
        let fixture = try await StoreFixture.make()
        for (policy, runs) in [(CatchUp.skip, 0), (.once, 1), (.all, 4)] {
            try await fixture.due(policy.rawValue, seconds: 3 * 60 + 90, catchUp: policy)
            let fired = try #require(try await fixture.fire())
            // A time that is less than a minute ago was not missed.
            #expect((runs...(runs + 2)).contains(fired.turns.count), "\(policy)")
            let record = try #require(try await fixture.tenant.schedule(ScheduleID(policy.rawValue)))
            #expect(record.runs == Int64(fired.turns.count) && record.lastTurn == fired.turns.last)
            #expect(try await fixture.fire() == nil)
        }
    }

    @Test("a run that a quota refuses is not lost: it begins later, and holds up no other schedule")
    func refused() async throws {
        let fixture = try await StoreFixture.make()
        try await fixture.tenant.set(Quota(organizationTurns: 1))
        try await fixture.due("a", seconds: 30)
        try await fixture.due("b", seconds: 20)
        let first = try #require(try await fixture.fire())
        let second = try #require(try await fixture.fire())
        #expect(first.turns.count == 1 && second.turns.isEmpty && second.refusal == "organization_turns")
        #expect(try await fixture.fire() == nil, "it waits a while")
        _ = try await fixture.tenant.cancel(first.turns[0])
        _ = try await fixture.pool.query("UPDATE turnpike.schedules SET ready_at = now() WHERE schedule = 'b'")
        #expect(try await fixture.fire()?.turns.count == 1)
        #expect(try await fixture.tenant.schedule(ScheduleID("b"))?.runs == 1)
    }

    @Test("a paused or deleted schedule rests, and a name that is used again goes on counting")
    func resting() async throws {
        let fixture = try await StoreFixture.make()
        let id = try ScheduleID("s")
        try await fixture.due("s", seconds: 5)
        #expect(try await fixture.fire()?.turns.count == 1)
        try await fixture.due("s", seconds: 5)
        #expect(try await fixture.tenant.pause(id, true, next: nil)?.nextAt == nil)
        #expect(try await fixture.fire() == nil)
        let now = try await fixture.tenant.now
        #expect(try await fixture.tenant.pause(id, false, next: now + 60)?.nextAt != nil)
        #expect(try await fixture.tenant.deleteSchedule(id))
        #expect(try await fixture.tenant.schedule(id) == nil)
        #expect(try await fixture.fire() == nil)
        try await fixture.due("s", seconds: 5)
        #expect(try await fixture.fire()?.turns.count == 1)
        #expect(try await fixture.count("SELECT runs AS count FROM turnpike.schedules") == 2)
        #expect(try await fixture.count("SELECT count(*) FROM turnpike.conversations") == 2)
    }

    @Test("the same schedule again keeps the run it is due for, other times or another zone begin anew")
    func replacing() async throws {
        let fixture = try await StoreFixture.make()
        let id = try ScheduleID("s")
        var schedule = try fixture.schedule()
        let now = try await fixture.tenant.now
        func put(_ next: Int64) async throws -> String? {
            try await fixture.tenant.put(id, schedule, next: next, submitter: freshID(), atMost: 10)?.nextAt
        }
        let first = try await put(now + 100)
        #expect(try await put(now + 200) == first)
        schedule.timeZone = "Europe/Berlin"
        let second = try await put(now + 300)
        #expect(second != first)
        schedule.cron = try CronExpression("1 * * * *")
        #expect(try await put(now + 400) != second)
    }

    @Test("a schedule rests when its token, or the one that opened its session, is good no more, and says why")
    func tokens() async throws {
        let fixture = try await StoreFixture.make()
        let (revoked, expired, session): (TokenID, TokenID, TokenID) = (freshID(), freshID(), freshID())
        for (index, token) in [revoked, expired, session].enumerated() {
            _ = try await fixture.tenant.createToken(
                token,
                name: "t",
                hash: [UInt8](repeating: UInt8(index), count: 32),
                scopes: [.turns],
                lifetime: token == revoked ? nil : .seconds(600),
                parent: token == session ? revoked : nil
            )
        }
        try await fixture.due("c", seconds: 30, submitter: session)
        try await fixture.pool.query(
            "UPDATE turnpike.tokens SET expires_at = now() WHERE token = ANY(\([expired.text, session.text])::uuid[])"
        )
        #expect(try await fixture.fire()?.turns.count == 1, "a session that ends leaves its schedules to its token")
        #expect(try await fixture.tenant.revokeToken(revoked))
        let rows = [("a", revoked, "token_revoked"), ("b", expired, "token_expired"), ("c", session, "token_revoked")]
        for (name, token, problem) in rows {
            try await fixture.due(name, seconds: 30, submitter: token)
            let fired = try #require(try await fixture.fire())
            #expect(fired.turns.isEmpty && fired.refusal == problem, "\(name)")
            #expect(try await fixture.tenant.schedule(ScheduleID(name))?.problem == problem)
        }
        #expect(try await fixture.fire() == nil, "each waits for its next time")
        try await fixture.due("a", seconds: 5)
        #expect(try await fixture.tenant.schedule(ScheduleID("a"))?.problem == nil)
        #expect(try await fixture.fire()?.turns.count == 1, "somebody else put it again")
    }

    @Test("of 12 schedules put at once where 5 may be, 5 are there; they can still be changed")
    func capped() async throws {
        let fixture = try await StoreFixture.make(poolSize: 12)
        let schedule = try fixture.schedule()
        let made = try await withThrowingTaskGroup(of: ScheduleID?.self) { group in
            for index in 0..<12 {
                group.addTask {
                    let id = try ScheduleID("s\(index)")
                    let tenant = fixture.tenant
                    return try await tenant.put(id, schedule, next: nil, submitter: freshID(), atMost: 5)?.id
                }
            }
            return try await group.reduce(into: [ScheduleID]()) { if let id = $1 { $0.append(id) } }
        }
        #expect(made.count == 5)
        #expect(try await fixture.tenant.put(made[0], schedule, next: nil, submitter: freshID(), atMost: 5) != nil)
        #expect(try await fixture.tenant.deleteSchedule(made[0]))
        let next = try ScheduleID("next")
        #expect(try await fixture.tenant.put(next, schedule, next: nil, submitter: freshID(), atMost: 5) != nil)
    }
}

extension StoreFixture {
    fileprivate func schedule(_ catchUp: CatchUp = .skip, cron: String = "* * * * *") throws -> Schedule {
        Schedule(
            agent: self.agent,
            cron: try CronExpression(cron),
            timeZone: "UTC",
            catchUp: catchUp,
            input: TurnInput(text: "look"),
            isPaused: false
        )
    }

    /// Sets up a schedule that is due since `seconds` ago: of the ten minutes that have begun last when it is about missed
    /// runs, else of New Year, so that no minute that begins meanwhile brings another run.
    fileprivate func due(
        _ name: String,
        seconds: Int64,
        catchUp: CatchUp? = nil,
        submitter: TokenID = freshID()
    ) async throws {
        let id = try ScheduleID(name)
        let now = try await self.tenant.now
        let due = now - seconds
        let minutes = (0..<10).map { String((now / 60 - $0) % 60) }.joined(separator: ",")
        let schedule =
            try catchUp.map { try self.schedule($0, cron: "\(minutes) * * * *") } ?? self.schedule(cron: "0 0 1 1 *")
        _ = try await self.tenant.put(id, schedule, next: due, submitter: submitter, atMost: 100)
        _ = try await self.pool.query(
            """
            UPDATE turnpike.schedules SET next_at = to_timestamp(\(due)::bigint), ready_at = to_timestamp(\(due)::bigint)
            WHERE schedule = \(name)
            """
        )
    }

    fileprivate func fire() async throws -> FiredSchedule? {
        try await self.store.fireSchedule(
            { due in
                Firing(due: due.due, now: due.now, catchUp: due.schedule.catchUp) { time in
                    due.schedule.cron.next(after: time) { _ in 0 }
                }
            },
            newTurn: { freshID() }
        )
    }
}
