import Domain
import Postgres
import Store
import Testing

@Suite("Snapshots kept, pruned and forked")
struct SnapshotTests {
    /// A conversation with a link for each of `kinds`; the bodies are the numbers of their turns.
    private func conversation(_ fixture: StoreFixture, _ name: String, _ kinds: [Snapshot.Kind]) async throws -> Term {
        let (term, first, deployment) = try await fixture.hold(name)
        var turn = first
        for (index, kind) in kinds.enumerated() {
            if index < kinds.count - 1 { try await fixture.accept(name) }
            let settlement = fixture.settlement(
                turn,
                "reply",
                parent: Int64(index),
                snapshot: SnapshotUpdate(kind: kind, format: .directory, body: [UInt8(index + 1)])
            )
            let next = index < kinds.count - 1 ? fixture.handOver(term, deployment) : nil
            let settled = try await fixture.store.settle(settlement, fence: term.fence, next: next).value
            guard let handed = settled?.next else { break }
            turn = handed
        }
        _ = try await fixture.store.release(term.fence, deployment: deployment, ending: "test")
        return term
    }

    private static let kinds: [Snapshot.Kind] = [.base, .delta, .base, .delta, .delta, .base, .delta]

    private func seqs(_ fixture: StoreFixture, _ name: String) async throws -> [Int64] {
        try await fixture.tenant.snapshots(fixture.agent, ConversationID(name), after: 0, limit: 100).map(\.seq)
    }

    @Test("links are listed with what they are, and read as they were stored")
    func list() async throws {
        let fixture = try await StoreFixture.make()
        let term = try await self.conversation(fixture, "c", [.base, .delta])
        let id = try ConversationID("c")
        let links = try await fixture.tenant.snapshots(fixture.agent, id, after: 0, limit: 10)
        #expect(links.map(\.kind) == [.base, .delta] && links.map(\.parent) == [0, 1])
        #expect(links.allSatisfy { $0.format == .directory && $0.bytes == 1 && $0.sha256.count == 64 })
        #expect(try await fixture.tenant.snapshots(fixture.agent, id, after: 1, limit: 10).map(\.seq) == [2])
        #expect(try await fixture.tenant.snapshotBody(fixture.agent, id, seq: 2) == [2])
        #expect(try await fixture.tenant.snapshotBody(fixture.agent, id, seq: 3) == nil)
        #expect(try await fixture.store.hydrate(term.fence).links.map(\.format) == [.directory, .directory])
        let other = fixture.store.tenant(try OrganizationID("other"))
        #expect(try await other.snapshots(fixture.agent, id, after: 0, limit: 10).isEmpty)
        #expect(try await other.snapshotBody(fixture.agent, id, seq: 2) == nil)
    }

    @Test("a body that is not what was stored is named, and not hydrated from")
    func damaged() async throws {
        let fixture = try await StoreFixture.make()
        let term = try await self.conversation(fixture, "c", [.base, .delta, .delta])
        _ = try await fixture.pool.query("UPDATE turnpike.snapshots SET body = '\\x07' WHERE seq = 2")
        await #expect(throws: DamagedSnapshot(seq: 2)) { try await fixture.store.hydrate(term.fence) }
    }

    @Test("pruning goes back to a base that the kept turns stand on, and never touches what a worker hydrates from")
    func prune() async throws {
        let fixture = try await StoreFixture.make()
        let id = try ConversationID("c")
        let term = try await self.conversation(fixture, "c", Self.kinds)
        let before = try await fixture.store.hydrate(term.fence)
        let other = fixture.store.tenant(try OrganizationID("other"))
        #expect(try await other.pruneSnapshots(fixture.agent, id, keepTurns: 0).links == 0)
        #expect(try await fixture.tenant.pruneSnapshots(fixture.agent, id, keepTurns: 7).links == 0)
        // Turn 4 has to stay, so does the base of turn 3.
        let pruned = try await fixture.tenant.pruneSnapshots(fixture.agent, id, keepTurns: 3)
        #expect(pruned == PrunedSnapshots(links: 2, bytes: 2))
        #expect(try await self.seqs(fixture, "c") == [3, 4, 5, 6, 7])
        #expect(try await fixture.tenant.pruneSnapshots(fixture.agent, id, keepTurns: 0).links == 3)
        #expect(try await self.seqs(fixture, "c") == [6, 7])
        #expect(try await fixture.store.hydrate(term.fence) == before)
    }

    @Test("the walk over all chains prunes each by its agent's limit, in stretches of any size")
    func walk() async throws {
        for (bases, links) in [(500, 500), (1, 500), (500, 1), (2, 2)] {
            let fixture = try await StoreFixture.make()
            for name in ["a", "b", "c"] { _ = try await self.conversation(fixture, name, Self.kinds) }
            func walk() async throws -> Int {
                var place: PruneRound.Place? = .start
                var removed = 0
                while let here = place {
                    let round = try await fixture.store.pruneSnapshots(after: here, bases: bases, links: links)
                    removed += round.pruned.links
                    place = round.next
                }
                return removed
            }
            #expect(try await walk() == 0, "the usual limit is generous")
            var configuration = AgentConfiguration(driver: .acp, command: ["agent"], storeMode: .snapshot)
            configuration.limits.snapshotKeepTurns = 3
            _ = try await fixture.tenant.put(fixture.agent, configuration)
            #expect(try await walk() == 6, "\(bases) bases, \(links) links")
            for name in ["a", "b", "c"] { #expect(try await self.seqs(fixture, name) == [3, 4, 5, 6, 7]) }
            #expect(try await walk() == 0)
        }
    }

    @Test("a fork has the state of its turn, goes on from there, and its origin goes on without it")
    func fork() async throws {
        let fixture = try await StoreFixture.make()
        let (id, target) = (try ConversationID("c"), try ConversationID("f"))
        let term = try await self.conversation(fixture, "c", Self.kinds)
        #expect(try await fixture.tenant.fork(fixture.agent, id, from: 5, to: target) == .made)
        let made = try #require(try await fixture.tenant.conversation(fixture.agent, target))
        #expect(made.origin == ConversationOrigin(conversation: "c", seq: 5))
        #expect(made.head == 5 && made.lastTurn == 5 && made.lastEvent == 0 && made.ownerReplica == nil)
        #expect(try await self.seqs(fixture, "f") == [3, 4, 5])
        let (held, turn, _) = try await fixture.hold("f")
        #expect(turn.seq == 6 && held.head == 5)
        #expect(try await fixture.store.hydrate(held.fence).links.map(\.body) == [[3], [4], [5]])
        let settlement = fixture.settlement(
            turn,
            "on",
            parent: 5,
            snapshot: SnapshotUpdate(kind: .delta, format: .directory, body: [60])
        )
        #expect(try await fixture.store.settle(settlement, fence: held.fence).value != nil)
        #expect(try await fixture.store.hydrate(held.fence).links.map(\.body) == [[3], [4], [5], [60]])
        #expect(try await fixture.store.hydrate(term.fence).links.map(\.body) == [[6], [7]])
        // Without a turn: the newest. The copy does not need its origin any longer.
        #expect(try await fixture.tenant.fork(fixture.agent, id, from: nil, to: try ConversationID("g")) == .made)
        #expect(try await self.seqs(fixture, "g") == [6, 7])
        _ = try await fixture.tenant.delete(fixture.agent, id)
        #expect(try await self.seqs(fixture, "g") == [6, 7])
        #expect(try await fixture.tenant.conversation(fixture.agent, target)?.origin?.conversation == "c")
    }

    @Test("what cannot be forked says why, and leaves nothing")
    func refused() async throws {
        let fixture = try await StoreFixture.make()
        let (id, target) = (try ConversationID("c"), try ConversationID("f"))
        _ = try await self.conversation(fixture, "c", Self.kinds)
        _ = try await fixture.accept("taken")
        _ = try await fixture.accept("gone")
        _ = try await fixture.tenant.delete(fixture.agent, ConversationID("gone"))
        let tenant = fixture.tenant
        #expect(try await tenant.fork(fixture.agent, ConversationID("x"), from: 1, to: target) == .unknown)
        #expect(try await tenant.fork(fixture.agent, ConversationID("gone"), from: 1, to: target) == .deleted)
        #expect(try await tenant.fork(fixture.agent, id, from: 8, to: target) == .noSnapshot)
        #expect(try await tenant.fork(fixture.agent, ConversationID("taken"), from: nil, to: target) == .noSnapshot)
        #expect(try await tenant.fork(fixture.agent, id, from: 5, to: ConversationID("taken")) == .taken)
        #expect(try await tenant.fork(fixture.agent, id, from: 5, to: id) == .taken)
        #expect(try await tenant.fork(fixture.agent, id, from: 5, to: ConversationID("gone")) == .takenByDeleted)
        let other = fixture.store.tenant(try OrganizationID("other"))
        #expect(try await other.fork(fixture.agent, id, from: 5, to: target) == .unknown)
        _ = try await tenant.pruneSnapshots(fixture.agent, id, keepTurns: 0)
        #expect(try await tenant.fork(fixture.agent, id, from: 5, to: target) == .noSnapshot)
        #expect(try await tenant.conversation(fixture.agent, target) == nil)
        #expect(try await fixture.count("SELECT count(*) FROM turnpike.conversations WHERE origin IS NOT NULL") == 0)
    }
}
