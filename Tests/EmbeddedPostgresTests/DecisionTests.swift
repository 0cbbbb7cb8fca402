import Foundation
import TestKit
import Testing

@testable import EmbeddedPostgres

@Suite("What a private server is told")
struct DecisionTests {
    private static let postgres = ServerAccount(name: "postgres", user: 114, group: 120)

    @Test("root runs the server as postgres, else as nobody, and an ordinary user as itself")
    func account() throws {
        let nobody = ServerAccount(name: "nobody", user: 65534, group: 65534)
        let both = ["postgres": Self.postgres, "nobody": nobody]
        #expect(try ServerAccount.choose(effectiveUser: 1000) { both[$0] } == nil)
        #expect(try ServerAccount.choose(effectiveUser: 0) { both[$0] } == Self.postgres)
        #expect(try ServerAccount.choose(effectiveUser: 0) { $0 == "nobody" ? nobody : nil } == nobody)
        let error = #expect(throws: EmbeddedPostgresError.self) {
            _ = try ServerAccount.choose(effectiveUser: 0) { _ in nil }
        }
        #expect(error?.code == .noAccount)
    }

    @Test("a folder lets an account through by owner, group or everyone, the first that applies")
    func mayEnter() {
        let account = Self.postgres
        #expect(account.mayEnter(owner: 114, group: 0, mode: 0o700))
        #expect(!account.mayEnter(owner: 114, group: 0, mode: 0o077))
        #expect(account.mayEnter(owner: 0, group: 120, mode: 0o710))
        #expect(!account.mayEnter(owner: 0, group: 120, mode: 0o701))
        #expect(account.mayEnter(owner: 0, group: 0, mode: 0o701))
        #expect(!account.mayEnter(owner: 0, group: 0, mode: 0o750))
    }

    @Test("the first closed folder on the way is named, and only one on the way")
    func closedParent() throws {
        let scratch = try ScratchDirectory()
        let closed = scratch.file("closed")
        try FileManager.default.createDirectory(atPath: closed, withIntermediateDirectories: false)
        #expect(chmod(closed, 0o700) == 0)
        let stranger = ServerAccount(name: "stranger", user: 54321, group: 54321)
        #expect(AbsolutePath.firstClosedParent(of: "\(closed)/data", to: stranger) == closed)
        #expect(AbsolutePath.firstClosedParent(of: closed, to: stranger) == nil)
        #expect(AbsolutePath.firstClosedParent(of: scratch.file("new/data"), to: stranger) == nil)
    }

    @Test("root's closed home is left for a folder of its own, the same each time", .enabled(if: geteuid() == 0))
    func preferredDirectory() throws {
        let scratch = try ScratchDirectory()
        let open = scratch.file("data")
        #expect(EmbeddedPostgres.directory(preferring: open) == open)
        let home = scratch.file("home")
        try FileManager.default.createDirectory(atPath: home, withIntermediateDirectories: false)
        #expect(chmod(home, 0o700) == 0)
        let moved = EmbeddedPostgres.directory(preferring: "\(home)/data")
        #expect(moved.hasPrefix("/var/lib/turnpike/"))
        #expect(moved == EmbeddedPostgres.directory(preferring: "\(home)/data"))
        #expect(moved != EmbeddedPostgres.directory(preferring: "\(home)/other"))
    }

    @Test("a path is made absolute and freed of dots")
    func absolutePath() {
        #expect(AbsolutePath.of("/a/./b/../c/") == "/a/c")
        #expect(AbsolutePath.of("data") == FileManager.default.currentDirectoryPath + "/data")
    }

    @Test("the socket's folder is short, the same each time, and its own for each data folder")
    func socketDirectory() {
        let long = "/srv/" + String(repeating: "deep/", count: 60)
        let plain = ServerPlan.socketDirectory(root: long, user: 1000, runtimeDirectory: nil)
        #expect(plain == ServerPlan.socketDirectory(root: long, user: 1000, runtimeDirectory: nil))
        #expect(plain != ServerPlan.socketDirectory(root: long + "x", user: 1000, runtimeDirectory: nil))
        #expect(plain.hasPrefix("/tmp/") && plain.utf8.count + 20 <= ServerPlan.longestSocketPath)
        #expect(ServerPlan.socketDirectory(root: "/d", user: 1, runtimeDirectory: "/tmp").hasPrefix("/tmp/turnpike-"))
        #expect(ServerPlan.socketDirectory(root: "/d", user: 1, runtimeDirectory: "/missing").hasPrefix("/tmp/"))
    }

    @Test("durable servers flush everything, throwaway ones nothing")
    func modes() throws {
        let durable = try Self.plan(.durable)
        let throwaway = try Self.plan(.throwaway)
        #expect(!durable.serverCommand.contains { $0.contains("fsync") || $0.contains("synchronous_commit") })
        #expect(!durable.initCommand.contains("--no-sync"))
        #expect(throwaway.serverCommand.contains("fsync=off"))
        #expect(throwaway.initCommand.contains("--no-sync"))
        for plan in [durable, throwaway] {
            #expect(plan.serverCommand.contains("listen_addresses="))
            #expect(plan.serverCommand.contains("max_locks_per_transaction=512"))
            #expect(plan.serverCommand.contains("--pdeathsig"))
        }
    }

    @Test("the environment's folder comes first, scripts are passed over, and newer versions before older ones")
    func findBinaries() throws {
        let scratch = try ScratchDirectory()
        let programs = try EmbeddedPostgres.findBinaries(environment: ["PATH": ""])
        for version in ["9", "14", "16"] {
            try Self.copyPrograms(from: programs, to: scratch.file("debian/\(version)/bin"))
        }
        let debian = scratch.file("debian")
        let found = try EmbeddedPostgres.findBinaries(environment: ["PATH": programs], debianRoot: debian)
        #expect(found == "\(debian)/16/bin")

        let named = ["TURNPIKE_POSTGRES_BIN": "\(debian)/14/bin", "PATH": programs]
        #expect(try EmbeddedPostgres.findBinaries(environment: named, debianRoot: debian) == "\(debian)/14/bin")

        let shims = scratch.file("shims")
        try FileManager.default.createDirectory(atPath: shims, withIntermediateDirectories: false)
        for name in ["postgres", "initdb"] {
            try scratch.write("#!/bin/sh\n", to: "shims/\(name)", mode: 0o755)
        }
        let path = ["PATH": "\(shims):\(programs)"]
        #expect(try EmbeddedPostgres.findBinaries(environment: path, debianRoot: "/missing") == programs)
    }

    @Test("missing programs are reported with the package that has them")
    func missingBinaries() {
        let error = #expect(throws: EmbeddedPostgresError.self) {
            _ = try EmbeddedPostgres.findBinaries(environment: ["PATH": "/missing"], debianRoot: "/missing")
        }
        #expect(error?.code == .missingProgram)
        #expect(error?.message.contains("apt-get install postgresql") == true)
        let named = #expect(throws: EmbeddedPostgresError.self) {
            _ = try EmbeddedPostgres.findBinaries(environment: ["TURNPIKE_POSTGRES_BIN": "/missing"])
        }
        #expect(named?.message.contains("/missing") == true)
    }

    private static func plan(_ mode: EmbeddedPostgres.Mode) throws -> ServerPlan {
        try ServerPlan(
            dataDirectory: "/tmp/never-made",
            mode: mode,
            settings: [],
            environment: ProcessInfo.processInfo.environment
        )
    }

    private static func copyPrograms(from source: String, to folder: String) throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        for name in ["postgres", "initdb"] {
            try FileManager.default.createSymbolicLink(
                atPath: "\(folder)/\(name)",
                withDestinationPath: "\(source)/\(name)"
            )
        }
    }
}
