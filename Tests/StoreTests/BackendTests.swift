import Domain
import Postgres
import Store
import Testing

@Suite("Backends of conversations")
struct BackendTests {
    private static func change(_ id: String, after previous: String? = nil) throws -> BackendSwitch {
        BackendSwitch(
            id: try #require(BackendID(id)),
            previous: previous.flatMap { BackendID($0) },
            cacheKey: "key"
        )
    }

    @Test("a backend is kept with its event, shown with its conversation, and written only on change")
    func keeping() async throws {
        let fixture = try await StoreFixture.make()
        let (term, turn, _) = try await fixture.hold("c")
        #expect(try await fixture.store.served(turn.id, fence: term.fence) == ServedTurn(backend: nil))
        let first = try Self.change("a")
        #expect(try await fixture.store.keep(first, turn: turn.id, fence: term.fence).value == true)
        #expect(try await fixture.store.keep(first, turn: turn.id, fence: term.fence).value == false)
        let second = try Self.change("b", after: "a")
        #expect(try await fixture.store.keep(second, turn: turn.id, fence: term.fence).value == true)
        #expect(try await fixture.store.served(turn.id, fence: term.fence)?.backend?.text == "b")
        let shown = try await fixture.tenant.conversation(fixture.agent, try ConversationID("c"))
        #expect(shown?.backend == "b")
        let events = try await fixture.tenant.events(
            term.fence.conversation,
            after: 0,
            turn: turn.id,
            limit: 10,
            bytes: 1 << 20
        )
        #expect(events.map(\.type) == ["turn.queued", "turn.started", "backend", "backend"])
        #expect(events.map(\.seq) == [1, 2, 3, 4])
        #expect(events[2].data == #"{"cache_key":"key","id":"a"}"#)
        #expect(events[3].data == #"{"cache_key":"key","id":"b","previous":"a"}"#)
    }

    @Test("a backend is stale when the turn before ended longer ago than it is remembered")
    func stale() async throws {
        let fixture = try await StoreFixture.make()
        let (term, turn, deployment) = try await fixture.hold("c")
        #expect(try await fixture.store.keep(try Self.change("a"), turn: turn.id, fence: term.fence).value == true)
        #expect(try await fixture.store.served(turn.id, fence: term.fence)?.isStale == false, "there is no turn before")
        try await fixture.accept("c")
        let settlement = fixture.settlement(turn, "x")
        let hand = fixture.handOver(term, deployment)
        let settled = try await fixture.store.settle(settlement, fence: term.fence, next: hand).value
        let next = try #require(settled?.next)
        for (age, isStale) in [(59, false), (61, true)] {
            try await fixture.pool.query(
                """
                UPDATE turnpike.turns SET ended_at = now() - \(age)::integer * interval '1 minute'
                WHERE turn = \(turn.id.text)::uuid
                """
            )
            let served = try await fixture.store.served(next.id, fence: term.fence, memory: .seconds(3_600))
            #expect(served == ServedTurn(backend: BackendID("a"), isStale: isStale), "\(age) minutes")
        }
    }

    @Test("what a turn uses of its models adds up over its runs, and only under the fence that it runs under")
    func use() async throws {
        let fixture = try await StoreFixture.make()
        let (term, turn, deployment) = try await fixture.hold("c")
        let store = fixture.store
        #expect(try await store.modelUse(turn.id) == ModelUse())
        let first = ModelUse(calls: 1, tokens: 20, bytes: 300)
        #expect(try await store.add(first, to: turn.id, fence: term.fence))
        let fence = term.fence
        let wrong = [
            Fence(conversation: fence.conversation, epoch: fence.epoch + 1, nonce: fence.nonce),
            Fence(conversation: fence.conversation, epoch: fence.epoch, nonce: freshID()),
        ]
        for fence in wrong { #expect(try await !store.add(first, to: turn.id, fence: fence)) }
        #expect(try await !store.add(first, to: freshID(), fence: fence))
        _ = try await store.requeue(turn: turn.id, fence: fence, events: [], code: .workerExited, message: "")
        #expect(try await !store.add(first, to: turn.id, fence: fence), "it does not run")
        let second = try #require(try await store.arm(fixture.handOver(term, deployment)))
        #expect(second.attempt == 2)
        #expect(try await store.add(ModelUse(tokens: 4), to: turn.id, fence: fence))
        #expect(try await store.modelUse(turn.id) == ModelUse(calls: 1, tokens: 24, bytes: 300))
    }

    @Test("no fence but the running turn's keeps a backend or is told anything")
    func fenced() async throws {
        let fixture = try await StoreFixture.make()
        let (term, turn, _) = try await fixture.hold("c")
        let (other, otherTurn, _) = try await fixture.hold("d")
        let change = try Self.change("a")
        let (fence, nonce) = (term.fence, other.fence.nonce)
        let wrong: [(String, TurnID, Fence)] = [
            (
                "another epoch", turn.id,
                Fence(conversation: fence.conversation, epoch: fence.epoch + 1, nonce: fence.nonce)
            ),
            ("another nonce", turn.id, Fence(conversation: fence.conversation, epoch: fence.epoch, nonce: nonce)),
            ("another conversation's fence", turn.id, other.fence),
            ("another conversation's turn", otherTurn.id, fence),
            ("no turn at all", freshID(), fence),
        ]
        for (what, id, fence) in wrong {
            #expect(try await fixture.store.keep(change, turn: id, fence: fence).value == nil, "\(what)")
            #expect(try await fixture.store.served(id, fence: fence) == nil, "\(what)")
        }
        #expect(try await fixture.store.served(turn.id, fence: fence) == ServedTurn(backend: nil))
        let settlement = Settlement(
            turn: turn.id,
            seq: turn.seq,
            outcome: .completed(Reply(text: "x", stopReason: "end_turn", usage: nil)),
            parent: 0,
            snapshot: nil,
            events: []
        )
        #expect(try await fixture.store.settle(settlement, fence: fence).value != nil)
        #expect(try await fixture.store.served(turn.id, fence: fence) == nil, "its turn is over")
        #expect(try await fixture.store.keep(change, turn: turn.id, fence: fence).value == nil)
        #expect(try await fixture.tenant.conversation(fixture.agent, try ConversationID("c"))?.backend == nil)
    }
}
