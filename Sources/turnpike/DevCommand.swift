import Domain
import EmbeddedPostgres
import Foundation
import Glibc
import Runtime
import Store

/// `dev`: everything on this machine, out of one folder.
///
/// The folder holds `postgres` (unless root has to keep it elsewhere), `workspaces`, `echo_agent.py`, `token` (readable
/// by its owner only) and, while it runs, `url`, by which the other commands find it.
struct DevCommand: Sendable {
    let context: CommandContext

    func run() async throws {
        let folder = DevFolder(path: self.context.dataFolder)
        var layers = try self.context.layers()
        layers.suggest(folder.workspaces, for: .workspaces)
        layers.suggest("warning", for: .logLevel)
        guard layers.isDefault(.databaseURL), layers.isDefault(.databaseDirectURL) else {
            throw CommandFailure(
                .usage,
                "turnpike dev brings its own database",
                remedy: "For a database of yours: turnpike migrate, then turnpike serve."
            )
        }
        var configuration = try self.context.configuration(layers)
        guard !self.context.printsConfiguration(configuration) else { return }
        if layers.isDefault(.listen) {
            configuration.listen = LocalPort.firstFree(from: configuration.listen)
        } else if let problem = LocalPort.problem(configuration.listen) {
            // Before PostgreSQL is started for nothing.
            throw CommandFailure(
                .failure,
                "cannot listen on \(configuration.listen): \(problem)",
                remedy: "Choose another --listen, or leave it out: then a free port is found."
            )
        }
        try folder.create()
        Console.warn("Starting PostgreSQL in \(folder.postgres) …\n")
        let server = try await Self.start(folder)
        do {
            configuration.databaseURL = server.conninfo
            configuration.databaseDirectURL = server.conninfo
            let token = try await DevSetUp(folder: folder, configuration: configuration).run()
            try await self.serve(configuration, folder: folder, token: token, server: server)
        } catch {
            await server.stop()
            throw error
        }
        Console.warn("Stopping PostgreSQL …\n")
        await server.stop()
    }

    private static func start(_ folder: DevFolder) async throws -> Running {
        do {
            return try await EmbeddedPostgres.start(in: folder.postgres, mode: .durable)
        } catch {
            throw CommandFailure(.failure, error.description)
        }
    }

    private func serve(
        _ configuration: Configuration,
        folder: DevFolder,
        token: String,
        server: Running
    ) async throws {
        // Without its database the gateway would only wait; the signal lets it stop in order.
        let forget = server.ended.whenRaised {
            Console.warn("turnpike: PostgreSQL has ended; see \(folder.postgres)/server.log\n")
            kill(getpid(), SIGTERM)
        }
        let written = Locked<String?>(nil)
        defer {
            forget()
            // Another run in the same folder keeps its own.
            if let url = written.withLock({ $0 }) { folder.removeURL(url) }
        }
        let dataOption = self.context.invocation.value("--data").map { " --data \(CommandContext.quoted($0))" } ?? ""
        try await Wiring.serve(configuration) { port in
            let url = "http://\(Configuration.Address(host: configuration.listen.host, port: port))"
            // The first run in a folder stays the one that other commands find.
            if folder.isServed {
                Console.warn("Another turnpike dev serves this folder too; both work on the same data.\n")
            } else {
                folder.writeURL(url)
                written.withLock { $0 = url }
            }
            Console.write(Self.banner(url: url, token: token, program: Self.program, dataOption: dataOption))
        }
    }

    /// The program as it was called, so that what the banner says works where it was called.
    private static var program: String { CommandContext.quoted(CommandLine.arguments.first ?? "turnpike") }

    /// What to try, ready to be copied.
    static func banner(url: String, token: String, program: String, dataOption: String) -> String {
        """

        Turnpike is running at \(url)
        Token: \(token)

        Talk to the example agent, from another terminal:
          \(program) chat\(dataOption)

        Or with curl, the reply streamed:
          curl -N \(url)/v1/agents/echo/conversations/hello/turns \\
            -H 'Authorization: Bearer \(token)' \\
            -H 'Content-Type: application/json' -H 'Accept: text/event-stream' \\
            -d '{"input": "Hello, Turnpike"}'

        Bring your own agent:
          \(program) agent put mine\(dataOption) -- PROGRAM ARGUMENT…

        Ctrl-C stops it.

        """
    }
}

/// The folder of `turnpike dev`.
struct DevFolder: Sendable {
    /// Absolute.
    let path: String

    var workspaces: String { self.path + "/workspaces" }
    /// As root the server's user may not get into the folder; then its data has a place of its own.
    var postgres: String { EmbeddedPostgres.directory(preferring: self.path + "/postgres") }
    var agent: String { self.path + "/echo_agent.py" }
    private var tokenFile: String { self.path + "/token" }
    private var urlFile: String { self.path + "/url" }

    /// Makes the folder and puts the example agent there. The file is the program's: a changed copy belongs under
    /// another name.
    func create() throws {
        do {
            var isDirectory: ObjCBool = false
            if FileManager.default.fileExists(atPath: self.path, isDirectory: &isDirectory), !isDirectory.boolValue {
                throw CommandFailure(.usage, "\(self.path) is a file", remedy: "Name a folder with --data.")
            }
            try FileManager.default.createDirectory(atPath: self.workspaces, withIntermediateDirectories: true)
            try Data(PackageResources.echo_agent_py).write(to: URL(fileURLWithPath: self.agent), options: .atomic)
        } catch let failure as CommandFailure {
            throw failure
        } catch {
            throw CommandFailure(.failure, "cannot write into \(self.path): \(error.localizedDescription)")
        }
    }

    /// The token of an earlier run.
    var token: String? { CommandContext.firstLine(self.tokenFile) }

    /// Keeps the token where only its owner can read it: the file never exists with other permissions.
    func writeToken(_ token: String) throws {
        unlink(self.tokenFile)
        let descriptor = open(self.tokenFile, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else {
            throw CommandFailure(.failure, "cannot write \(self.tokenFile): \(SystemError.last("open"))")
        }
        defer { close(descriptor) }
        let bytes = Array((token + "\n").utf8)
        guard Glibc.write(descriptor, bytes, bytes.count) == bytes.count else {
            throw CommandFailure(.failure, "cannot write \(self.tokenFile): \(SystemError.last("write"))")
        }
    }

    /// Whether a run of this folder has said where it serves, and something listens there.
    var isServed: Bool {
        guard let url = CommandContext.firstLine(self.urlFile).flatMap({ URLComponents(string: $0) }),
            let host = url.host, let port = url.port
        else { return false }
        return LocalPort.problem(Configuration.Address(host: host, port: port)) != nil
    }

    /// Says where this run serves. Other commands then find it without --url; without the file they need one.
    func writeURL(_ url: String) {
        do {
            try Data((url + "\n").utf8).write(to: URL(fileURLWithPath: self.urlFile), options: .atomic)
        } catch {
            Console.warn("turnpike: cannot write \(self.urlFile); name the gateway with --url \(url)\n")
        }
    }

    /// Takes back what this run wrote, unless a later one has put its own in its place.
    func removeURL(_ url: String) {
        guard CommandContext.firstLine(self.urlFile) == url else { return }
        unlink(self.urlFile)
    }
}
