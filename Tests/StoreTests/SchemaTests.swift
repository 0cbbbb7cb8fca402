import EmbeddedPostgres
import Foundation
import Postgres
import Runtime
import Store
import TestKit
import Testing

@Suite("The schema")
struct SchemaTests {
    private static let golden = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Golden/schema.sql")

    @Test("20 installations at the same moment apply each migration once")
    func concurrentInstalls() async throws {
        let database = try await TestServer.shared.emptyDatabase()
        let applied = try await withThrowingTaskGroup(of: [Int].self) { group in
            for _ in 0..<20 {
                group.addTask {
                    try await Schema.migrator.apply(
                        conninfo: database.conninfo,
                        on: TestPlatform.reactor(),
                        blocking: TestPlatform.blocking,
                        log: .silent
                    )
                }
            }
            return try await group.reduce(into: [Int]()) { $0 += $1 }
        }
        #expect(applied.sorted() == Array(1...Schema.version))
    }

    @Test("every SQL file of the folder is a migration of the program")
    func completeness() throws {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "Migrations")
        let files = try FileManager.default.contentsOfDirectory(atPath: folder.path)
            .filter { $0.hasSuffix(".sql") }.sorted()
        #expect(files == Schema.migrationNames.map { "\($0).sql" })
    }

    /// A change of the schema shows up here for review. To accept it: TURNPIKE_UPDATE_GOLDEN=1 swift test --filter
    /// SchemaTests.
    @Test("the migrated schema is the one in Tests/Golden/schema.sql")
    func goldenDump() async throws {
        let dump = try self.dump(try await StoreDatabase.fresh())
        if ProcessInfo.processInfo.environment["TURNPIKE_UPDATE_GOLDEN"] != nil {
            try dump.write(to: Self.golden, atomically: true, encoding: .utf8)
        }
        let expected = try String(contentsOf: Self.golden, encoding: .utf8)
        let difference = dump.split(separator: "\n").difference(from: expected.split(separator: "\n"))
        #expect(difference.isEmpty, "the schema differs from Tests/Golden/schema.sql")
    }

    /// What pg_dump says of the schema, without what changes with its version.
    private func dump(_ conninfo: String) throws -> String {
        let process = Process()
        process.executableURL = URL(filePath: try EmbeddedPostgres.findBinaries() + "/pg_dump")
        process.arguments = ["--schema-only", "--no-owner", "--no-privileges", "--schema=turnpike", conninfo]
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let data = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        try #require(process.terminationStatus == 0, "pg_dump failed")
        let kept = String(decoding: data, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: true)
            .filter { !$0.hasPrefix("--") && !$0.hasPrefix("SET ") && !$0.hasPrefix("SELECT ") && !$0.hasPrefix("\\") }
        return kept.joined(separator: "\n") + "\n"
    }
}
