import EmbeddedPostgres
import Foundation
import Postgres
import Runtime
import TestKit

/// A primary and the standby that streams from it, both reachable through sockets only. The fault is real: the primary's
/// processes are killed, and what the standby has is all that is left.
final class ServerPair: Sendable {
    private static let settings = [
        (name: "synchronous_commit", value: "on"), (name: "full_page_writes", value: "on"),
    ]

    private let folder: ScratchDirectory
    private let primary: Running
    private let standby: Running
    private let returned = Locked<Running?>(nil)

    private init(folder: ScratchDirectory, primary: Running, standby: Running) {
        self.folder = folder
        self.primary = primary
        self.standby = standby
    }

    /// Lends a pair with a migrated database. With `isSynchronous` no commit is acknowledged before the standby has it.
    static func with(isSynchronous: Bool, _ body: @Sendable (ServerPair) async throws -> Void) async throws {
        let pair = try await self.start()
        do {
            let environment = Installation.environment(pair.conninfo, pair.folder)
            let migration = try await Program.run(["migrate"], environment, in: pair.folder)
            guard migration.status == 0 else { throw Missing(description: migration.text) }
            if isSynchronous { try await pair.waitForStandby() }
            try await body(pair)
        } catch {
            await pair.stop()
            throw error
        }
        await pair.stop()
    }

    /// The connection string with both, the one that is the primary at first before the other.
    var conninfo: String {
        "host=\(self.primary.socketDirectory),\(self.standby.socketDirectory) port=5432 user=postgres dbname=postgres"
    }

    private static func start() async throws -> ServerPair {
        let folder = try ScratchDirectory()
        let primary = try await self.launch(folder.file("a"))
        do {
            let tools = try EmbeddedPostgres.findBinaries()
            let (from, to) = (folder.file("a/data"), folder.file("b/data"))
            try FileManager.default.createDirectory(atPath: folder.file("b"), withIntermediateDirectories: false)
            try await self.run([
                "\(tools)/pg_basebackup", "--dbname=\(primary.conninfo)", "--pgdata=\(to)", "--write-recovery-conf",
                "--checkpoint=fast", "--no-sync",
            ])
            // The server's user is not this process's where that is root.
            try await self.run(["/usr/bin/chown", "--recursive", "--reference=\(from)", to])
            let standby = try await self.launch(folder.file("b"))
            return ServerPair(folder: folder, primary: primary, standby: standby)
        } catch {
            await primary.stop()
            throw error
        }
    }

    private static func launch(_ folder: String) async throws -> Running {
        try await EmbeddedPostgres.start(in: folder, mode: .throwaway, settings: self.settings)
    }

    private static func run(_ words: [String]) async throws {
        let folder = try ScratchDirectory()
        let process = try await Spawned.start(words, environment: ["PATH": "/usr/bin:/bin"], output: folder.file("log"))
        guard try await process.end(within: .seconds(60)) == 0 else { throw Missing(description: process.text) }
    }

    private func stop() async {
        for server in [self.returned.withLock { $0 }, self.standby, self.primary] { await server?.stop() }
    }

    // MARK: - Faults

    /// Kills every process of the primary at once and returns when none of them runs; throws when there was none.
    func killPrimary() async throws {
        let file = self.folder.file("a/data/postmaster.pid")
        guard let first = TextFile.read(file).split(separator: "\n").first, let postmaster = pid_t(first) else {
            throw Missing(description: "the primary does not run")
        }
        let victims = ProcessTable.descendants(of: postmaster).union([postmaster])
        guard victims.count > 3, victims.allSatisfy(ProcessTable.runs) else {
            throw Missing(description: "the primary does not run whole: \(victims)")
        }
        for victim in victims { kill(victim, SIGKILL) }
        try await eventually("the primary's processes are gone") { !victims.contains(where: ProcessTable.runs) }
        guard !PostgresServer.ping(self.primary.conninfo) else { throw Missing(description: "the primary answers") }
    }

    /// Makes the standby the primary.
    func promote() async throws {
        guard try await self.asks(self.standby, "SELECT pg_is_in_recovery() AND pg_promote()") else {
            throw Missing(description: "the standby was not promoted")
        }
    }

    /// Starts the old primary again, as an operator does who has noticed the failover: it follows, and takes no writes.
    func bringBackAsStandby() async throws {
        let data = self.folder.file("a/data")
        try Data().write(to: URL(fileURLWithPath: "\(data)/standby.signal"))
        let file = try FileHandle(forWritingTo: URL(fileURLWithPath: "\(data)/postgresql.auto.conf"))
        try file.seekToEnd()
        try file.write(contentsOf: Data("primary_conninfo = '\(self.standby.conninfo)'\n".utf8))
        try file.close()
        let server = try await Self.launch(self.folder.file("a"))
        self.returned.withLock { $0 = server }
        guard try await self.asks(server, "SELECT pg_is_in_recovery()") else {
            throw Missing(description: "the old primary did not come back as a standby")
        }
    }

    /// Lets the standby have all that was written until now, and nothing more.
    func cutReplication() async throws {
        let isCaughtUp = """
            SELECT count(*) = 1 AND bool_and(replay_lsn >= pg_current_wal_lsn()) FROM pg_stat_replication
            """
        try await eventually("the standby has caught up") { try await self.asks(self.primary, isCaughtUp) }
        try await self.change(self.standby, "ALTER SYSTEM SET primary_conninfo = ''")
        try await eventually("the stream is cut") {
            try await self.asks(self.primary, "SELECT count(*) = 0 FROM pg_stat_replication")
        }
    }

    // MARK: - Questions

    /// The sessions that the old primary has of others than the server itself.
    func sessionsOfStale() async throws -> Int {
        guard let server = self.returned.withLock({ $0 }) else { throw Missing(description: "it has not come back") }
        let count =
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        return try await self.ask(server, count)
    }

    private func waitForStandby() async throws {
        try await self.change(self.primary, "ALTER SYSTEM SET synchronous_standby_names = '*'")
        try await eventually("commits wait for the standby") {
            try await self.asks(
                self.primary,
                "SELECT count(*) = 1 AND bool_and(sync_state = 'sync') FROM pg_stat_replication"
            )
        }
    }

    private func asks(_ server: Running, _ question: String) async throws -> Bool {
        try await self.ask(server, question)
    }

    private func ask<Value: PostgresDecodable & Sendable>(_ server: Running, _ question: String) async throws -> Value {
        try await self.connected(server) { connection in
            guard let row = try await connection.query(Query(unescaped: "SELECT (\(question)) AS answer")).first else {
                throw Missing(description: "no answer to \(question)")
            }
            return try row.get("answer")
        }
    }

    private func change(_ server: Running, _ setting: String) async throws {
        try await self.connected(server) { connection in
            try await connection.simple(setting)
            try await connection.simple("SELECT pg_reload_conf()")
        }
    }

    private func connected<Value: Sendable>(
        _ server: Running,
        _ body: (PostgresConnection) async throws -> Value
    ) async throws -> Value {
        let connection = try await PostgresConnection.connect(
            server.conninfo,
            on: try TestPlatform.reactor(),
            blocking: TestPlatform.blocking,
            deadline: .seconds(10),
            log: .silent
        )
        let result: Result<Value, any Error>
        do {
            result = .success(try await body(connection))
        } catch {
            result = .failure(error)
        }
        await connection.close()
        return try result.get()
    }
}
