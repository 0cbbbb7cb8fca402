import Domain
import Postgres
import Runtime
import Store
import TestKit
import Testing

@testable import Gateway

@Suite("Sessions of one replica")
struct SessionTests {
    @Test("100 turns at once in one conversation are one session and come out in order")
    func oneSession() async throws {
        try await GatewayFixture.with { fixture in
            let agent = try await fixture.agent("counter", "counter")
            let turns = try await withThrowingTaskGroup(of: SubmittedTurn.self) { group in
                for _ in 0..<100 { group.addTask { try await fixture.submit(agent, "c") } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            for turn in turns.sorted(by: { $0.seq < $1.seq }) {
                let record = try await fixture.ended(turn)
                #expect(record.outcome?.reply.hasPrefix("n=\(turn.seq) ") == true)
            }
            #expect(try await fixture.deployments() == 1)
            #expect(fixture.replica.starts == 1)
            #expect(fixture.gateway.liveSessions == 1)
        }
    }

    @Test("the lock is held while the session lives and gone after it, and so is the row's owner")
    func lockLivesWithSession() async throws {
        try await GatewayFixture.with { fixture in
            let agent = try await fixture.agent("counter", "counter")
            let turn = try await fixture.submit(agent, "c")
            #expect(try await fixture.ended(turn).state == .completed)
            #expect(try await fixture.locks(turn.number) == 1)
            #expect(try await !fixture.isFree(turn.number))
            fixture.replica.conversationSession(turn)?.end(.evicted)
            try await eventually("the conversation to be free") { try await fixture.isFree(turn.number) }
            #expect(try await fixture.locks(turn.number) == 0)
            #expect(fixture.gateway.liveSessions == 0)
            // The state survives, on whatever worker comes next.
            #expect(try await fixture.ask(agent, "c").outcome?.reply.hasPrefix("n=2 ") == true)
            #expect(try await fixture.epoch(turn.number) == 2)
        }
    }

    @Test("a stored state whose bytes have changed fails the turn in so many words, and no worker gets it")
    func damaged() async throws {
        try await GatewayFixture.with { fixture in
            let agent = try await fixture.agent("counter", "counter")
            let turn = try await fixture.submit(agent, "c")
            #expect(try await fixture.ended(turn).state == .completed)
            fixture.replica.conversationSession(turn)?.end(.evicted)
            try await eventually("the conversation to be free") { try await fixture.isFree(turn.number) }
            _ = try await fixture.pool.query("UPDATE turnpike.snapshots SET body = body || 'x'::bytea")
            let record = try await fixture.ask(agent, "c")
            #expect(record.outcome?.code == "snapshot_failed")
            #expect(record.outcome?.message?.hasPrefix("the snapshot of turn 1 is not what was stored") == true)
            #expect(fixture.replica.starts == 1)
        }
    }

    @Test("a worker that goes in the middle of a turn fails it, whatever its exit code", arguments: ["0", "3", "kill"])
    func workerExits(code: String) async throws {
        try await GatewayFixture.with { fixture in
            let agent = try await fixture.agent("exit", "exit", code)
            let turn = try await fixture.submit(agent, "c")
            let record = try await fixture.ended(turn)
            #expect(record.state == .failed)
            #expect(record.outcome?.code == "worker_exited")
            #expect(record.outcome?.reply == "half ")
            #expect(record.outcome?.message?.contains("out of cheese") == true)
            #expect(try await fixture.outcomes(turn) == 1)
            try await eventually("the conversation to be free") { try await fixture.isFree(turn.number) }
        }
    }

    @Test("with retries: 1 a turn whose first worker goes is answered by a second one")
    func retry() async throws {
        try await GatewayFixture.with { fixture in
            let flag = try ScratchDirectory()
            let agent = try await fixture.agent("flaky") { configuration in
                let run = "exec /usr/bin/python3 -I -S \(GatewayFixture.double)"
                let script = "if mkdir \(flag.path)/ran; then \(run) exit 3; else \(run) echo; fi"
                configuration.command = ["/bin/sh", "-c", script]
                configuration.retries = 1
            }
            let turn = try await fixture.submit(agent, "c", "again")
            let record = try await fixture.ended(turn)
            #expect(record.state == .completed)
            #expect(record.outcome?.reply == "again ")
            #expect(record.attempt == 2)
            #expect(try await fixture.outcomes(turn) == 1)
            let retried: Query = "SELECT count(*) FROM turnpike.events WHERE type = 'turn.retried'"
            #expect(try await fixture.count(retried) == 1)
            withExtendedLifetime(flag) {}
        }
    }

    @Test("an agent at its limit lets the next conversation wait, ends the idle one, and spends no attempt")
    func atCapacity() async throws {
        try await GatewayFixture.with { fixture in
            let agent = try await fixture.agent("single", "counter") { $0.limits.maxWorkers = 1 }
            let other = try await fixture.agent("other", "counter")
            let bystander = try await fixture.submit(other, "x")
            _ = try await fixture.ended(bystander)
            let first = try await fixture.submit(agent, "a")
            _ = try await fixture.ended(first)
            let second = try await fixture.ask(agent, "b")
            #expect(second.state == .completed)
            #expect(second.attempt == 1)
            #expect(fixture.replica.metrics.value("turnpike_deferrals_total", labels: ["reason": "at_capacity"]) >= 1)
            #expect(try await fixture.isFree(first.number))
            // The other agent's worker had been idle for longer, but ending it would not have helped.
            #expect(try await !fixture.isFree(bystander.number))
        }
    }

    @Test("a fresh worker is told what was said before, once, and the log says that it was")
    func seeded() async throws {
        try await GatewayFixture.with { fixture in
            let script = GatewayFixture.double.replacing("worker_double.py", with: "session_double.py")
            func configure(_ idleSeconds: Int) async throws -> AgentID {
                try await fixture.agent("forgetful", store: .none) {
                    $0.command = ["/usr/bin/python3", "-I", "-S", script, "forgetful"]
                    $0.limits.idleSeconds = idleSeconds
                }
            }
            let agent = try await configure(900)
            let first = try await fixture.submit(agent, "c", "one")
            #expect(try await fixture.ended(first).state == .completed)
            let contexts: Query = "SELECT count(*) FROM turnpike.events WHERE type = 'context'"
            #expect(try await fixture.count(contexts) == 0)
            // Another configuration is another worker.
            _ = try await configure(901)
            let second = try #require(try await fixture.ask(agent, "c", "two").outcome?.reply)
            #expect(second.contains(#"\"user\":\"one\""#) || second.contains(#"\"assistant\""#))
            #expect(second.hasSuffix(#", "two"]}"#))
            let third = try #require(try await fixture.ask(agent, "c", "three").outcome?.reply)
            #expect(third.hasSuffix(#""texts": ["three"]}"#))
            let seeded: Query = """
                SELECT count(*) FROM turnpike.events
                WHERE type = 'context' AND data ->> 'context' = 'seeded' AND data ->> 'turns' = '1'
                """
            #expect(try await fixture.count(seeded) == 1)
            #expect(try await fixture.count(contexts) == 1)
            // A direct turn has nothing before it.
            let direct = try #require(try await fixture.ask(agent, nil, "alone").outcome?.reply)
            #expect(direct.hasSuffix(#""heard": [], "texts": ["alone"]}"#))
        }
    }

    @Test("an agent that stops keeping snapshots answers in conversations that have some")
    func storeModeChanges() async throws {
        try await GatewayFixture.with { fixture in
            let agent = try await fixture.agent("counter", "counter")
            #expect(try await fixture.ask(agent, "c").state == .completed)
            try await fixture.agent("counter", "echo", store: .none) { $0.limits.progressSeconds = 1 }
            for text in ["one", "two"] {
                let record = try await fixture.ask(agent, "c", text)
                #expect(record.outcome?.reply == "\(text) ")
            }
            // What there was is still there for whoever keeps snapshots again.
            try await fixture.agent("counter", "counter")
            #expect(try await fixture.ask(agent, "c").outcome?.reply.hasPrefix("n=2 ") == true)
        }
    }

    @Test("a turn that was armed for a session on its way down is served by the next one")
    func strayTurn() async throws {
        try await GatewayFixture.with { fixture in
            let agent = try await fixture.agent("counter", "counter")
            let first = try await fixture.submit(agent, "c")
            _ = try await fixture.ended(first)
            let session = try #require(fixture.replica.conversationSession(first))
            try await eventually("the session to be idle") { session.idleSince != nil }
            let handOver = try #require(session.reserve())
            let intake = try await fixture.store.accept(self.submission(agent, "c"), handOver: handOver)
            #expect(intake.armed != nil)
            session.abort(.lockLost)
            session.decide(intake.armed)
            let turn = try #require(intake.turn)
            let record = try await fixture.gateway.tenant(fixture.org).turn(turn, waitingAtMost: .seconds(10))
            #expect(record.outcome?.reply.hasPrefix("n=2 ") == true)
        }
    }

    @Test("a turn whose hand-over the session did not hear of is found by the poll")
    func unheardHandOver() async throws {
        try await GatewayFixture.with { fixture in
            let agent = try await fixture.agent("counter", "counter")
            let first = try await fixture.submit(agent, "c")
            _ = try await fixture.ended(first)
            let session = try #require(fixture.replica.conversationSession(first))
            try await eventually("the session to be idle") { session.idleSince != nil }
            let handOver = try #require(session.reserve())
            let intake = try await fixture.store.accept(self.submission(agent, "c"), handOver: handOver)
            session.decide(nil)
            let turn = try #require(intake.turn)
            let record = try await fixture.gateway.tenant(fixture.org).turn(turn, waitingAtMost: .seconds(10))
            #expect(record.outcome?.reply.hasPrefix("n=2 ") == true)
            #expect(try await fixture.deployments() == 1)
        }
    }

    private func submission(_ agent: AgentID, _ conversation: String) throws -> TurnSubmission {
        TurnSubmission(
            id: freshID(),
            org: try OrganizationID("default"),
            agent: agent,
            conversation: try ConversationID(conversation),
            run: freshID(),
            input: TurnInput(text: "hello"),
            queueLimit: 100
        )
    }
}
