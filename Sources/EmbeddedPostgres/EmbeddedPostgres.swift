internal import Foundation
package import Runtime

/// A private PostgreSQL server for one machine: set up on first use, reachable only through a socket in a folder that
/// nobody else may enter, and gone when the process that started it is gone.
///
/// The folder given to `start` holds `data` (the cluster), `server.log`, `.mode` and `.lock`. The lock is held while a
/// server is set up and started, so of two processes that begin together one starts the server and the other finds
/// it running. PostgreSQL refuses to run as root; as root it is run as `postgres`, else as `nobody`.
///
/// One thread per server starts it and then waits for its end. The kernel sends the parent-death signal when the
/// *thread* that started a child ends, so that thread has to live as long as the server does.
package enum EmbeddedPostgres {
    /// What the cluster is for. A folder keeps the mode that it was made with.
    package enum Mode: String, Sendable {
        /// May hold someone's data: every durability setting stays on.
        case durable
        /// For tests: nothing is flushed, so a crash of the machine may destroy it.
        case throwaway
    }

    /// Starts the server of `dataDirectory`, or finds it running; makes the cluster first if there is none.
    ///
    /// `settings` are further configuration parameters, in effect only if this call starts the server. `environment`
    /// is read for `TURNPIKE_POSTGRES_BIN`, `PATH` and `XDG_RUNTIME_DIR`. Throws `EmbeddedPostgresError`, at the
    /// latest after `deadline`.
    package static func start(
        in dataDirectory: String,
        mode: Mode,
        settings: [(name: String, value: String)] = [],
        environment: [String: String] = ProcessInfo.processInfo.environment,
        deadline: Duration = .seconds(60)
    ) async throws(EmbeddedPostgresError) -> Running {
        let plan = try ServerPlan(
            dataDirectory: dataDirectory,
            mode: mode,
            settings: settings,
            environment: environment
        )
        let keeper = ServerKeeper(plan: plan, deadline: ContinuousClock.now + deadline)
        try keeper.startThread()
        return try await keeper.started.value().get()
    }

    /// Removes a stopped server's folder and the one of its socket; what is not there is no failure. Throws
    /// `unusableDirectory` when something is there and cannot be removed.
    package static func erase(
        _ dataDirectory: String,
        environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws(EmbeddedPostgresError) {
        let root = AbsolutePath.of(dataDirectory)
        let socketDirectory = ServerPlan.socketDirectory(
            root: root,
            user: geteuid(),
            runtimeDirectory: geteuid() == 0 ? nil : environment["XDG_RUNTIME_DIR"]
        )
        do {
            for path in [root, socketDirectory] where FileManager.default.fileExists(atPath: path) {
                try FileManager.default.removeItem(atPath: path)
            }
        } catch {
            throw EmbeddedPostgresError(.unusableDirectory, "cannot remove \(root) and its socket", cause: error)
        }
    }

    /// `preferred`, unless this process is root and the server's user could not get there (a checkout in root's home);
    /// then a folder of its own under `/var/lib/turnpike`, the same one each time.
    package static func directory(preferring preferred: String) -> String {
        let path = AbsolutePath.of(preferred)
        do {
            guard let account = try ServerAccount.choose() else { return path }
            guard AbsolutePath.firstClosedParent(of: path, to: account) != nil else { return path }
            return "/var/lib/turnpike/\(AbsolutePath.hash(path))"
        } catch {
            // Without an account `start` fails and says so.
            return path
        }
    }
}

/// A server that accepts connections.
package final class Running: Sendable {
    /// The folder with the server's socket.
    package let socketDirectory: String
    /// Whether another process had started it: then that process ends it, not this one.
    package let isReused: Bool
    /// Goes up when the server has ended, for whatever reason; never for a reused one.
    package let ended: StopSignal

    private let signal: @Sendable (Int32) -> Void

    init(socketDirectory: String, isReused: Bool, ended: StopSignal, signal: @escaping @Sendable (Int32) -> Void) {
        self.socketDirectory = socketDirectory
        self.isReused = isReused
        self.ended = ended
        self.signal = signal
    }

    /// The connection string of the database `postgres`.
    package var conninfo: String {
        self.conninfo(database: "postgres")
    }

    /// The connection string of `database`, a name of letters, digits and underscores.
    package func conninfo(database: String) -> String {
        ServerPlan.conninfo(socketDirectory: self.socketDirectory, database: database)
    }

    /// Ends the server and returns when it has ended: sessions are cut, what was committed is kept. Does nothing to a
    /// reused one. Escalates when the server does not obey, so that it returns within 20 seconds.
    package func stop() async {
        guard !self.isReused else { return }
        // Awaited here, and a task of its own only so that the caller's cancellation does not cut the stop short.
        await Task {
            self.signal(SIGINT)
            if await self.ended.wait(atMost: .seconds(12)) { return }
            self.signal(SIGQUIT)
            if await self.ended.wait(atMost: .seconds(5)) { return }
            self.signal(SIGKILL)
            _ = await self.ended.wait(atMost: .seconds(3))
        }.value
    }

    /// Ends a throwaway server without a checkpoint and blocks until it has ended, for at most five seconds: for use
    /// while the process exits, when nothing asynchronous runs any more. Does nothing to a reused one.
    package func abandon() {
        guard !self.isReused else { return }
        self.signal(SIGQUIT)
        for _ in 0..<1000 where !self.ended.isRaised {
            usleep(5000)
        }
    }
}
