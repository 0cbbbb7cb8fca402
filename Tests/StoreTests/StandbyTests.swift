import Domain
import Postgres
import Runtime
import Store
import TestKit
import Testing

@Suite("A synchronous standby that is away")
struct StandbyTests {
    @Test("a turn is not accepted on the strength of a commit that no standby has, though all can see it")
    func doubtfulAcceptance() async throws {
        let conninfo = try await StoreDatabase.fresh()
        let watcher = try self.pool(conninfo)
        // The test server waits for no standby otherwise, whoever else uses it.
        let waiting = try self.pool(conninfo + " options='-c synchronous_commit=on' application_name=waiting")
        let fixture = try await StoreFixture.make(on: waiting)
        try await self.change("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        do {
            async let accepted = fixture.accept("c")
            try await eventually("the commit is given up and visible", within: .seconds(30)) {
                try await watcher.query("SELECT FROM turnpike.turns").count == 1
            }
            try await eventually("it is waited for again") {
                try await !watcher.query(
                    """
                    SELECT FROM pg_stat_activity
                    WHERE datname = current_database() AND application_name = 'waiting' AND wait_event = 'SyncRep'
                    """
                ).isEmpty
            }
            try await self.change("ALTER SYSTEM RESET synchronous_standby_names")
            #expect(try await accepted.verdict == .accepted)
        } catch {
            try await self.change("ALTER SYSTEM RESET synchronous_standby_names")
            throw error
        }
        #expect(try await watcher.query("SELECT FROM turnpike.turns").count == 1)
        await waiting.close()
        await watcher.close()
    }

    private func change(_ statement: String) async throws {
        try await TestServer.shared.perform(statement)
        try await TestServer.shared.perform("SELECT pg_reload_conf()")
    }

    private func pool(_ conninfo: String) throws -> ConnectionPool {
        try StoreDatabase.pool(on: conninfo) { $0.requestDeadline = .seconds(3) }
    }
}
