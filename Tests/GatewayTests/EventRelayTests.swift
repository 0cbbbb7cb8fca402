import Domain
import Postgres
import Runtime
import Store
import TestKit
import Testing

@testable import Gateway

@Suite("The event relay")
struct EventRelayTests {
    private struct Held {
        let store: Store
        let pool: ConnectionPool
        let term: Term
        let turn: ArmedTurn
        let relay: EventRelay
        let batches = Locked(0)
        let isTrusted = Locked(true)

        init(batch: Duration, progressSeconds: Int = 300) async throws {
            self.pool = try await StoreDatabase.pool(size: 2)
            self.store = Store(pool: self.pool)
            let submission = TurnSubmission(
                id: freshID(),
                org: try OrganizationID("default"),
                agent: try AgentID("echo"),
                conversation: try ConversationID("c"),
                run: freshID(),
                input: TurnInput(text: "hello"),
                queueLimit: 10
            )
            let term = try await self.store.beginTerm(
                self.store.accept(submission).number,
                nonce: freshID(),
                replica: freshID(),
                deployment: freshID(),
                limits: AgentLimits()
            )
            self.term = try #require(term)
            self.turn = try #require(self.term.armed)
            var limits = Limits()
            limits.eventBatch = batch
            self.relay = EventRelay(
                store: self.store,
                fence: self.term.fence,
                turn: self.turn.id,
                progressSeconds: progressSeconds,
                limits: limits,
                reactor: try TestPlatform.reactor(),
                isTrusted: { [isTrusted] in isTrusted.withLock { $0 } },
                changed: { [batches] in batches.withLock { $0 += 1 } }
            )
        }

        func deltas() async throws -> [String] {
            try await self.pool.query(
                "SELECT data ->> 'text' AS text FROM turnpike.events WHERE type = 'delta' ORDER BY seq"
            ).map { try $0.get("text") }
        }

        /// Runs the relay beside `body`, then returns what is left for the settlement.
        func running(
            lastActivity: @escaping @Sendable () -> ContinuousClock.Instant = { .now - .seconds(60) },
            _ body: () async throws -> Void
        ) async throws -> [TurnEvent] {
            let relay = self.relay
            async let run: Void = relay.run(lastActivity: lastActivity, onFenced: {})
            do {
                try await body()
            } catch {
                relay.finish()
                await run
                throw error
            }
            relay.finish()
            await run
            return relay.close()
        }
    }

    @Test("deltas that come together are one event, written in one batch")
    func merging() async throws {
        let held = try await Held(batch: .milliseconds(100))
        let left = try await held.running {
            for index in 0..<100 { held.relay.take(.delta(text: "\(index) ")) }
            try await eventually("the batch") { try await !held.deltas().isEmpty }
        }
        #expect(try await held.deltas() == [(0..<100).map { "\($0) " }.joined()])
        #expect(held.batches.withLock { $0 } == 1)
        #expect(left.isEmpty)
    }

    @Test("what was not written when the turn ends travels with the settlement, in order")
    func leftovers() async throws {
        let held = try await Held(batch: .seconds(30))
        let left = try await held.running {
            held.relay.take(.delta(text: "a"))
            held.relay.take(.thought(text: "b"))
            held.relay.take(.delta(text: "c"))
            held.relay.take(.delta(text: "d"))
        }
        #expect(left == [.delta(text: "a"), .thought(text: "b"), .delta(text: "cd")])
        let settlement = Settlement(
            turn: held.turn.id,
            seq: held.turn.seq,
            outcome: .completed(Reply(text: "acd", stopReason: "end_turn")),
            parent: 0,
            snapshot: nil,
            events: left
        )
        _ = try await held.store.settle(settlement, fence: held.term.fence)
        let types = try await held.pool.query("SELECT type, seq FROM turnpike.events ORDER BY seq").map {
            try $0.get("type", as: String.self)
        }
        #expect(types == ["turn.queued", "turn.started", "delta", "thought", "delta", "turn.completed"])
        // Nothing is taken once it is closed.
        held.relay.take(.delta(text: "late"))
        #expect(held.relay.close().isEmpty)
    }

    @Test("events that could not be written are written soon after, not at the end of the turn")
    func tryingAgain() async throws {
        let held = try await Held(batch: .milliseconds(1))
        _ = try await held.pool.query("ALTER TABLE turnpike.events RENAME TO hidden")
        let left = try await held.running {
            let before = held.pool.roundTrips
            held.relay.take(.delta(text: "first "))
            try await eventually("two failed writes") { held.pool.roundTrips > before + 1 }
            held.relay.take(.delta(text: "second"))
            _ = try await held.pool.query("ALTER TABLE turnpike.hidden RENAME TO events")
            try await eventually("the deltas") { try await held.deltas().joined() == "first second" }
        }
        #expect(left.isEmpty)
    }

    @Test("a batch whose answer was lost and that was not committed is written, too", arguments: [false, true])
    func doubt(endsAtOnce: Bool) async throws {
        let held = try await Held(batch: .milliseconds(1))
        let left = try await held.running {
            try await held.pool.withTransaction { blocker in
                _ = try await blocker.query("SELECT FROM turnpike.conversations FOR UPDATE")
                held.relay.take(.delta(text: "first "))
                // It waits for the row, and dies there.
                let cut: Query = """
                    SELECT pg_terminate_backend(pid) FROM pg_locks
                    WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))
                    """
                try await eventually("a write to be cut") { try await !blocker.query(cut).isEmpty }
            }
            if endsAtOnce { return }
            held.relay.take(.delta(text: "second"))
            try await eventually("the deltas") { try await held.deltas().joined() == "first second" }
        }
        #expect(left.isEmpty)
        #expect(try await held.deltas() == (endsAtOnce ? ["first "] : ["first ", "second"]))
    }

    @Test("nothing is written while the locks are not trusted, and all of it once they are")
    func distrust() async throws {
        let held = try await Held(batch: .milliseconds(1))
        held.isTrusted.withLock { $0 = false }
        let left = try await held.running(lastActivity: { .now }) {
            let before = held.pool.roundTrips
            held.relay.take(.delta(text: "first "))
            // Of the worker it is told that it lives.
            try await eventually("signs of life") { held.pool.roundTrips > before + 1 }
            #expect(held.batches.withLock { $0 } == 0)
            #expect(try await held.deltas().isEmpty)
            held.isTrusted.withLock { $0 = true }
            try await eventually("the delta") { try await held.deltas() == ["first "] }
        }
        #expect(left.isEmpty)
    }

    @Test("a sign of life that could not be noted is noted soon after, though the worker gives no other")
    func touchingAgain() async throws {
        // It looks for signs of life every second.
        let held = try await Held(batch: .milliseconds(1), progressSeconds: 4)
        _ = try await held.pool.query("ALTER TABLE turnpike.markers RENAME TO hidden")
        let sign = ContinuousClock.now + .milliseconds(500)
        let left = try await held.running(lastActivity: { sign }) {
            let before = held.pool.roundTrips
            try await eventually("a failed touch") { held.pool.roundTrips > before }
            _ = try await held.pool.query("ALTER TABLE turnpike.hidden RENAME TO markers")
            // Armed for the agent's five minutes and more.
            let touched: Query = "SELECT FROM turnpike.markers WHERE progress_deadline < now() + interval '1 minute'"
            try await eventually("the touch") { try await !held.pool.query(touched).isEmpty }
        }
        #expect(left.isEmpty)
    }

    @Test("a relay whose fence is no longer the conversation's says so once and stops")
    func fenced() async throws {
        let held = try await Held(batch: .milliseconds(1))
        _ = try await held.pool.query("UPDATE turnpike.conversations SET epoch = epoch + 1")
        let told = Locked(0)
        held.relay.take(.delta(text: "late"))
        await held.relay.run(lastActivity: { .now }, onFenced: { told.withLock { $0 += 1 } })
        #expect(told.withLock { $0 } == 1)
        #expect(held.relay.isFenced)
        #expect(try await held.deltas().isEmpty)
    }
}
