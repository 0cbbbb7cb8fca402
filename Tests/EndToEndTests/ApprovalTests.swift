import Domain
import Foundation
import Glibc
import TestKit
import Testing

extension EndToEnd {
    /// Two calls of one turn, decided at the same instant on two replicas; the effects are counted by a server of their own.
    @Suite struct ApprovalTests {
        /// More of them: `make approvals`.
        private static let rounds = Int(ProcessInfo.processInfo.environment["TURNPIKE_APPROVAL_ROUNDS"] ?? "") ?? 8
        private static let deaths = Int(ProcessInfo.processInfo.environment["TURNPIKE_APPROVAL_ROUNDS"] ?? "") ?? 2

        @Test(
            "of two calls decided at the same instant on two replicas each is made once, and the turn ends once",
            arguments: ["asking", "parking"]
        )
        func twoDecisions(mode: String) async throws {
            try await Installation.with { installation in
                let effects = try await EffectServer.start(in: installation.folder)
                let clients = try await installation.replicas(2).map { installation.client($0.port) }
                try await Self.put(mode, effects, clients[0])
                let start = ContinuousClock.now
                for round in 0..<Self.rounds {
                    let names = ["a\(round)", "b\(round)"]
                    let turn = try await clients[round % 2].submit(mode, "c\(round % 3)", names.joined(separator: " "))
                    let questions = try await Self.questions(of: turn, names.count, clients[0])
                    try await withThrowingTaskGroup(of: Void.self) { group in
                        for (client, question) in zip(clients, questions) {
                            group.addTask {
                                let status = try await Self.decide(question, client)
                                #expect(status == 200)
                            }
                        }
                        try await group.waitForAll()
                    }
                    #expect(try await clients[1].outcome(turn).state == "completed", "round \(round)")
                    for name in names { #expect(try await effects.counts()[name] == 1, "\(name)") }
                }
                Figures.report("\(Self.rounds) rounds of two decisions, \(mode): \(ContinuousClock.now - start)")
                #expect(try await effects.counts().count == 2 * Self.rounds)
                try await Ledger(installation).check(turns: Self.rounds)
                try await effects.stop()
            }
        }

        @Test(
            "a replica that dies with a decision committed and nobody woken costs nothing: the call is made once elsewhere",
            arguments: ["asking", "parking"]
        )
        func deathBeforeWake(mode: String) async throws {
            try await Installation.with { installation in
                let effects = try await EffectServer.start(in: installation.folder)
                let steady = installation.client(try await installation.replica().port)
                try await Self.put(mode, effects, steady)
                let start = ContinuousClock.now
                for round in 0..<Self.deaths {
                    let names = ["a\(round)", "b\(round)"]
                    // Before the other replica is there, so that the worker is the steady one's.
                    let turn = try await steady.submit(mode, "c", names.joined(separator: " "))
                    let questions = try await Self.questions(of: turn, names.count, steady)
                    let doomed = try await installation.replica(["fault": "decisionCommitted:exit"])
                    try await withThrowingTaskGroup(of: Void.self) { group in
                        group.addTask {
                            let status = try await Self.decide(questions[0], steady)
                            #expect(status == 200)
                        }
                        group.addTask {
                            // It dies before it answers.
                            _ = try? await Self.decide(questions[1], installation.client(doomed.port))
                        }
                        try await group.waitForAll()
                    }
                    try await doomed.process.end(within: .seconds(10))
                    #expect(try await Self.decide(questions[1], steady) == 200, "the decision counts: the same again")
                    #expect(try await steady.outcome(turn).state == "completed", "round \(round)")
                    for name in names { #expect(try await effects.counts()[name] == 1, "\(name)") }
                }
                let duration = ContinuousClock.now - start
                Figures.report("\(Self.deaths) deaths between decision and wake, \(mode): \(duration)")
                #expect(try await effects.counts().count == 2 * Self.deaths)
                try await Ledger(installation).check(turns: Self.deaths)
                try await effects.stop()
            }
        }

        @Test("decisions that come after the worker's replica died count: the retried turn gets each of them, once")
        func deathBeforeDecision() async throws {
            try await Installation.with { installation in
                let effects = try await EffectServer.start(in: installation.folder)
                let doomed = try await installation.replica()
                let client = installation.client(doomed.port)
                try await Self.put("asking", effects, client, more: #","retries":1"#)
                let turn = try await client.submit("asking", "c", "a b")
                let questions = try await Self.questions(of: turn, 2, client)
                let heir = installation.client(try await installation.replica().port)
                try await doomed.kill()
                for question in questions { #expect(try await Self.decide(question, heir) == 200) }
                let outcome = try await heir.outcome(turn)
                #expect(outcome.state == "completed" && outcome.reply == "a b", "\(outcome)")
                #expect(try await effects.counts() == ["a": 1, "b": 1])
                #expect(try await Self.questions(of: turn, 0, heir).isEmpty, "nobody is asked again")
                try await Ledger(installation).check(turns: 1)
                try await effects.stop()
            }
        }

        private static func put(
            _ mode: String,
            _ effects: EffectServer,
            _ client: Client,
            more: String = ""
        ) async throws {
            try await client.put(
                mode,
                Places.double("parking_double.py", mode, effects.url),
                more: #","permissions":"ask","store_mode":"none""# + more
            )
        }

        /// The open questions of a turn, once there are `count`.
        private static func questions(of turn: String, _ count: Int, _ client: Client) async throws -> [String] {
            var found: [String] = []
            try await eventually("\(count) questions of \(turn)", within: .seconds(30)) {
                let listed = try await client.http.send("GET", "/v1/approvals?state=pending").json()
                found = (listed["approvals"]?.elements ?? []).filter { $0["turn"]?.text == turn }
                    .compactMap { $0["id"]?.text }
                return found.count == count
            }
            return found
        }

        private static func decide(_ question: String, _ client: Client) async throws -> Int {
            try await client.http.send("POST", "/v1/approvals/\(question)", #"{"decision":"allow"}"#).status
        }
    }
}

/// Counts what workers do to the world outside.
struct EffectServer: Sendable {
    private let process: Spawned
    private let port: Int

    var url: String { "http://127.0.0.1:\(self.port)/" }

    static func start(in folder: ScratchDirectory) async throws -> EffectServer {
        let process = try await Spawned.start(
            Places.double("effect_server.py"),
            environment: [:],
            output: folder.file("effect-server.log")
        )
        var port = 0
        try await eventually("the effect server listens") {
            port = Int(process.text.prefix { $0.isNumber }) ?? 0
            return process.text.contains("\n") && port > 0
        }
        return EffectServer(process: process, port: port)
    }

    /// How often each effect was had.
    func counts() async throws -> [String: Int64] {
        let answer = try await HTTPClient(port: self.port).send("GET", "/").json()
        guard case .object(let counts) = answer else { return [:] }
        return counts.compactMapValues(\.integer)
    }

    func stop() async throws {
        self.process.signal(SIGKILL)
        try await self.process.end(within: .seconds(5))
    }
}
