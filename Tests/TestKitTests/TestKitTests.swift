import Foundation
import Postgres
import Runtime
import TestKit
import Testing

@Suite("What tests stand on")
struct TestKitTests {
    @Test("a template is prepared once, and its clones do not see each other")
    func databases() async throws {
        let prepared = Locked(0)
        let prepare: @Sendable (String) async throws -> Void = { conninfo in
            prepared.withLock { $0 += 1 }
            try await Self.perform("CREATE TABLE item (n int); INSERT INTO item VALUES (1)", on: conninfo)
        }
        let databases = try await withThrowingTaskGroup(of: TestDatabase.self) { group in
            for _ in 0..<4 {
                group.addTask { try await TestDatabase.fresh(template: "kit", prepare: prepare) }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(prepared.withLock { $0 } == 1)
        #expect(Set(databases.map(\.name)).count == 4)
        try await Self.perform("DELETE FROM item", on: databases[0].conninfo)
        #expect(try await Self.count(databases[0].conninfo) == 0)
        #expect(try await Self.count(databases[1].conninfo) == 1)
        try await databases[0].drop()
        await #expect(throws: PostgresError.self) { _ = try await Self.count(databases[0].conninfo) }
    }

    @Test("the same seed gives the same sequence, the published one for 1234567")
    func seeds() {
        var seed = Seed(1_234_567)
        // The first values of the reference implementation.
        #expect(seed.next() == 6_457_827_717_110_365_317)
        #expect(seed.next() == 3_203_168_211_198_807_973)
        #expect(seed.next() == 9_817_491_932_198_370_423)
        #expect(seed.value == 1_234_567)
    }

    @Test("a condition that never holds is an error that says what and where")
    func notInTime() async throws {
        let error = await #expect(throws: NotInTime.self) {
            try await eventually("pigs fly", within: .milliseconds(20)) { false }
        }
        #expect(error?.description.contains("pigs fly") == true)
        var asked = 0
        try await eventually {
            asked += 1
            return asked == 3
        }
        #expect(asked == 3)
    }

    @Test("a scratch folder is gone with its last reference")
    func scratch() throws {
        var path = ""
        do {
            let scratch = try ScratchDirectory()
            path = try scratch.write("x", to: "file", mode: 0o600)
            #expect(FileManager.default.fileExists(atPath: path))
        }
        #expect(!FileManager.default.fileExists(atPath: path))
    }

    private static func connect(_ conninfo: String) async throws -> PostgresConnection {
        try await .connect(
            conninfo,
            on: try Reactor(name: "kit-tests"),
            blocking: BlockingPool(threads: 1),
            deadline: .seconds(5),
            log: .silent
        )
    }

    private static func perform(_ sql: String, on conninfo: String) async throws {
        let connection = try await self.connect(conninfo)
        try await connection.simple(sql)
        await connection.close()
    }

    private static func count(_ conninfo: String) async throws -> Int {
        let connection = try await self.connect(conninfo)
        let rows = try await connection.query("SELECT count(*) AS n FROM item")
        await connection.close()
        return try #require(rows.first).get("n")
    }
}
