import Domain
import Postgres
import Store
import TestKit
import Testing

@testable import Gateway

@Suite("Taking leases")
struct LeaseTests {
    /// How an attempt ended; a lease that was granted is let go again unless it is to be kept.
    private enum Ending: Equatable {
        case granted, busy, atCapacity, unavailable, noDemand
    }

    private func acquire(_ keeper: LeaseKeeper, _ claim: Claim, keeping: Bool = false) async -> Ending {
        let decision = SpawnGuard.decide(
            storeMode: .snapshot,
            run: claim.next?.run,
            org: claim.org,
            agent: claim.agent,
            conversation: claim.conversation
        )
        guard case .takeLease(let demand) = consume decision else { return .noDemand }
        let acquired = await keeper.acquire(demand, of: claim, deployment: freshID(), limits: AgentLimits())
        switch consume acquired {
        case .granted(let lease, _, _, _):
            if !keeping { await keeper.release(lease) }
            return .granted
        case .busy: return .busy
        case .atCapacity: return .atCapacity
        case .unavailable: return .unavailable
        }
    }

    private func claims(_ fixture: GatewayFixture, _ names: [String]) async throws -> [Claim] {
        let agent = try await fixture.agent("echo", "echo")
        for name in names { _ = try await fixture.submit(agent, name) }
        return try await fixture.store.claim(limit: 10, hold: .seconds(60))
    }

    @Test("granted: the lock is held until it is released, once")
    func granted() async throws {
        try await GatewayFixture.with({ $0.works = false }) { fixture in
            let claim = try #require(try await self.claims(fixture, ["a"]).first)
            #expect(await self.acquire(fixture.gateway.leases, claim, keeping: true) == .granted)
            #expect(try await fixture.locks(claim.number) == 1)
            #expect(try await fixture.epoch(claim.number) == 1)
        }
    }

    @Test("busy: another session holds the lock, and no term is begun")
    func busy() async throws {
        try await GatewayFixture.with({ $0.works = false }) { fixture in
            let claim = try #require(try await self.claims(fixture, ["a"]).first)
            let lock = try #require(claim.lock).value
            try await fixture.pool.withConnection { other in
                _ = try await other.query("SELECT pg_advisory_lock(\(lock)::bigint)")
                #expect(await self.acquire(fixture.gateway.leases, claim) == .busy)
                _ = try await other.query("SELECT pg_advisory_unlock(\(lock)::bigint)")
            }
            #expect(try await fixture.epoch(claim.number) == 0)
            #expect(await self.acquire(fixture.gateway.leases, claim) == .granted)
            #expect(try await fixture.locks(claim.number) == 0)
        }
    }

    @Test("at capacity: the replica's share of the lock table is used up")
    func atCapacity() async throws {
        try await GatewayFixture.with({
            $0.works = false
            $0.lockCapacity = 1
        }) { fixture in
            let claims = try await self.claims(fixture, ["a", "b"])
            try #require(claims.count == 2)
            #expect(await self.acquire(fixture.gateway.leases, claims[0], keeping: true) == .granted)
            #expect(await self.acquire(fixture.gateway.leases, claims[1]) == .atCapacity)
            #expect(try await fixture.locks(claims[1].number) == 0)
        }
    }

    @Test("unavailable: the lock session is away, and nothing was touched")
    func unavailable() async throws {
        try await GatewayFixture.with({
            $0.works = false
            $0.reconnectDelay = .milliseconds(500)
        }) { fixture in
            let claim = try #require(try await self.claims(fixture, ["a"]).first)
            try await fixture.cutLockSession(of: fixture.replica)
            #expect(await self.acquire(fixture.gateway.leases, claim) == .unavailable)
            #expect(try await fixture.epoch(claim.number) == 0)
            try await eventually("the session to be back") { fixture.gateway.leases.isTrusted }
            #expect(await self.acquire(fixture.gateway.leases, claim) == .granted)
        }
    }

    @Test("a term whose answer was lost is found by its nonce, with the turn that was handed over")
    func lostTerm() async throws {
        try await GatewayFixture.with({ $0.works = false }) { fixture in
            let claim = try #require(try await self.claims(fixture, ["a"]).first)
            let nonce: Nonce = freshID()
            let begun = try await fixture.store.beginTerm(
                claim.number,
                nonce: nonce,
                replica: fixture.replica.id,
                deployment: freshID(),
                limits: AgentLimits()
            )
            let found = try await fixture.store.term(claim.number, nonce: nonce)
            #expect(begun?.armed != nil && found?.armed?.id == begun?.armed?.id)
            #expect(found?.fence == begun?.fence && found?.head == begun?.head && found?.workspace == begun?.workspace)
            #expect(try await fixture.store.term(claim.number, nonce: freshID()) == nil)
        }
    }

    @Test("a term that its living replica knows nothing of, as after a failover, does not keep its conversation")
    func strayTerm() async throws {
        try await GatewayFixture.with { fixture in
            let agent = try await fixture.agent("echo", "echo")
            let turn = try await fixture.submit(agent, "c")
            _ = try await fixture.ended(turn)
            fixture.replica.conversationSession(turn)?.end(.evicted)
            try await eventually("the row to be free") { try await fixture.isFree(turn.number) }
            let nonce: Nonce = freshID()
            _ = try await fixture.pool.query(
                """
                UPDATE turnpike.conversations
                SET owner_nonce = \(nonce.text)::uuid, owner_replica = \(fixture.replica.id.text)::uuid
                WHERE id = \(turn.number.value)::bigint
                """
            )
            let next = try await fixture.submit(agent, "c")
            #expect(try await fixture.ended(next).state == .completed)
        }
    }
}
