import Domain
import Postgres
import Store
import TestKit
import Testing

@testable import Gateway

@Suite("Runs that are used up")
struct ExhaustionTests {
    /// Who performs a turn: the real things, and the doubles that stand for the programs of others.
    enum Performer: String, CaseIterable, Sendable {
        case program, double, remoteWorker
    }

    private static let retries = 2

    @Test(
        "when every run of a turn has failed, the last one's error is in its outcome, its log and its dead letter",
        arguments: Performer.allCases
    )
    func surfaces(_ performer: Performer) async throws {
        let folder = try ScratchDirectory()
        // Each run fails in a way of its own, by its number.
        let count = #"n=$(($(cat "$0" 2>/dev/null || echo 0) + 1)); echo $n > "$0"; echo "trouble $n" >&2"#
        let file = folder.file("runs")
        try await GatewayFixture.with { fixture in
            let agent: AgentID
            switch performer {
            case .program:
                agent = try await fixture.agent("doomed", store: .none) {
                    ($0.driver, $0.retries) = (.command, Self.retries)
                    $0.command = ["/bin/sh", "-c", "\(count); exit $n", file]
                }
            case .double:
                let double = "exec /usr/bin/python3 -I -S \(GatewayFixture.double) exit $n"
                agent = try await fixture.agent("doomed") {
                    $0.retries = Self.retries
                    $0.command = ["/bin/sh", "-c", "\(count); \(double)", file]
                }
            case .remoteWorker: agent = try await fixture.remoteAgent("doomed") { $0.retries = Self.retries }
            }
            let turn = try await fixture.submit(agent, "c")
            if performer == .remoteWorker {
                let desk = try await fixture.remoteDesk()
                for run in 1...Self.retries + 1 {
                    let assignment = try #require(try await desk.take(patience: .seconds(10)))
                    #expect(assignment.run.attempt == run)
                    let error = "the program ended with status \(run)"
                    try await desk.end(assignment, .failed(.workerExited, message: error, partial: ""))
                }
            }
            try await Self.check(turn, fixture)
        }
        withExtendedLifetime(folder) {}
    }

    private static func check(_ turn: SubmittedTurn, _ fixture: GatewayFixture) async throws {
        let record = try await fixture.ended(turn)
        let message = try #require(record.outcome?.message)
        #expect(record.attempt == Self.retries + 1)
        #expect(record.outcome?.code == "retries_exhausted" && message.hasPrefix("run 3: "), "\(message)")
        #expect(message.contains("status 3") && !message.contains("status 1"), "the last error, not the first")
        let events = try await fixture.gateway.tenant(fixture.org)
            .events(turn.number, after: 0, turn: turn.id, limit: 100).page
        let retried = events.filter { $0.type == "turn.retried" }.map(\.data)
        #expect(retried.count == Self.retries, "each run that failed is in the log, with its own error")
        for (run, data) in zip(1..., retried) { #expect(data.contains("status \(run)"), "\(data)") }
        #expect(events.filter { $0.type == "turn.failed" }.count == 1 && events.last?.type == "turn.failed")
        let last = events.last?.data ?? ""
        #expect(last.contains("retries_exhausted") && last.contains("status 3"), "\(last)")
        let letters = try await fixture.gateway.deadLetters(limit: 10).filter { $0.turn == turn.id }
        #expect(letters.count == 1 && letters.first?.attempts == Self.retries + 1)
        #expect(letters.first?.code == "retries_exhausted" && letters.first?.message == message)
    }

    @Test("a turn whose last run was taken from its holder says why in its outcome and in its dead letter")
    func swept() async throws {
        try await GatewayFixture.with { fixture in
            let agent = try await fixture.remoteAgent("far") { $0.retries = 1 }
            let desk = try await fixture.remoteDesk()
            let turn = try await fixture.submit(agent, "c")
            for run in 1...2 {
                let assignment = try #require(try await desk.take(patience: .seconds(10)))
                #expect(assignment.run.attempt == run)
                _ = try await fixture.pool.query(
                    """
                    UPDATE turnpike.remote_runs SET lease_until = now() - interval '1 second' WHERE ended_at IS NULL
                    """
                )
                try await eventually("the lease to be taken back") {
                    try await fixture.count("SELECT count(*) FROM turnpike.remote_runs WHERE ended_at IS NULL") == 0
                }
            }
            let record = try await fixture.ended(turn)
            #expect(record.outcome?.code == "worker_unresponsive" && record.outcome?.message?.isEmpty == false)
            let letters = try await fixture.gateway.deadLetters(limit: 10)
            #expect(letters.map(\.turn) == [turn.id] && letters.first?.attempts == 2)
            #expect(letters.first?.message == record.outcome?.message)
        }
    }
}
