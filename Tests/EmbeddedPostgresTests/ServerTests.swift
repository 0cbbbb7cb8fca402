import EmbeddedPostgres
import Foundation
import Postgres
import Runtime
import TestKit
import Testing

@Suite("A private server", .serialized)
struct ServerTests {
    private let reactor: Reactor
    private let blocking = BlockingPool(threads: 1)
    private let scratch: ScratchDirectory

    init() throws {
        self.reactor = try Reactor(name: "embedded-tests")
        self.scratch = try ScratchDirectory()
    }

    @Test("starts from nothing, is found running, and keeps its data over a stop and a start")
    func life() async throws {
        let folder = self.scratch.file("data")
        let first = try await EmbeddedPostgres.start(in: folder, mode: .throwaway)
        #expect(!first.isReused)
        try await self.perform("CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)", on: first)

        let second = try await EmbeddedPostgres.start(in: folder, mode: .throwaway)
        #expect(second.isReused && second.conninfo == first.conninfo)
        await second.stop()
        #expect(try await self.text("SELECT n::text AS v FROM kept", on: first) == "7")

        await first.stop()
        #expect(first.ended.isRaised && !PostgresServer.ping(first.conninfo))
        let third = try await EmbeddedPostgres.start(in: folder, mode: .throwaway)
        #expect(!third.isReused)
        #expect(try await self.text("SELECT n::text AS v FROM kept", on: third) == "7")
        await third.stop()
        try EmbeddedPostgres.erase(folder)
        for path in [folder, third.socketDirectory] {
            #expect(!FileManager.default.fileExists(atPath: path), "\(path)")
        }
    }

    @Test("a durable server flushes, and its folder is refused to throwaway ones")
    func durable() async throws {
        let folder = self.scratch.file("data")
        let server = try await EmbeddedPostgres.start(in: folder, mode: .durable)
        for name in ["fsync", "synchronous_commit", "full_page_writes"] {
            #expect(try await self.text("SELECT current_setting('\(name)') AS v", on: server) == "on", "\(name)")
        }
        #expect(try await self.text("SELECT current_setting('listen_addresses') AS v", on: server).isEmpty)
        #expect(try await self.text("SELECT current_setting('server_encoding') AS v", on: server) == "UTF8")
        await #expect(throws: EmbeddedPostgresError.self) {
            _ = try await EmbeddedPostgres.start(in: folder, mode: .throwaway)
        }
        await server.stop()
        try FileManager.default.removeItem(atPath: server.socketDirectory)
    }

    @Test("nobody else may enter the folders of the data and of the socket")
    func privacy() async throws {
        let folder = self.scratch.file("data")
        let server = try await EmbeddedPostgres.start(in: folder, mode: .throwaway)
        for path in [folder, server.socketDirectory] {
            var status = stat()
            #expect(stat(path, &status) == 0 && status.st_mode & 0o777 == 0o700, "\(path)")
        }
        await server.stop()
        try FileManager.default.removeItem(atPath: server.socketDirectory)
    }

    @Test("eight starts at once make one server")
    func race() async throws {
        let folder = self.scratch.file("data")
        let servers = try await withThrowingTaskGroup(of: Running.self) { group in
            for _ in 0..<8 {
                group.addTask { try await EmbeddedPostgres.start(in: folder, mode: .throwaway) }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(servers.filter { !$0.isReused }.count == 1)
        for server in servers { await server.stop() }
        try FileManager.default.removeItem(atPath: servers[0].socketDirectory)
    }

    @Test("what a killed initdb has left is cleared away, and a refused setting is shown from the log")
    func failures() async throws {
        let folder = self.scratch.file("data")
        try FileManager.default.createDirectory(atPath: "\(folder)/data.new", withIntermediateDirectories: true)
        try self.scratch.write("15\n", to: "data/data.new/PG_VERSION")
        let error = await #expect(throws: EmbeddedPostgresError.self) {
            _ = try await EmbeddedPostgres.start(
                in: folder,
                mode: .throwaway,
                settings: [("no_such_setting", "1")]
            )
        }
        #expect(error?.code == .failed)
        #expect(error?.message.contains("no_such_setting") == true)
        let server = try await EmbeddedPostgres.start(in: folder, mode: .throwaway)
        await server.stop()
        try FileManager.default.removeItem(atPath: server.socketDirectory)
    }

    @Test("a socket folder that is somebody's link is refused")
    func planted() async throws {
        let folder = self.scratch.file("data")
        let server = try await EmbeddedPostgres.start(in: folder, mode: .throwaway)
        await server.stop()
        try FileManager.default.removeItem(atPath: server.socketDirectory)
        try FileManager.default.createSymbolicLink(
            atPath: server.socketDirectory,
            withDestinationPath: self.scratch.path
        )
        let error = await #expect(throws: EmbeddedPostgresError.self) {
            _ = try await EmbeddedPostgres.start(in: folder, mode: .throwaway)
        }
        #expect(error?.code == .unusableSocketDirectory)
        try FileManager.default.removeItem(atPath: server.socketDirectory)
    }

    private func text(_ sql: String, on server: Running) async throws -> String {
        let connection = try await self.connect(server)
        let rows = try await connection.query(Query(unescaped: sql))
        await connection.close()
        return try #require(rows.first).get("v")
    }

    private func perform(_ sql: String, on server: Running) async throws {
        let connection = try await self.connect(server)
        try await connection.simple(sql)
        await connection.close()
    }

    private func connect(_ server: Running) async throws -> PostgresConnection {
        try await .connect(
            server.conninfo,
            on: self.reactor,
            blocking: self.blocking,
            deadline: .seconds(5),
            log: .silent
        )
    }
}
