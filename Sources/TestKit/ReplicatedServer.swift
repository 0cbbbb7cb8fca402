internal import EmbeddedPostgres
internal import Foundation
package import Postgres
internal import Runtime

/// A PostgreSQL server that another one can follow and take the place of, reachable through its socket only. What befalls
/// it is real: its processes are killed, and what the standby has is all that is left.
package struct ReplicatedServer: Sendable {
    private let running: Running
    private let folder: String
    private let settings: [(name: String, value: String)]

    private var data: String { "\(self.folder)/data" }

    /// Starts the server in `folder`, or makes it first. It confirms nothing that its own death could undo.
    package static func start(
        in folder: String,
        settings: [(name: String, value: String)] = []
    ) async throws -> ReplicatedServer {
        let durable = [("synchronous_commit", "on"), ("full_page_writes", "on")]
        let running = try await EmbeddedPostgres.start(in: folder, mode: .throwaway, settings: durable + settings)
        return ReplicatedServer(running: running, folder: folder, settings: settings)
    }

    /// Starts it again after its end.
    package func restarted() async throws -> ReplicatedServer {
        try await Self.start(in: self.folder, settings: self.settings)
    }

    /// The folder with its socket.
    package var socketDirectory: String { self.running.socketDirectory }

    /// Ends it as `pg_ctl stop -m immediate` does, and blocks until it has ended.
    package func abandon() {
        self.running.abandon()
    }

    /// Ends it in order.
    package func stop() async {
        await self.running.stop()
    }

    // MARK: - Following

    /// Starts a standby of it in `folder`, which must not exist yet, with the same settings.
    package func standby(in folder: String) async throws -> ReplicatedServer {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
        let backup = "\(try EmbeddedPostgres.findBinaries())/pg_basebackup"
        let options = ["--write-recovery-conf", "--checkpoint=fast", "--no-sync"]
        let log = "\(folder)/backup.log"
        try await Self.run([backup, "--dbname=\(self.running.conninfo)", "--pgdata=\(folder)/data"] + options, log)
        // The server's user is not this process's where that is root.
        try await Self.run(["/usr/bin/chown", "--recursive", "--reference=\(self.data)", "\(folder)/data"], log)
        return try await Self.start(in: folder, settings: self.settings)
    }

    /// From now on it acknowledges no commit before its standby has it.
    package func awaitStandby() async throws {
        try await self.change("ALTER SYSTEM SET synchronous_standby_names = '*'")
        try await eventually("commits wait for the standby", within: .seconds(30)) {
            try await self.ask("SELECT count(*) = 1 AND bool_and(sync_state = 'sync') FROM pg_stat_replication")
        }
    }

    /// Lets its standby have all that was written until now, and nothing more.
    package func leaveBehind(_ standby: ReplicatedServer) async throws {
        try await eventually("the standby has caught up") {
            try await self.ask(
                "SELECT count(*) = 1 AND bool_and(replay_lsn >= pg_current_wal_lsn()) FROM pg_stat_replication"
            )
        }
        try await standby.change("ALTER SYSTEM SET primary_conninfo = ''")
        try await eventually("the stream is cut") {
            try await self.ask("SELECT count(*) = 0 FROM pg_stat_replication")
        }
    }

    // MARK: - Failing over

    /// Kills all its processes at once and returns when none of them runs; throws when it did not run whole.
    package func kill() async throws {
        let first = TextFile.read("\(self.data)/postmaster.pid").split(separator: "\n").first
        guard let postmaster = first.flatMap({ pid_t($0) }) else { throw Missing(description: "it does not run") }
        // It starts and collects no more of them.
        Glibc.kill(postmaster, SIGSTOP)
        let victims = ProcessTable.descendants(of: postmaster).union([postmaster])
        guard victims.filter(ProcessTable.runs).count > 3 else {
            throw Missing(description: "it does not run whole: \(victims)")
        }
        for victim in victims { Glibc.kill(victim, SIGKILL) }
        try await eventually("its processes are gone") { !victims.contains(where: ProcessTable.runs) }
        guard !PostgresServer.ping(self.running.conninfo) else { throw Missing(description: "it answers") }
    }

    /// Makes the standby a primary.
    package func promote() async throws {
        guard try await self.ask("SELECT pg_is_in_recovery() AND pg_promote()") else {
            throw Missing(description: "it was not promoted")
        }
    }

    /// Starts it again after its death, as an operator does who has noticed the failover: it follows `primary`, as far as
    /// it can, and takes no writes.
    package func comeBack(following primary: ReplicatedServer) async throws -> ReplicatedServer {
        try Data().write(to: URL(fileURLWithPath: "\(self.data)/standby.signal"))
        let file = try FileHandle(forWritingTo: URL(fileURLWithPath: "\(self.data)/postgresql.auto.conf"))
        try file.seekToEnd()
        try file.write(contentsOf: Data("primary_conninfo = '\(primary.running.conninfo)'\n".utf8))
        try file.close()
        let server = try await self.restarted()
        guard try await server.ask("SELECT pg_is_in_recovery()") else {
            throw Missing(description: "it did not come back as a standby")
        }
        return server
    }

    /// Removes what a dead one has left.
    package func erase() throws {
        try EmbeddedPostgres.erase(self.folder)
    }

    // MARK: - Questions

    /// The one value that a statement finds.
    package func ask<Value: PostgresDecodable & Sendable>(_ question: String) async throws -> Value {
        try await self.connected { connection in
            guard let row = try await connection.query(Query(unescaped: "SELECT (\(question)) AS answer")).first else {
                throw Missing(description: "no answer to \(question)")
            }
            return try row.get("answer")
        }
    }

    private func change(_ setting: String) async throws {
        try await self.connected { connection in
            try await connection.simple(setting)
            try await connection.simple("SELECT pg_reload_conf()")
        }
    }

    private func connected<Value: Sendable>(
        _ body: (PostgresConnection) async throws -> Value
    ) async throws -> Value {
        let connection = try await PostgresConnection.connect(
            self.running.conninfo,
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

    private static func run(_ words: [String], _ log: String) async throws {
        let process = try await Spawned.start(words, environment: ["PATH": "/usr/bin:/bin"], output: log)
        guard try await process.end(within: .seconds(60)) == 0 else { throw Missing(description: process.text) }
    }
}
