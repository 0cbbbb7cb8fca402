import Domain
import Foundation
import Postgres
import Store
import TestKit
import Testing
import Workers

@testable import Gateway

@Suite("Turns that wait for people without a worker", .serialized)
struct ParkingTests {
    private static let double = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Doubles/parking_double.py").path

    /// Two replicas with the agent `parker`; its effects are the lines of a file.
    private func withParker(
        _ mode: String = "parking",
        _ change: @escaping @Sendable (inout AgentConfiguration) -> Void = { _ in },
        _ body: @escaping @Sendable (GatewayFixture, AgentID, @escaping @Sendable () -> [String]) async throws -> Void
    ) async throws {
        let folder = try ScratchDirectory()
        let file = folder.file("effects")
        try await GatewayFixture.with({ $0.replicas = 2 }) { fixture in
            let agent = try await fixture.agent("parker") { configuration in
                configuration.command = ["/usr/bin/python3", "-I", "-S", Self.double, mode, file]
                configuration.permissions = .ask
                change(&configuration)
            }
            try await body(fixture, agent) {
                let text = FileManager.default.contents(atPath: file) ?? Data()
                return String(decoding: text, as: UTF8.self).split(separator: "\n").map(String.init)
            }
        }
        withExtendedLifetime(folder) {}
    }

    private func tenant(_ fixture: GatewayFixture, _ replica: Int = 0) -> Tenant {
        fixture.replicas[replica].gateway.tenant(fixture.org)
    }

    /// The open questions of a turn by their calls, once there are `count` and the turn is parked.
    private func parked(
        _ turn: SubmittedTurn,
        _ count: Int,
        _ fixture: GatewayFixture
    ) async throws -> [String: ApprovalRecord] {
        var found: [ApprovalRecord] = []
        try await eventually("the turn to be parked", within: .seconds(20)) {
            found = try await self.tenant(fixture).approvals(state: .pending, after: nil, limit: 100)
                .filter { $0.turn == turn.id }
            let state = try await self.tenant(fixture).turn(turn.id).state
            return found.count == count && state == .parked
        }
        return Dictionary(uniqueKeysWithValues: found.map { ($0.call ?? "", $0) })
    }

    private func decide(
        _ question: ApprovalRecord?,
        _ wish: ApprovalWish,
        _ fixture: GatewayFixture,
        on replica: Int = 0
    ) async throws {
        _ = try await self.tenant(fixture, replica).decide(
            try #require(question).id,
            wish,
            reason: nil,
            by: try NewID.make(TokenID.self),
            mayMakeRules: true
        )
    }

    private func types(_ turn: SubmittedTurn, _ fixture: GatewayFixture) async throws -> [String] {
        try await self.tenant(fixture).events(turn.number, after: 0, turn: turn.id, limit: 100).page.map(\.type)
    }

    @Test(
        "a parked turn holds no worker, no lock and no row, keeps its place, and goes on where the last decision wakes it"
    )
    func whole() async throws {
        try await self.withParker { fixture, agent, effects in
            let turn = try await fixture.submit(agent, "c", "a b")
            let questions = try await self.parked(turn, 2, fixture)
            try await eventually("everything to be let go") {
                let isFree = fixture.replicas.allSatisfy { $0.gateway.liveSessions == 0 }
                let workers = fixture.replicas.map { $0.gateway.workers().workers.count }
                let locks = try await fixture.locks(turn.number)
                return isFree && workers == [0, 0] && locks == 0
            }
            let later = try await fixture.submit(agent, "c", "z")
            #expect(later.ahead == 1)
            try await self.decide(questions["b"], .deny, fixture, on: 1)
            #expect(try await self.tenant(fixture).turn(turn.id).state == .parked, "one question is open")
            #expect(try await self.tenant(fixture).turn(later.id).state == .queued)
            try await self.decide(questions["a"], .allow, fixture, on: 1)
            let ended = try await fixture.ended(turn)
            #expect(ended.outcome?.reply == "asked a=made, b=denied", "\(String(describing: ended.outcome))")
            #expect(ended.attempt == 1, "going on is no new attempt")
            #expect(effects() == ["a"])
            #expect(
                try await self.types(turn, fixture) == [
                    "turn.queued", "turn.started", "delta", "approval.requested", "approval.requested", "turn.parked",
                    "approval.resolved", "approval.resolved", "turn.started", "call", "call", "delta", "turn.completed",
                ]
            )
            let call = try await self.tenant(fixture).approval(try #require(questions["a"]).id)
            #expect(call.callState == .done)
            _ = try await self.parked(later, 1, fixture)
            try await eventually("what the worker left to be forgotten") {
                try await fixture.count("SELECT count(*) FROM turnpike.parks") == 1
            }
        }
    }

    @Test(
        "a call that a dead run had begun is unknown and never begun again, unless its tool says that it does no harm"
    )
    func unknown() async throws {
        try await self.withParker("parking", { $0.retries = 2 }) { fixture, agent, effects in
            for (name, reply, made) in [("x~", "asked x~=unknown", 1), ("y~!", "asked y~!=made", 2)] {
                let turn = try await fixture.submit(agent, name == "x~" ? "c" : "d", name)
                let questions = try await self.parked(turn, 1, fixture)
                try await self.decide(questions[name], .allow, fixture)
                let ended = try await fixture.ended(turn)
                #expect(ended.outcome?.reply == reply, "\(String(describing: ended.outcome))")
                #expect(ended.attempt == 2)
                #expect(effects().filter { $0 == name }.count == made)
                let state = try await self.tenant(fixture).approval(try #require(questions[name]).id).callState
                #expect(state == (made == 1 ? .unknown : .done))
            }
        }
    }

    @Test("a turn whose run died in a call and has no other says of the call that its result is unknown")
    func lastRun() async throws {
        try await self.withParker { fixture, agent, effects in
            let turn = try await fixture.submit(agent, "c", "x~")
            let questions = try await self.parked(turn, 1, fixture)
            try await self.decide(questions["x~"], .allow, fixture)
            let ended = try await fixture.ended(turn)
            #expect(ended.outcome?.code == "worker_exited" && effects() == ["x~"])
            let state = try await self.tenant(fixture).approval(try #require(questions["x~"]).id).callState
            #expect(state == .unknown)
        }
    }

    @Test("nobody's decision wakes a parked turn as well, when its time is over, and says so")
    func expired() async throws {
        try await self.withParker("parking", { $0.limits.approvalSeconds = 1 }) { fixture, agent, effects in
            let turn = try await fixture.submit(agent, "c", "a b")
            let ended = try await fixture.ended(turn)
            #expect(ended.outcome?.reply == "asked a=expired, b=expired" && effects().isEmpty)
            let all = try await self.tenant(fixture).approvals(state: .expired, after: nil, limit: 10)
            #expect(all.count == 2)
            await #expect(throws: GatewayError.approvalOver(.expired)) {
                try await self.decide(all.first, .allow, fixture)
            }
        }
    }

    @Test("a turn that cannot be ended keeps nobody from sweeping the others")
    func stuckSweep() async throws {
        try await self.withParker("parking", { $0.limits.approvalSeconds = 1 }) { fixture, agent, effects in
            try await fixture.leaveTurns(of: 2, areOverdue: true)
            let ended = try await fixture.ended(fixture.submit(agent, "c", "a"))
            #expect(ended.outcome?.reply == "asked a=expired" && effects().isEmpty)
            #expect(try await fixture.count("SELECT count(*) FROM turnpike.markers WHERE hard_deadline < now()") > 0)
        }
    }

    @Test("cancelling a parked turn settles it at once with what it had said, and the next one follows")
    func cancelled() async throws {
        try await self.withParker { fixture, agent, effects in
            let turn = try await fixture.submit(agent, "c", "a")
            let questions = try await self.parked(turn, 1, fixture)
            let later = try await fixture.submit(agent, "c", "b")
            let cancelled = try await self.tenant(fixture, 1).cancel(turn.id)
            #expect(cancelled.state == .cancelled && cancelled.outcome?.reply == "asked ")
            await #expect(throws: GatewayError.approvalOver(.withdrawn)) {
                try await self.decide(questions["a"], .allow, fixture)
            }
            let next = try await self.parked(later, 1, fixture)
            try await self.decide(next["b"], .allow, fixture)
            #expect(try await fixture.ended(later).outcome?.reply == "asked b=made")
            #expect(effects() == ["b"])
        }
    }

    @Test("a parked turn whose calls the rules or the agent's policy decide goes on without people")
    func decidedAtOnce() async throws {
        try await self.withParker { fixture, agent, effects in
            let tenant = self.tenant(fixture)
            for (effect, name) in [(ApprovalEffect.allow, "a"), (.deny, "b")] {
                _ = try await tenant.makeApprovalRule(
                    agent: agent,
                    tool: "call",
                    arguments: ["name": .string(name)],
                    effect: effect,
                    reason: nil,
                    by: try NewID.make(TokenID.self)
                )
            }
            let ended = try await fixture.ask(agent, "c", "a b")
            #expect(ended.outcome?.reply == "asked a=made, b=denied" && effects() == ["a"])
            #expect(ended.attempt == 1)
            let decided = try await tenant.approvals(state: .decided, after: nil, limit: 10)
            #expect(decided.count == 2 && decided.allSatisfy { $0.rule != nil && $0.decidedBy == nil })
        }
    }

    @Test("an option for always decides the parked calls like it in every conversation, and what comes later")
    func always() async throws {
        try await self.withParker { fixture, agent, effects in
            let turns = [
                try await fixture.submit(agent, "c", "a"), try await fixture.submit(agent, "d", "a"),
                try await fixture.submit(agent, "e", "other"),
            ]
            var questions: [[String: ApprovalRecord]] = []
            for turn in turns { questions.append(try await self.parked(turn, 1, fixture)) }
            try await self.decide(questions[0]["a"], .option("always"), fixture)
            for turn in turns.prefix(2) { #expect(try await fixture.ended(turn).outcome?.reply == "asked a=made") }
            #expect(try await self.tenant(fixture).turn(turns[2].id).state == .parked, "other arguments")
            #expect(try await fixture.ask(agent, "f", "a").outcome?.reply == "asked a=made")
            #expect(effects() == ["a", "a", "a"])
            let sibling = try await self.tenant(fixture).approval(try #require(questions[1]["a"]).id)
            let rules = try await self.tenant(fixture).approvalRules(after: nil, limit: 10)
            #expect(sibling.rule == rules.first?.id && sibling.decision == "once" && rules.count == 1)
        }
    }

    @Test("a worker that parks without having said that it can fails its turn, and so does one with no calls")
    func unsaid() async throws {
        try await self.withParker("unsaid") { fixture, agent, _ in
            let ended = try await fixture.ask(agent, "c", "a")
            #expect(ended.outcome?.code == "protocol_error")
        }
        try await self.withParker { fixture, agent, _ in
            let ended = try await fixture.ask(agent, "c", " ")
            #expect(ended.outcome?.code == "protocol_error", "\(String(describing: ended.outcome))")
        }
    }

    @Test("a call that would be made with other arguments than people were shown is refused")
    func changed() async throws {
        try await self.withParker { fixture, agent, effects in
            let turn = try await fixture.submit(agent, "c", "a% b")
            for question in try await self.parked(turn, 2, fixture).values {
                try await self.decide(question, .allow, fixture)
            }
            #expect(try await fixture.ended(turn).outcome?.reply == "asked a%=changed arguments, b=made")
            #expect(effects() == ["b"])
        }
    }

    @Test("a turn that parks again and again has the time of one turn, not of one for each run")
    func time() async throws {
        try await self.withParker(
            "again",
            {
                ($0.permissions, $0.limits.turnSeconds) = (.allow, 3)
            }
        ) { fixture, agent, _ in
            let turn = try await fixture.submit(agent, "c", "a")
            let ended = try await fixture.ended(turn)
            #expect(ended.outcome?.code == "deadline_exceeded", "\(String(describing: ended.outcome))")
            let parked = try await self.types(turn, fixture).filter { $0 == "turn.parked" }.count
            #expect((1...6).contains(parked), "half a second each is all there is: \(parked)")
        }
    }

    @Test("a direct turn can be parked, too, and a deleted conversation takes its parked turn with it")
    func elsewhere() async throws {
        try await self.withParker { fixture, agent, effects in
            let direct = try await fixture.submit(agent, nil, "a")
            let questions = try await self.parked(direct, 1, fixture)
            try await self.decide(questions["a"], .allow, fixture)
            #expect(try await fixture.ended(direct).outcome?.reply == "asked a=made")
            let turn = try await fixture.submit(agent, "c", "b")
            _ = try await self.parked(turn, 1, fixture)
            try await self.tenant(fixture).deleteConversation(agent, try ConversationID("c"))
            #expect(try await self.tenant(fixture).turn(turn.id).state == .cancelled)
            #expect(try await fixture.count("SELECT count(*) FROM turnpike.calls WHERE call = 'b'") == 0)
            #expect(effects() == ["a"])
        }
    }
}
