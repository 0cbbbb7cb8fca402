internal import CRuntime
internal import Foundation
internal import Postgres
import Runtime

/// The thread that sets up one server, starts it and waits for its end.
///
/// All of it is blocking code on that thread, which the keeper has to itself.
final class ServerKeeper: Sendable {
    let started = OneShot<Result<Running, EmbeddedPostgresError>>()

    private let plan: ServerPlan
    private let deadline: ContinuousClock.Instant
    private let ended = StopSignal()

    init(plan: ServerPlan, deadline: ContinuousClock.Instant) {
        self.plan = plan
        self.deadline = deadline
    }

    func startThread() throws(EmbeddedPostgresError) {
        let context = Unmanaged.passRetained(self)
        var thread = pthread_t()
        let status = pthread_create(&thread, nil, keeperThreadMain, context.toOpaque())
        guard status == 0 else {
            context.release()
            let cause = SystemError(call: "pthread_create", number: status)
            throw EmbeddedPostgresError(.failed, "no thread for the server", cause: cause)
        }
        pthread_detach(thread)
    }

    fileprivate func work() {
        let server: Child?
        do throws(EmbeddedPostgresError) {
            server = try self.findOrStart()
        } catch {
            self.ended.raise()
            self.started.resolve(.failure(error))
            return
        }
        self.started.resolve(.success(self.running(server)))
        guard let server else { return }
        server.awaitEnd()
        self.ended.raise()
    }

    /// The server that this call started, ready for connections; nil when one was running. The lock on the folder is
    /// held until then and no longer.
    private func findOrStart() throws(EmbeddedPostgresError) -> Child? {
        let folder = ServerFolder(plan: self.plan)
        try folder.prepare()
        let lock = try FolderLock(self.plan.lockFile, until: self.deadline)
        defer { lock.release() }
        try folder.checkMode()
        if folder.isServed && PostgresServer.ping(self.plan.conninfo) { return nil }
        let server = try self.launch(folder)
        do throws(EmbeddedPostgresError) {
            try self.awaitReadiness(server)
        } catch {
            server.send(SIGQUIT)
            server.awaitEnd()
            throw error
        }
        return server
    }

    private func running(_ child: Child?) -> Running {
        Running(socketDirectory: self.plan.socketDirectory, isReused: child == nil, ended: self.ended) { number in
            child?.send(number)
        }
    }

    private func launch(_ folder: ServerFolder) throws(EmbeddedPostgresError) -> Child {
        let log = try folder.openLog()
        defer { close(log) }
        if folder.needsCluster {
            try folder.removeUnfinishedCluster()
            let initdb = try Child(self.plan.initCommand, environment: self.plan.environment, output: log)
            guard initdb.awaitEnd() == 0 else {
                throw EmbeddedPostgresError(.failed, "initdb failed\n\(folder.logTail())")
            }
            try folder.adoptCluster()
        }
        return try Child(self.plan.serverCommand, environment: self.plan.environment, output: log)
    }

    private func awaitReadiness(_ server: Child) throws(EmbeddedPostgresError) {
        while !PostgresServer.ping(self.plan.conninfo) {
            guard !server.hasEnded else {
                let tail = ServerFolder(plan: self.plan).logTail()
                throw EmbeddedPostgresError(.failed, "PostgreSQL ended while it started\n\(tail)")
            }
            guard ContinuousClock.now < self.deadline else {
                let tail = ServerFolder(plan: self.plan).logTail()
                throw EmbeddedPostgresError(.failed, "PostgreSQL was not ready in time\n\(tail)")
            }
            usleep(5000)
        }
    }
}

private func keeperThreadMain(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let context else { return nil }
    var all = sigset_t()
    sigfillset(&all)
    pthread_sigmask(SIG_BLOCK, &all, nil)
    crt_name_thread("postgres-keeper")
    Unmanaged<ServerKeeper>.fromOpaque(context).takeRetainedValue().work()
    return nil
}
