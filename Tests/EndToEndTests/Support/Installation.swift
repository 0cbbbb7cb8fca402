import Domain
import Foundation
import Postgres
import Runtime
import TestKit

/// A database of a test's own, the replicas on it, and a token for it.
final class Installation: Sendable {
    let folder: ScratchDirectory
    let conninfo: String
    /// For looking at the database, and for writing where a test plays an outsider.
    let pool: ConnectionPool
    let token: String

    private let started = Locked<[Replica]>([])

    private init(folder: ScratchDirectory, conninfo: String, pool: ConnectionPool, token: String) {
        self.folder = folder
        self.conninfo = conninfo
        self.pool = pool
        self.token = token
    }

    /// Lends an installation without replicas on a fresh migrated database, or on the one `conninfo` names. When `body`
    /// fails, the ends of the replicas' logs are shown. Nothing that was started survives.
    static func with(
        _ conninfo: String? = nil,
        _ body: @Sendable (Installation) async throws -> Void
    ) async throws {
        let installation = try await self.make(conninfo)
        do {
            try await body(installation)
        } catch {
            installation.showLogs()
            await installation.end()
            throw error
        }
        await installation.end()
    }

    private static func make(_ given: String?) async throws -> Installation {
        let conninfo: String
        if let given { conninfo = given } else { conninfo = try await StoreDatabase.fresh() }
        let folder = try ScratchDirectory()
        let pool = ConnectionPool(
            configuration: .init(conninfo: conninfo, size: 2),
            reactor: try TestPlatform.reactor(),
            blocking: TestPlatform.blocking,
            log: .silent,
            metrics: Metrics()
        )
        let words = ["token", "create", "tests", "--direct", "--json"]
        let scopes = ["turns", "agents", "admin", "operator"].flatMap { ["--scope", $0] }
        let made = try await Program.run(words + scopes, self.environment(conninfo, folder), in: folder)
        guard made.status == 0, let secret = try made.json()["secret"]?.text else {
            throw Missing(description: "no token: \(made.text)")
        }
        return Installation(folder: folder, conninfo: conninfo, pool: pool, token: secret)
    }

    /// What every command needs to reach the database.
    static func environment(_ conninfo: String, _ folder: ScratchDirectory) -> [String: String] {
        [
            "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": folder.path,
            "TURNPIKE_DATABASE_URL": conninfo, "TURNPIKE_ALLOW_UNSAFE_DURABILITY": "on",
        ]
    }

    /// The environment of a replica with these settings, named as in the configuration file.
    func environment(_ settings: [String: String] = [:]) -> [String: String] {
        var variables = Self.environment(self.conninfo, self.folder)
        variables["TURNPIKE_LISTEN"] = "127.0.0.1:0"
        variables["TURNPIKE_WORKSPACES"] = self.folder.file("workspaces")
        variables["TURNPIKE_MAX_WORKERS"] = "40"
        for (name, value) in settings { variables["TURNPIKE_\(name.uppercased())"] = value }
        return variables
    }

    /// Starts a replica and returns once it is ready.
    func replica(_ settings: [String: String] = [:]) async throws -> Replica {
        let number = self.started.withLock { $0.count + 1 }
        let output = self.folder.file("replica-\(number)-\(UInt16.random(in: 0 ... .max)).log")
        let replica = try await Replica.start(try Places.turnpike(), self.environment(settings), output: output)
        self.started.withLock { $0.append(replica) }
        return replica
    }

    /// Starts several.
    func replicas(_ count: Int, _ settings: [String: String] = [:]) async throws -> [Replica] {
        var replicas: [Replica] = []
        for _ in 0..<count { replicas.append(try await self.replica(settings)) }
        return replicas
    }

    /// A client with the token, of a replica or of the balancer.
    func client(_ port: Int) -> Client {
        Client(http: HTTPClient(port: port, token: self.token))
    }

    private func showLogs() {
        for replica in self.started.withLock({ $0 }) {
            let lines = replica.process.text.split(separator: "\n").filter { !$0.contains(#""message":"request""#) }
            let text = "--- \(replica.process.output)\n\(lines.suffix(30).joined(separator: "\n"))\n"
            FileHandle.standardError.write(Data(text.utf8))
        }
    }

    /// Ends what was started; again is harmless.
    func end() async {
        for replica in self.started.withLock({ $0 }) {
            // Those that a test has ended are collected already.
            if waitpid(replica.pid, nil, WNOHANG) == 0 {
                do {
                    try await replica.kill()
                } catch {
                    FileHandle.standardError.write(Data("a replica did not end: \(error)\n".utf8))
                }
            }
        }
        await self.pool.close()
    }
}

/// A command that ends by itself.
enum Program {
    struct Ended: Sendable {
        let status: Int32
        /// Standard output and error.
        let text: String

        func json() throws -> JSONValue {
            try JSONDecoder().decode(JSONValue.self, from: Data(self.text.utf8))
        }
    }

    /// Runs `turnpike` with `words`.
    static func run(
        _ words: [String],
        _ environment: [String: String],
        in folder: ScratchDirectory,
        within limit: Duration = .seconds(30)
    ) async throws -> Ended {
        let output = folder.file("command-\(UInt32.random(in: 0 ... .max))")
        let process = try await Spawned.start([try Places.turnpike()] + words, environment: environment, output: output)
        do {
            return Ended(status: try await process.end(within: limit), text: process.text)
        } catch {
            process.signal(SIGKILL)
            throw error
        }
    }
}
