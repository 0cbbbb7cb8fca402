import Domain
import Postgres
import Store
import Testing

@Suite("An organization's records")
struct TenantTests {
    @Test("a queued turn is cancelled at once, a running one is asked, an ended one stays as it is")
    func cancelling() async throws {
        let fixture = try await StoreFixture.make()
        let (term, running, _) = try await fixture.hold("c")
        let queued = try #require(try await fixture.accept("c").turn)
        #expect(try await fixture.tenant.cancel(queued) == .cancelled(term.fence.conversation))
        #expect(try await fixture.tenant.turn(queued)?.state == .cancelled)
        #expect(
            try await fixture.tenant.cancel(running.id)
                == .requested(term.fence.conversation, owner: fixture.replica)
        )
        _ = try await fixture.store.settle(fixture.settlement(running, "x"), fence: term.fence)
        #expect(try await fixture.tenant.cancel(running.id) == .alreadyEnded)
        #expect(try await fixture.tenant.cancel(queued) == .alreadyEnded)
        #expect(try await fixture.tenant.cancel(freshID()) == .unknown)
    }

    @Test("a deleted conversation fences its holder off, erases its data and leaves a tombstone")
    func deleting() async throws {
        let fixture = try await StoreFixture.make()
        let (term, running, _) = try await fixture.hold("c")
        let queued = try #require(try await fixture.accept("c").turn)
        let conversation = try ConversationID("c")
        #expect(try await fixture.tenant.delete(fixture.agent, conversation) != nil)
        #expect(try await fixture.tenant.delete(fixture.agent, conversation) == nil)
        #expect(try await fixture.store.settle(fixture.settlement(running, "late"), fence: term.fence).value == nil)
        for turn in [running.id, queued] {
            #expect(try await fixture.tenant.turn(turn)?.outcome?.state == .cancelled)
        }
        #expect(try await fixture.tenant.log(fixture.agent, conversation)?.isDeleted == true)
        #expect(try await fixture.tenant.conversation(fixture.agent, conversation) == nil)
        #expect(try await fixture.count("SELECT count(*) FROM turnpike.events") == 0)
        #expect(try await fixture.count("SELECT count(*) FROM turnpike.markers") == 0)
        #expect(try await fixture.accept("c").verdict == .deleted)
        #expect(try await fixture.claimAll().isEmpty)
    }

    @Test("another organization sees nothing, by any of the calls")
    func isolation() async throws {
        let fixture = try await StoreFixture.make()
        let (term, turn, _) = try await fixture.hold("c")
        let other = try OrganizationID("other")
        try await fixture.store.ensureOrganization(other)
        let stranger = fixture.store.tenant(other)
        let conversation = try ConversationID("c")
        #expect(try await stranger.turn(turn.id) == nil)
        #expect(try await stranger.cancel(turn.id) == .unknown)
        #expect(try await stranger.conversation(fixture.agent, conversation) == nil)
        #expect(try await stranger.conversations(agent: fixture.agent, after: nil, limit: 10).isEmpty)
        #expect(try await stranger.log(fixture.agent, conversation) == nil)
        #expect(
            try await stranger.events(term.fence.conversation, after: 0, turn: nil, limit: 10, bytes: 1 << 20).isEmpty
        )
        #expect(try await stranger.delete(fixture.agent, conversation) == nil)
        #expect(try await stranger.agent(fixture.agent) == nil)
        #expect(try await stranger.deleteAgent(fixture.agent) == false)
        #expect(try await fixture.tenant.turn(turn.id)?.state == .running)
    }

    @Test("putting the same agent again changes nothing; another configuration is another version")
    func agentVersions() async throws {
        let fixture = try await StoreFixture.make()
        var configuration = AgentConfiguration(driver: .acp, command: ["agent"], storeMode: .snapshot)
        #expect(try await fixture.tenant.put(fixture.agent, configuration).version == 1)
        configuration.limits.idleSeconds = 5
        #expect(try await fixture.tenant.put(fixture.agent, configuration).version == 2)
        #expect(try await fixture.tenant.agent(fixture.agent)?.configuration == configuration)
        #expect(try await fixture.tenant.agents().map(\.agent) == [fixture.agent])
    }

    @Test("a token speaks for its organization until it expires or is revoked")
    func tokens() async throws {
        let fixture = try await StoreFixture.make()
        let hash = [UInt8](repeating: 7, count: 32)
        let id: TokenID = freshID()
        _ = try await fixture.tenant.createToken(id, name: "t", hash: hash, scopes: [.turns], lifetime: nil)
        #expect(try await fixture.store.grant(hash: hash)?.scopes == [.turns])
        #expect(try await fixture.tenant.revokeToken(id))
        #expect(try await fixture.store.grant(hash: hash) == nil)
        let expired = [UInt8](repeating: 8, count: 32)
        _ = try await fixture.tenant.createToken(
            freshID(),
            name: "e",
            hash: expired,
            scopes: [.admin],
            lifetime: .milliseconds(-1)
        )
        #expect(try await fixture.store.grant(hash: expired) == nil)
        #expect(try await fixture.tenant.tokens().count == 2)
    }

    @Test("a thread takes no more messages than it may have, by number and by bytes, and can still be changed")
    func fullThread() async throws {
        let fixture = try await StoreFixture.make()
        let id = try ConversationID("conv_1")
        let tenant = fixture.tenant
        func item(_ text: String) -> ThreadItem {
            ThreadItem(id: "msg_1", role: "user", parts: [["type": "text", "text": .string(text)]], after: 0)
        }
        _ = try await tenant.createThread(id, metadata: "{}", items: [item("x")])
        func add(_ count: Int, _ text: String = "x", bytes: Int = 4_096) async throws -> Int? {
            let items = Array(repeating: item(text), count: count)
            return try await tenant.changeThread(id, adding: items, atMost: 5, bytes: bytes)?.items.count
        }
        #expect(try await add(4) == 5)
        #expect(try await add(1) == nil, "too many")
        #expect(try await tenant.changeThread(id, metadata: #"{"a":1}"#, atMost: 5, bytes: 4_096)?.items.count == 5)
        _ = try await tenant.deleteThread(id)
        _ = try await tenant.createThread(id, metadata: "{}", items: [])
        #expect(try await add(1, String(repeating: "x", count: 4_096)) == nil, "too long")
        #expect(try await add(1, String(repeating: "x", count: 2_048)) == 1)
        #expect(try await add(1, String(repeating: "x", count: 2_048)) == nil, "too long together")
        #expect(try await tenant.thread(id)?.items.count == 1)
    }
}
