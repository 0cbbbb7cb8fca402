import Foundation
import Postgres
import TestKit
import Testing

/// The server's life is its owner's, so these tests need an owner to kill: the program `PostgresOwner`.
@Suite("The owner of a private server", .serialized)
struct OwnerTests {
    @Test("a server goes when its owner is killed, and the next owner starts it again")
    func killed() async throws {
        let scratch = try ScratchDirectory()
        let owner = try Owner(scratch: scratch, folder: scratch.file("data"))
        let conninfo = try await owner.awaitServer()
        #expect(PostgresServer.ping(conninfo))
        kill(owner.process.processIdentifier, SIGKILL)
        try await eventually("the server's end") { !PostgresServer.ping(conninfo) }

        let next = try Owner(scratch: scratch, folder: scratch.file("data"))
        #expect(try await next.awaitServer() == conninfo)
        try await next.end()
        #expect(!PostgresServer.ping(conninfo))
        try Owner.removeSocketDirectory(conninfo)
    }

    @Test("an unprivileged user's server runs as that user", .enabled(if: geteuid() == 0))
    func unprivileged() async throws {
        let scratch = try ScratchDirectory()
        let home = scratch.file("home")
        try FileManager.default.createDirectory(atPath: home, withIntermediateDirectories: false)
        #expect(chown(home, 65534, 65534) == 0)
        let owner = try Owner(scratch: scratch, folder: "\(home)/data", as: 65534)
        let conninfo = try await owner.awaitServer()
        #expect(PostgresServer.ping(conninfo))
        var status = stat()
        #expect(stat("\(home)/data/data/postmaster.pid", &status) == 0 && status.st_uid == 65534)
        try await owner.end()
        #expect(!PostgresServer.ping(conninfo))
        try Owner.removeSocketDirectory(conninfo)
    }
}

/// A running `PostgresOwner`.
private struct Owner {
    let process = Process()
    private let input = Pipe()
    private let said: String

    /// Starts a copy of the program, since another user may not be able to enter the build folder.
    init(scratch: ScratchDirectory, folder: String, as user: UInt32? = nil) throws {
        let built = try #require(CommandLine.arguments.first.map { URL(fileURLWithPath: $0) })
            .deletingLastPathComponent().appendingPathComponent("PostgresOwner")
        let program = scratch.file("owner-\(UInt32.random(in: .min ... .max))")
        try FileManager.default.copyItem(at: Self.locate(near: built), to: URL(fileURLWithPath: program))
        self.said = "\(program).said"
        try Data().write(to: URL(fileURLWithPath: self.said))
        let drop = user.map { ["/usr/bin/setpriv", "--reuid", "\($0)", "--regid", "\($0)", "--clear-groups"] } ?? []
        let command = drop + [program, folder]
        self.process.executableURL = URL(fileURLWithPath: command[0])
        self.process.arguments = Array(command.dropFirst())
        self.process.environment = ["PATH": "/usr/bin:/bin"]
        self.process.standardInput = self.input
        self.process.standardOutput = try FileHandle(forWritingTo: URL(fileURLWithPath: self.said))
        try self.process.run()
    }

    /// The connection string that the program says when its server is ready.
    func awaitServer() async throws -> String {
        var line = ""
        try await eventually("the owner's word", within: .seconds(30)) {
            line = try String(contentsOfFile: self.said, encoding: .utf8)
            return line.hasSuffix("\n")
        }
        try #require(line.hasPrefix("ready "), "\(line)")
        return String(line.dropFirst(6).dropLast())
    }

    /// Lets it stop its server and end.
    func end() async throws {
        try self.input.fileHandleForWriting.close()
        try await eventually("the owner's end") { !self.process.isRunning }
        #expect(self.process.terminationStatus == 0)
    }

    static func removeSocketDirectory(_ conninfo: String) throws {
        let host = try #require(conninfo.split(separator: " ").first { $0.hasPrefix("host=") })
        try FileManager.default.removeItem(atPath: String(host.dropFirst(5)))
    }

    /// The test runner may be the bundle in the build folder or the toolchain's own program with the bundle's path as
    /// an argument.
    private static func locate(near built: URL) throws -> URL {
        let others = CommandLine.arguments.map { argument in
            URL(fileURLWithPath: argument).deletingLastPathComponent().appendingPathComponent("PostgresOwner")
        }
        return try #require(([built] + others).first { FileManager.default.isExecutableFile(atPath: $0.path) })
    }
}
