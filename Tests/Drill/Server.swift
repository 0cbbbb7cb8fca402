import EmbeddedPostgres
import Postgres
import Runtime
import TestKit

/// The drill's PostgreSQL. What it confirmed survives its own death, though not the machine's.
final class Server: Sendable {
    private static let settings = [
        (name: "synchronous_commit", value: "on"), (name: "full_page_writes", value: "on"),
        (name: "max_connections", value: "200"), (name: "restart_after_crash", value: "on"),
    ]

    let folder: ScratchDirectory
    private let running: Locked<Running>
    private let databases = Locked(0)
    private let blocking = BlockingPool(threads: 1)

    private init(folder: ScratchDirectory, running: Running) {
        self.folder = folder
        self.running = Locked(running)
    }

    /// Starts it with a database that `turnpike` has migrated, to be copied for each run.
    static func start(_ turnpike: String) async throws -> Server {
        let folder = try ScratchDirectory()
        let server = Server(folder: folder, running: try await Self.launch(folder))
        try await server.perform("CREATE DATABASE template_drill")
        let environment = ["PATH": "/usr/bin:/bin", "TURNPIKE_DATABASE_URL": server.conninfo("template_drill")]
        let output = folder.file("migrate.log")
        let migration = try await Spawned.start([turnpike, "migrate"], environment: environment, output: output)
        guard try await migration.end(within: .seconds(60)) == 0 else { throw Missing(description: migration.text) }
        return server
    }

    private static func launch(_ folder: ScratchDirectory) async throws -> Running {
        try await EmbeddedPostgres.start(in: folder.file("cluster"), mode: .throwaway, settings: Self.settings)
    }

    var socketDirectory: String { self.running.withLock { $0.socketDirectory } }

    func conninfo(_ database: String) -> String {
        self.running.withLock { $0.conninfo(database: database) }
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
        let old = self.running.withLock { $0 }
        try await self.blocking.run { old.abandon() }
        try await Task.sleep(for: pause)
        let new = try await Self.launch(self.folder)
        self.running.withLock { $0 = new }
        return ContinuousClock.now - start
    }

    func stop() async {
        let running = self.running.withLock { $0 }
        await running.stop()
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
