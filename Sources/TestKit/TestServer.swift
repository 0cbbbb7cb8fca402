internal import EmbeddedPostgres
internal import Foundation
internal import Postgres
internal import Runtime

/// The PostgreSQL server of one test process: a throwaway one, started when first asked for, gone with the process.
package actor TestServer {
    /// The one server.
    package static let shared = TestServer()

    private let reactor = Result { try Reactor(name: "test-server") }
    private let blocking = BlockingPool(threads: 2)
    private var starting: Task<Running, any Error>?
    private var templates: [String: Task<String, any Error>] = [:]
    private var databases = 0

    private init() {}

    /// The connection string of the server's own database, for tests of the server as a whole.
    package func conninfo() async throws -> String {
        try await self.server().conninfo
    }

    /// A fresh database, cloned from the one that `prepare` made ready in this process under the name `template`.
    ///
    /// `prepare` gets the connection string of the empty template and must have closed its sessions when it returns; it
    /// runs once for each name. Throws what `prepare` and the server throw.
    package func database(
        template: String,
        prepare: @escaping @Sendable (String) async throws -> Void
    ) async throws -> TestDatabase {
        let source = try await self.template(template, prepare: prepare)
        self.databases += 1
        let name = "test_\(self.databases)"
        try await self.perform("CREATE DATABASE \(quotedIdentifier(name)) TEMPLATE \(quotedIdentifier(source))")
        return TestDatabase(name: name, conninfo: try await self.server().conninfo(database: name))
    }

    /// A fresh database with nothing in it.
    package func emptyDatabase() async throws -> TestDatabase {
        try await self.database(template: "empty") { _ in }
    }

    /// Runs one statement outside any transaction in the server's own database.
    package func perform(_ sql: String) async throws {
        let connection = try await PostgresConnection.connect(
            try await self.server().conninfo,
            on: try self.reactor.get(),
            blocking: self.blocking,
            deadline: .seconds(10),
            log: .silent
        )
        do {
            try await connection.simple(sql, deadline: .seconds(60))
        } catch {
            await connection.close()
            throw error
        }
        await connection.close()
    }

    private func template(
        _ name: String,
        prepare: @escaping @Sendable (String) async throws -> Void
    ) async throws -> String {
        let database = "template_\(name)"
        if let making = self.templates[name] { return try await making.value }
        // Awaited here and by everyone who asks for the same template meanwhile.
        let making = Task {
            try await self.perform("CREATE DATABASE \(quotedIdentifier(database))")
            try await prepare(try await self.server().conninfo(database: database))
            return database
        }
        self.templates[name] = making
        return try await making.value
    }

    private func server() async throws -> Running {
        if let starting { return try await starting.value }
        // Awaited here and by everyone who asks meanwhile.
        let starting = Task {
            let folder = try TestServerFolder.make()
            let server = try await EmbeddedPostgres.start(
                in: folder,
                mode: .throwaway,
                // A suite's tests run side by side, each with replicas of its own.
                settings: [
                    ("shared_preload_libraries", TestServerFolder.preloads), ("max_connections", "800"),
                ]
            )
            TestServerFolder.removeAtExit(folder, server)
            return server
        }
        self.starting = starting
        return try await starting.value
    }
}

/// A database of one test's own.
package struct TestDatabase: Sendable {
    /// Its name in the server.
    package let name: String
    /// How to connect to it.
    package let conninfo: String

    /// A clone of the template that `prepare` makes ready once per process; see `TestServer.database`.
    package static func fresh(
        template: String,
        prepare: @escaping @Sendable (String) async throws -> Void
    ) async throws -> TestDatabase {
        try await TestServer.shared.database(template: template, prepare: prepare)
    }

    /// Removes it, cutting every session. Not needed at the end of a test: the server is thrown away.
    package func drop() async throws {
        try await TestServer.shared.perform("DROP DATABASE \(quotedIdentifier(self.name)) WITH (FORCE)")
    }
}
