internal import Foundation
internal import Postgres

/// PgBouncer in front of a test's server, with fewer server sessions than clients, so that it must swap them.
package struct Pooler: Sendable {
    /// How to connect through it.
    package let conninfo: String
    private let process: Spawned

    private static let binary = "/usr/sbin/pgbouncer"

    /// Starts it in `folder`, before the server of `conninfo`, whose host is the folder of a socket; whoever comes is
    /// `login` to the server. Returns once the server answers through it.
    package static func start(
        before conninfo: String,
        as login: String = "postgres",
        mode: String = "transaction",
        sessions: Int,
        in folder: ScratchDirectory
    ) async throws -> Pooler {
        let program = try Missing.program(self.binary, remedy: "apt-get install pgbouncer")
        let directory = folder.file("pooler")
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: false)
        let server = self.member("host", of: conninfo) ?? ""
        try folder.write(
            """
            [databases]
            * = host=\(server) port=\(self.member("port", of: conninfo) ?? "5432") user=\(login)
            [pgbouncer]
            listen_addr =
            unix_socket_dir = \(directory)
            listen_port = 6432
            auth_type = any
            pool_mode = \(mode)
            default_pool_size = \(sessions)
            max_client_conn = 500
            """,
            to: "pooler/ini"
        )
        var words = [program, "\(directory)/ini"]
        if geteuid() == 0 {
            guard let user = getpwnam("postgres"), chown(directory, user.pointee.pw_uid, user.pointee.pw_gid) == 0
            else {
                throw Missing(description: "PgBouncer does not run as root, and there is no user postgres")
            }
            // The change of the user clears the signal that Spawned has asked for.
            let drop = ["--reuid=postgres", "--regid=postgres", "--clear-groups", "--pdeathsig", "KILL", "--"]
            words = ["/usr/bin/setpriv"] + drop + words
        }
        let process = try await Spawned.start(words, environment: [:], output: folder.file("pooler.log"))
        let database = self.member("dbname", of: conninfo) ?? "postgres"
        let pooled = "host=\(directory) port=6432 user=\(login) dbname=\(database)"
        try await eventually("PgBouncer answers") {
            if process.hasEnded { throw Missing(description: "PgBouncer ended: \(process.text)") }
            return PostgresServer.ping(pooled)
        }
        return Pooler(conninfo: pooled, process: process)
    }

    /// Ends it.
    package func stop() async throws {
        self.process.signal(SIGKILL)
        try await self.process.end(within: .seconds(5))
    }

    private static func member(_ name: String, of conninfo: String) -> String? {
        conninfo.split(separator: " ").first { $0.hasPrefix("\(name)=") }.map { String($0.dropFirst(name.count + 1)) }
    }
}
