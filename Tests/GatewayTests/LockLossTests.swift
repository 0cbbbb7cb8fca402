import Domain
import Postgres
import Runtime
import Store
import TestKit
import Testing
import Workers

@testable import Gateway

@Suite("Losing the lock session")
struct LockLossTests {
    @Test("a running turn survives the loss of the lock session with the same worker and the same epoch")
    func reattachment() async throws {
        try await GatewayFixture.with { fixture in
            let agent = try await fixture.agent("slow", "slow")
            let turn = try await fixture.submit(agent, "c")
            try await fixture.performing(turn)
            let session = try #require(fixture.replica.conversationSession(turn))
            try await fixture.cutLockSession(of: fixture.replica)
            try await eventually("the locks to be regained") { fixture.gateway.leases.isTrusted }
            #expect(try await fixture.locks(turn.number) == 1)
            #expect(session.abortion == nil)
            _ = try await fixture.gateway.tenant(fixture.org).cancel(turn.id)
            #expect(try await fixture.ended(turn).state == .cancelled)
            #expect(try await fixture.epoch(turn.number) == 1)
            #expect(try await fixture.deployments() == 1)
        }
    }

    @Test("a turn announced while the lock session was away is found once it is back, not at the next poll")
    func missedHint() async throws {
        try await GatewayFixture.with({
            $0.replicas = 2
            $0.reconnectDelay = .milliseconds(500)
            // Nobody takes it over meanwhile.
            $0.limits.presenceGrace = .seconds(60)
            $0.limits.pollInterval = .seconds(60)
        }) { fixture in
            let agent = try await fixture.agent("counter", "counter")
            let first = try await fixture.submit(agent, "c")
            _ = try await fixture.ended(first)
            let owner = try #require(fixture.replicas.first { $0.conversationSession(first) != nil })
            let other = try #require(fixture.replicas.first { $0.id != owner.id })
            try await fixture.cutLockSession(of: owner)
            try await eventually("the loss to be noticed") { !owner.gateway.leases.isTrusted }
            let second = try await fixture.submit(agent, "c", to: other)
            #expect(!owner.gateway.leases.isTrusted)
            #expect(try await fixture.ended(second).state == .completed)
            #expect(try await fixture.epoch(first.number) == 1)
        }
    }

    @Test("locks that are regained while the fences cannot be read yet are taken once, and let go once")
    func relocking() async throws {
        try await GatewayFixture.with { fixture in
            let agent = try await fixture.agent("counter", "counter")
            let turn = try await fixture.submit(agent, "c")
            _ = try await fixture.ended(turn)
            _ = try await fixture.pool.query("ALTER TABLE turnpike.conversations RENAME TO hidden")
            try await fixture.cutLockSession(of: fixture.replica)
            try await eventually("the lock to be taken again") {
                try await fixture.count(
                    """
                    SELECT count(*) FROM pg_locks l, turnpike.hidden c
                    WHERE c.id = \(turn.number.value)::bigint AND l.locktype = 'advisory'
                        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                        AND (l.classid::bigint << 32 | l.objid::bigint)
                            = turnpike.lock_key(c.org, c.agent, c.conversation)
                    """
                ) == 1
            }
            // Time for several tries, each of which would take it once more.
            let roundTrips = fixture.gateway.roundTrips
            try await eventually("more tries") { fixture.gateway.roundTrips > roundTrips + 8 }
            #expect(!fixture.gateway.leases.isTrusted)
            _ = try await fixture.pool.query("ALTER TABLE turnpike.hidden RENAME TO conversations")
            try await eventually("the locks to be regained") { fixture.gateway.leases.isTrusted }
            fixture.replica.conversationSession(turn)?.end(.evicted)
            try await eventually("the session to end") { fixture.gateway.liveSessions == 0 }
            try await eventually("the row to be free") { try await fixture.isFree(turn.number) }
            #expect(try await fixture.locks(turn.number) == 0)
        }
    }

    @Test("a lock that was stolen during the outage ends the session, and its turn gets exactly one outcome")
    func stolen() async throws {
        try await GatewayFixture.with({ $0.reconnectDelay = .milliseconds(500) }) { fixture in
            let agent = try await fixture.agent("slow", "slow")
            let turn = try await fixture.submit(agent, "c")
            try await fixture.performing(turn)
            let lock = try await fixture.lockKey(turn.number)
            try await fixture.pool.withConnection { thief in
                try await fixture.cutLockSession(of: fixture.replica)
                let stolen: Query = "SELECT pg_try_advisory_lock(\(lock)::bigint) AS done"
                try await eventually("the theft") { try await thief.query(stolen).first?.get("done") ?? false }
                #expect(!fixture.gateway.leases.isTrusted)
                let record = try await fixture.ended(turn)
                #expect(record.state == .failed)
                #expect(record.outcome?.code == "replica_lost")
                #expect(record.outcome?.reply == "half ")
                try await eventually("the session to end") { fixture.gateway.liveSessions == 0 }
                _ = try await thief.query("SELECT pg_advisory_unlock(\(lock)::bigint)")
            }
            #expect(try await fixture.outcomes(turn) == 1)
            try await fixture.agent("slow", "echo")
            #expect(try await fixture.ask(agent, "c").state == .completed)
        }
    }

    @Test("a session that waits for its lock with an outcome in hand writes it when it has to come down")
    func comingDown() async throws {
        try await GatewayFixture.with({ $0.reconnectDelay = .seconds(60) }) { fixture in
            let agent = try await fixture.agent("slow", "slow")
            let turn = try await fixture.submit(agent, "c")
            try await fixture.performing(turn)
            let session = try #require(fixture.replica.conversationSession(turn))
            try await fixture.cutLockSession(of: fixture.replica)
            session.desk.withLock { $0.worker }?.kill()
            try await eventually("the worker to be gone") { fixture.replica.workerStates.isEmpty }
            #expect(try await fixture.outcomes(turn) == 0, "it waits")
            session.abort(.draining)
            #expect(try await fixture.ended(turn).outcome?.code == "worker_exited")
            #expect(!fixture.gateway.leases.isTrusted)
        }
    }

    @Test("a worker stands still while its lock is away for too long to be believed in, and goes on when it is back")
    func freezing() async throws {
        try await GatewayFixture.with({
            $0.reconnectDelay = .seconds(2)
            $0.limits.lockTrust = .milliseconds(100)
            $0.limits.lockLossKill = .seconds(60)
        }) { fixture in
            let agent = try await fixture.agent("slow", "slow")
            let turn = try await fixture.submit(agent, "c")
            try await fixture.performing(turn)
            let worker = try #require(fixture.replica.conversationSession(turn)?.desk.withLock { $0.worker })
            let isStopped = { Self.standsStill(worker.pid) }
            try await fixture.cutLockSession(of: fixture.replica)
            try await eventually("the worker to stand still") { isStopped() }
            try await eventually("the locks to be regained") { fixture.gateway.leases.isTrusted }
            try await eventually("the worker to go on") { !isStopped() }
            #expect(worker.lifecycleState == .running)
            _ = try await fixture.gateway.tenant(fixture.org).cancel(turn.id)
            #expect(try await fixture.ended(turn).state == .cancelled)
            #expect(try await fixture.deployments() == 1)
        }
    }

    /// Whether what a launcher runs is stopped.
    private static func standsStill(_ launcher: Int32) -> Bool {
        let children = TextFile.read("/proc/\(launcher)/task/\(launcher)/children").split(separator: " ")
        return !children.isEmpty && children.allSatisfy { TextFile.read("/proc/\($0)/stat").contains(") T ") }
    }

    @Test("a worker without its lock stands still after 3 s and is gone after 5 s, both from the last good heartbeat")
    func times() async throws {
        try await GatewayFixture.with({ $0.reconnectDelay = .seconds(20) }) { fixture in
            let agent = try await fixture.agent("slow", "slow")
            let turn = try await fixture.submit(agent, "c")
            try await fixture.performing(turn)
            let worker = try #require(fixture.replica.conversationSession(turn)?.desk.withLock { $0.worker })
            let tree = [worker.pid] + ProcessTable.descendants(of: worker.pid)
            #expect(tree.count > 1)
            try await fixture.cutLockSession(of: fixture.replica)
            let heartbeat = try #require(fixture.replica.session.lastGoodHeartbeat)
            try await eventually("the worker to stand still") { Self.standsStill(worker.pid) }
            let frozen = ContinuousClock.now - heartbeat
            try await eventually("the worker to be gone") { !tree.contains(where: ProcessTable.runs) }
            let killed = ContinuousClock.now - heartbeat
            print("figure: a worker without its lock stood still after \(frozen) and was gone after \(killed)")
            // The server may let the lock go after 5 s; a holder has 1.25 s to stop.
            #expect(frozen >= .seconds(3) && frozen < .milliseconds(4250))
            #expect(killed >= .seconds(5) && killed < .milliseconds(6250))
            #expect(try await fixture.ended(turn).outcome?.code == "replica_lost")
        }
    }

    @Test("a lock that somebody lets go a moment too late is regained all the same")
    func lateRelease() async throws {
        try await GatewayFixture.with({
            $0.reconnectDelay = .milliseconds(500)
            $0.limits.lockLinger = .seconds(10)
        }) { fixture in
            let agent = try await fixture.agent("slow", "slow")
            let turn = try await fixture.submit(agent, "c")
            try await fixture.performing(turn)
            let session = try #require(fixture.replica.conversationSession(turn))
            let lock = try await fixture.lockKey(turn.number)
            try await fixture.pool.withConnection { other in
                try await fixture.cutLockSession(of: fixture.replica)
                let taken: Query = "SELECT pg_try_advisory_lock(\(lock)::bigint) AS done"
                try await eventually("the lock to be free") { try await other.query(taken).first?.get("done") ?? false }
                try await eventually("the session to be back") { fixture.replica.session.isTrusted }
                // Its presence lock, and then this one in vain.
                let roundTrips = fixture.replica.session.roundTrips
                try await eventually("tries") { fixture.replica.session.roundTrips > roundTrips + 3 }
                #expect(!fixture.gateway.leases.isTrusted)
                _ = try await other.query("SELECT pg_advisory_unlock(\(lock)::bigint)")
            }
            try await eventually("the locks to be regained") { fixture.gateway.leases.isTrusted }
            #expect(session.abortion == nil)
            #expect(try await fixture.locks(turn.number) == 1)
            _ = try await fixture.gateway.tenant(fixture.org).cancel(turn.id)
            #expect(try await fixture.ended(turn).state == .cancelled)
            #expect(try await fixture.epoch(turn.number) == 1)
        }
    }

    @Test("locks that stay away for too long cost their sessions, whose turns get one outcome each")
    func tooLong() async throws {
        try await GatewayFixture.with({
            $0.reconnectDelay = .milliseconds(500)
            $0.limits.lockLossKill = .milliseconds(50)
        }) { fixture in
            let agent = try await fixture.agent("slow", "slow")
            let turn = try await fixture.submit(agent, "c")
            try await fixture.performing(turn)
            try await fixture.cutLockSession(of: fixture.replica)
            let record = try await fixture.ended(turn)
            #expect(record.outcome?.code == "replica_lost")
            #expect(try await fixture.outcomes(turn) == 1)
            try await eventually("the session to end") { fixture.gateway.liveSessions == 0 }
        }
    }
}
