import Domain
import Foundation
import Postgres
import Runtime
import TestKit
import Testing

@testable import Store

/// Walls when one server session serves many clients in turn.
@Suite("Walls behind a transaction pooler")
struct PooledWallTests {
    private static let organizations = 8
    private static let rounds = 60

    private struct Abandoned: Error {}

    @Test("whoever comes next in a server's session finds neither the organization nor the role of the one before")
    func nothingStays() async throws {
        let direct = try await StoreDatabase.fresh()
        let folder = try ScratchDirectory()
        let pooler = try await Pooler.start(before: direct, sessions: 3, in: folder)
        let pool = try StoreDatabase.pool(on: pooler.conninfo, size: 24)
        let store = Store(pool: pool)
        try await store.checkWalls()
        let names = try (0..<Self.organizations).map { try OrganizationID("org-\($0)") }
        for name in names { try await store.ensureOrganization(name) }
        let sessions = Locked<Set<Int>>([])
        try await withThrowingTaskGroup(of: Void.self) { group in
            for name in names {
                for client in 0..<2 {
                    group.addTask {
                        let walled = WalledPool(org: name, pool: pool)
                        for round in 0..<Self.rounds { try await Self.work(walled, round + client, sessions) }
                    }
                }
            }
            for _ in 0..<4 {
                group.addTask { for _ in 0..<(2 * Self.rounds) { try await Self.expectNothing(pool) } }
            }
            group.addTask { try await Self.leaveInTheMiddle(pooler.conninfo, names) }
            try await group.waitForAll()
        }
        for _ in 0..<20 { try await Self.expectNothing(pool) }
        let used = sessions.withLock(\.count)
        #expect((2...12).contains(used), "\(used) sessions of the server for \(names.count) organizations")
        FileHandle.standardError.write(Data("figure: \(used) server sessions behind the pooler\n".utf8))
        await pool.close()
        try await pooler.stop()
    }

    @Test("a store behind a transaction pooler keeps organizations apart as one without")
    func store() async throws {
        let direct = try await StoreDatabase.fresh()
        let folder = try ScratchDirectory()
        let pooler = try await Pooler.start(before: direct, sessions: 3, in: folder)
        let pool = try StoreDatabase.pool(on: pooler.conninfo, size: 8)
        let fixture = try await WallFixture.make(on: pool)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<20 {
                group.addTask { try await Self.look(through: fixture) }
            }
            try await group.waitForAll()
        }
        await pool.close()
        try await pooler.stop()
    }

    private static func look(through fixture: WallFixture) async throws {
        #expect(try await fixture.stranger.turn(fixture.settled) == nil)
        #expect(try await fixture.forgetful.turn(fixture.settled) == nil)
        #expect(try await fixture.owner.turn(fixture.settled) != nil)
    }

    /// One transaction of an organization, of each kind in turn: that ends well, in several statements, with an error,
    /// and because its caller gave up.
    private static func work(_ walled: WalledPool, _ kind: Int, _ sessions: Locked<Set<Int>>) async throws {
        switch kind % 4 {
        case 0:
            try self.expect(walled.org, try await walled.query(self.look).first, sessions)
        case 1:
            let rows = try await walled.pipeline(["SELECT pg_sleep(0.001)", self.look])
            try self.expect(walled.org, rows[1].first, sessions)
        case 2:
            await #expect(throws: PostgresError.self) { try await walled.pipeline([self.look, "SELECT 1 / 0"]) }
        default:
            await #expect(throws: Abandoned.self) {
                try await walled.withTransaction { connection in
                    try self.expect(walled.org, try await connection.query(self.look).first, sessions)
                    throw Abandoned()
                }
            }
        }
    }

    private static let look: Query = """
        SELECT current_user::text AS role, current_setting('turnpike.org', true) AS org, pg_backend_pid() AS pid,
            (SELECT string_agg(org::text, ',') FROM turnpike.organizations) AS seen
        """

    private static func expect(_ org: OrganizationID, _ row: Row?, _ sessions: Locked<Set<Int>>) throws {
        let row = try #require(row)
        #expect(try row.get("role") == "turnpike_tenant")
        #expect(try row.get("org") == org.text)
        #expect(try row.get("seen") == org.text)
        let pid: Int = try row.get("pid")
        sessions.withLock { _ = $0.insert(pid) }
    }

    /// What is not walled is the login's, and belongs to no organization.
    private static func expectNothing(_ pool: ConnectionPool) async throws {
        let row = try #require(try await pool.query(self.look).first)
        #expect(try row.get("role") == "postgres")
        #expect(try row.get("org", as: String?.self) ?? "" == "")
        #expect(try row.get("seen", as: String.self).contains(","))
    }

    /// Clients that vanish inside a transaction that is walled.
    private static func leaveInTheMiddle(_ conninfo: String, _ names: [OrganizationID]) async throws {
        for name in names {
            let connection = try await PostgresConnection.connect(
                conninfo,
                on: TestPlatform.reactor(),
                blocking: TestPlatform.blocking,
                deadline: .seconds(10),
                log: .silent
            )
            try await connection.query("BEGIN")
            try await connection.query(
                """
                SELECT set_config('role', 'turnpike_tenant', true), set_config('turnpike.org', \(name.text)::text, true)
                """
            )
            await connection.close()
        }
    }
}
