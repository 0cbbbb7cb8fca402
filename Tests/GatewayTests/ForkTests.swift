import Domain
import TestKit
import Testing

@testable import Gateway

@Suite("Forks")
struct ForkTests {
    @Test("the agent of a fork that makes nothing of the state it gets is told what was said up to there")
    func told() async throws {
        try await GatewayFixture.with { fixture in
            let agent = try await fixture.agent("echo", "echo") { $0.snapshots.kind = .directory }
            for text in ["one", "two", "three"] {
                #expect(try await fixture.ask(agent, "c", text).state == .completed)
            }
            let tenant = fixture.gateway.tenant(fixture.org)
            _ = try await tenant.fork(agent, ConversationID("c"), from: 2, to: ConversationID("f"))
            let turn = try await fixture.submit(agent, "f", "and now")
            let outcome = try await fixture.ended(turn).outcome
            #expect(outcome?.reply == "and now ", "the seed is a part of its own")
            let events = try await tenant.events(turn.number, after: 0, turn: nil, limit: 100).page
            let context = try #require(events.first { $0.type == "context" }).data
            #expect(context.contains(#""context":"seeded""#) && context.contains(#""turns":2"#), "\(context)")
        }
    }
}
