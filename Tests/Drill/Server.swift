import Foundation
import Postgres
import Runtime
import TestKit

/// The drill's PostgreSQL. What it confirmed survives its own death, though not the machine's.
final class Server: Sendable {
    private static let settings = [
        (name: "max_connections", value: "200"), (name: "restart_after_crash", value: "on"),
    ]

    let folder: ScratchDirectory
    private let current: Locked<ReplicatedServer>
    private let failovers = Locked(0)
    private let databases = Locked(0)
    private let blocking = BlockingPool(threads: 1)

    private init(folder: ScratchDirectory, current: ReplicatedServer) {
        self.folder = folder
        self.current = Locked(current)
    }

    /// Starts it with a database that `turnpike` has migrated, to be copied for each run.
    static func start(_ turnpike: String) async throws -> Server {
        let folder = try ScratchDirectory()
        let first = try await ReplicatedServer.start(in: folder.file("cluster-0"), settings: Self.settings)
        let server = Server(folder: folder, current: first)
        try server.lead(to: first)
        try await server.perform("CREATE DATABASE template_drill")
        let environment = ["PATH": "/usr/bin:/bin", "TURNPIKE_DATABASE_URL": server.conninfo("template_drill")]
        let output = folder.file("migrate.log")
        let migration = try await Spawned.start([turnpike, "migrate"], environment: environment, output: output)
        guard try await migration.end(within: .seconds(60)) == 0 else { throw Missing(description: migration.text) }
        return server
    }

    /// Where its socket is, whichever server that is: a name that moves.
    var socketDirectory: String { self.folder.file("current") }

    func conninfo(_ database: String) -> String {
        "host=\(self.socketDirectory) port=5432 user=postgres dbname=\(database)"
    }

    private func lead(to server: ReplicatedServer) throws {
        let link = self.folder.file("next")
        try FileManager.default.createSymbolicLink(
            atPath: link,
            withDestinationPath: server.socketDirectory
        )
        guard rename(link, self.socketDirectory) == 0 else { throw SystemError.last("rename") }
    }

    /// A fresh migrated database: its name.
    func database() async throws -> String {
        let name = self.databases.withLock { count in
            count += 1
            return "drill_\(count)"
        }
        try await self.perform("CREATE DATABASE \(name) TEMPLATE template_drill")
        return name
    }

    func drop(_ database: String) async throws {
        try await self.perform("DROP DATABASE \(database) WITH (FORCE)")
    }

    /// Ends it as `pg_ctl stop -m immediate` does and starts it again after `pause`. Returns how long it was away.
    func restart(after pause: Duration) async throws -> Duration {
        let start = ContinuousClock.now
        let old = self.current.withLock { $0 }
        try await self.blocking.run { old.abandon() }
        try await Task.sleep(for: pause)
        let new = try await old.restarted()
        self.current.withLock { $0 = new }
        return ContinuousClock.now - start
    }

    /// Gives it a standby, kills it and has the standby take its place after `pause`. Returns how long
    /// there was none.
    func failOver(after pause: Duration) async throws -> Duration {
        let number = self.failovers.withLock { count in
            count += 1
            return count
        }
        let old = self.current.withLock { $0 }
        let standby = try await old.standby(in: self.folder.file("cluster-\(number)"))
        try await old.awaitStandby()
        let start = ContinuousClock.now
        try await old.kill()
        try await Task.sleep(for: pause)
        try await standby.promote()
        try self.lead(to: standby)
        self.current.withLock { $0 = standby }
        let away = ContinuousClock.now - start
        try old.erase()
        return away
    }

    func stop() async {
        await self.current.withLock { $0 }.stop()
    }

    private func perform(_ sql: String) async throws {
        let connection = try await PostgresConnection.connect(
            self.conninfo("postgres"),
            on: try TestPlatform.reactor(),
            blocking: self.blocking,
            deadline: .seconds(10),
            log: .silent
        )
        do {
            try await connection.simple(sql, deadline: .seconds(30))
        } catch {
            await connection.close()
            throw error
        }
        await connection.close()
    }
}
