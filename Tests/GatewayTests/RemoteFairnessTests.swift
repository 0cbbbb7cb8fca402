import Domain
import Postgres
import TestKit
import Testing

@testable import Gateway

@Suite("Fairness between agents whose workers are elsewhere")
struct RemoteFairnessTests {
    @Test("one turn of another agent does not wait behind 200 conversations, however few workers there are")
    func backlog() async throws {
        try await GatewayFixture.with { fixture in
            let busy = try await fixture.remoteAgent("busy", store: .none)
            let quiet = try await fixture.remoteAgent("quiet", store: .none)
            let desk = try await fixture.remoteDesk()
            for index in 0..<200 { _ = try await fixture.submit(busy, "c\(index)") }
            var order: [String] = []
            /// Performs one turn, as a worker does that has one at a time.
            func perform() async throws {
                let assignment = try #require(try await desk.take(patience: .seconds(10)))
                order.append(assignment.run.agent.text)
                try await desk.end(assignment, .completed(Reply(text: "x", stopReason: "end_turn")))
            }
            for _ in 0..<3 { try await perform() }
            let turn = try await fixture.submit(quiet, "c")
            for _ in 0..<2 { try await perform() }
            #expect(order.contains("quiet"), "it waited for the backlog: \(order)")
            #expect(try await fixture.ended(turn).state == .completed)
            // And again: the two take turns as long as both have some.
            for index in 0..<4 { _ = try await fixture.submit(quiet, "d\(index)") }
            order = []
            for _ in 0..<8 { try await perform() }
            #expect(order.count { $0 == "quiet" } == 4, "\(order)")
        }
    }
}
