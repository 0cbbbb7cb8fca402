import Dispatch
import Foundation
import Glibc
import Postgres
import Runtime
import Testing

/// A PostgreSQL of its own for these tests: unix socket only, in a short directory that is removed at the end.
final class PrivateServer: Sendable {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    static let binaries = "/usr/lib/postgresql/15/bin"

    /// The server that most tests share, started by the first that needs it and stopped at exit.
    static let shared = Result { try PrivateServer(label: "s") }

    let directory: String
    private let processID = Locked<Int32>(0)

    /// Initializes and starts a cluster. `settings` are added to `postgresql.conf`.
    init(label: String, settings: [String] = []) throws {
        guard FileManager.default.isExecutableFile(atPath: "\(Self.binaries)/postgres") else {
            throw Failure(description: "package postgresql-15 is missing: no \(Self.binaries)/postgres")
        }
        var template = Array("/tmp/pgt-\(label)-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw SystemError.last("mkdtemp") }
        self.directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        if geteuid() == 0 {
            guard let user = getpwnam("postgres") else { throw Failure(description: "there is no user postgres") }
            try SystemError.check("chown", chown(self.directory, user.pointee.pw_uid, user.pointee.pw_gid))
        }
        ServersToStop.shared.add(self)
        let initdb = ["\(Self.binaries)/initdb", "--no-sync", "-A", "trust", "-U", "postgres", "-E", "UTF8"]
        let code = try OnePlainThread.run(
            asUser(initdb + ["--locale=C.UTF-8", "-D", "\(self.directory)/data"]),
            log: "\(self.directory)/log"
        )
        guard code == 0 else { throw Failure(description: "initdb ended with \(code)") }
        let lines = ["fsync = off", "max_connections = 300", "listen_addresses = ''"] + settings
        try self.configure(lines)
        try self.start()
    }

    /// The same for tasks, whose threads must not be blocked.
    static func make(label: String, settings: [String] = []) async throws -> PrivateServer {
        try await BlockingPool(threads: 1).run { try PrivateServer(label: label, settings: settings) }
    }

    var conninfo: String { "host=\(self.directory) user=postgres dbname=postgres" }

    /// Appends lines to the configuration.
    func configure(_ lines: [String]) throws {
        let path = "\(self.directory)/data/postgresql.conf"
        let old = try String(contentsOfFile: path, encoding: .utf8)
        // Written in place: the file keeps its owner.
        let file = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
        try file.write(contentsOf: Data((old + "\n" + lines.joined(separator: "\n") + "\n").utf8))
        try file.close()
    }

    func start() throws {
        let arguments = ["\(Self.binaries)/postgres", "-D", "\(self.directory)/data", "-k", self.directory]
        let id = try OnePlainThread.start(asUser(arguments, dieWithParent: "INT"), log: "\(self.directory)/log")
        self.processID.withLock { $0 = id }
        for _ in 0..<2000 {
            if PostgresServer.ping(self.conninfo) { return }
            usleep(5000)
        }
        throw Failure(description: "the server did not start; see \(self.directory)/log")
    }

    /// Stops the server: fast (SIGINT) or at once (SIGQUIT).
    func stop(_ signal: Int32 = SIGINT) {
        let id = self.processID.withLock { id in
            defer { id = 0 }
            return id
        }
        guard id > 0 else { return }
        kill(id, signal)
        OnePlainThread.waitUntilEnded(id)
    }

    func restart(_ signal: Int32 = SIGINT) throws {
        self.stop(signal)
        try self.start()
    }

    func remove() {
        self.stop(SIGQUIT)
        guard FileManager.default.fileExists(atPath: self.directory) else { return }
        do {
            try FileManager.default.removeItem(atPath: self.directory)
        } catch {
            FileHandle.standardError.write(Data("cannot remove \(self.directory): \(error)\n".utf8))
        }
    }
}

/// Wraps a command so that it does not run as root and, if asked, ends with this process.
func asUser(_ command: [String], dieWithParent signal: String? = nil) -> [String] {
    let death = signal.map { ["--pdeathsig", $0] } ?? []
    if geteuid() == 0 {
        let user = ["--reuid=postgres", "--regid=postgres", "--clear-groups"]
        return ["/usr/bin/setpriv"] + user + death + command
    }
    return death.isEmpty ? command : ["/usr/bin/setpriv"] + death + command
}

/// Starts processes on one thread that never ends, since a parent-death signal fires when the starting thread ends.
enum OnePlainThread {
    private typealias Call = @Sendable () -> Void
    private static let children = Locked<[Int32: Process]>([:])
    private static let calls = Locked<[Call]>([])
    private static let arrivals: DispatchSemaphore = {
        let arrivals = DispatchSemaphore(value: 0)
        Thread.detachNewThread {
            // A child inherits the mask, and whoever comes here first may block every signal.
            var none = sigset_t()
            sigemptyset(&none)
            pthread_sigmask(SIG_SETMASK, &none, nil)
            while true {
                arrivals.wait()
                calls.withLock { $0.removeFirst() }()
            }
        }
        return arrivals
    }()

    /// Blocks its caller: not for tasks, whose threads are few.
    static func start(_ command: [String], log: String) throws -> Int32 {
        let started = DispatchSemaphore(value: 0)
        let outcome = Locked<Result<Int32, any Error>>(.failure(PrivateServer.Failure(description: "not started")))
        self.calls.withLock { calls in
            calls.append {
                let result = Result { try self.launch(command, log: log) }
                outcome.withLock { $0 = result }
                started.signal()
            }
        }
        self.arrivals.signal()
        started.wait()
        return try outcome.withLock { $0 }.get()
    }

    private static func launch(_ command: [String], log: String) throws -> Int32 {
        // Opened, never created over: FileManager would replace a device by a file.
        let descriptor = try SystemError.check("open", open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600))
        let output = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
        let process = Process()
        process.executableURL = URL(fileURLWithPath: command[0])
        process.arguments = Array(command.dropFirst())
        process.currentDirectoryURL = URL(fileURLWithPath: "/tmp")
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = output
        process.standardError = output
        try process.run()
        self.children.withLock { $0[process.processIdentifier] = process }
        return process.processIdentifier
    }

    /// Runs a command to its end and returns its exit status.
    static func run(_ command: [String], log: String) throws -> Int32 {
        let id = try self.start(command, log: log)
        self.waitUntilEnded(id)
        return self.children.withLock { $0.removeValue(forKey: id)?.terminationStatus ?? -1 }
    }

    static func waitUntilEnded(_ id: Int32) {
        while self.children.withLock({ $0[id]?.isRunning ?? false }) {
            usleep(2000)
        }
    }
}

/// Stops what is still running when the test process exits.
private final class ServersToStop: Sendable {
    static let shared = ServersToStop()
    private let servers = Locked<[PrivateServer]>([])

    init() {
        atexit { ServersToStop.shared.stopAll() }
    }

    func add(_ server: PrivateServer) {
        self.servers.withLock { $0.append(server) }
    }

    private func stopAll() {
        for server in self.servers.withLock({ $0 }) { server.remove() }
    }
}
