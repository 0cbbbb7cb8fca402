import Postgres
import Runtime
import Testing

@Suite("The migrator", .timeLimit(.minutes(1)))
struct MigratorTests {
    private static func steps(_ schema: String) -> [Migration] {
        [
            Migration(
                number: 1,
                name: "one",
                sql: "CREATE TABLE \(schema).one (n int); INSERT INTO \(schema).one VALUES (1)"
            ),
            Migration(number: 2, name: "two", sql: "CREATE TABLE \(schema).two (n int); -- é"),
            Migration(number: 3, name: "three", sql: "INSERT INTO \(schema).one VALUES (3)"),
        ]
    }

    @Test("installs once though twenty install at once")
    func concurrentInstalls() async throws {
        let bench = try Bench()
        let steps = Self.steps("m20")
        let applied = try await withThrowingTaskGroup(of: [Int].self) { group in
            for _ in 0..<20 { group.addTask { try await self.apply(steps, "m20.migrations", bench) } }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(applied.filter { !$0.isEmpty } == [[1, 2, 3]] && applied.count == 20)
        let connection = try await bench.connect()
        #expect(try await connection.query("SELECT n FROM m20.one").count == 2)
        await connection.close()
    }

    @Test("applies only what is missing, and nothing of a step that fails")
    func steps() async throws {
        let bench = try Bench()
        let steps = Self.steps("mstep")
        #expect(try await self.apply(Array(steps.prefix(1)), "mstep.migrations", bench) == [1])
        let broken = Migration(number: 3, name: "three", sql: "CREATE TABLE mstep.three (n int); SELECT broken")
        let error = try await failure {
            _ = try await self.apply(Array(steps.prefix(2)) + [broken], "mstep.migrations", bench)
        }
        #expect(error.sqlState == "42703")
        #expect(try await self.apply(steps, "mstep.migrations", bench) == [3])
        let connection = try await bench.connect()
        let rows = try await connection.query("SELECT to_regclass('mstep.three') IS NULL AS absent")
        #expect(try rows[0].get("absent", as: Bool.self))
        await connection.close()
    }

    @Test("refuses gaps, changed scripts, a newer database and a script that ends its transaction")
    func refusals() async throws {
        let bench = try Bench()
        let steps = Self.steps("mref")
        await #expect(throws: Migrator.Refusal.gapInProgram(missing: 2)) {
            try await self.apply([steps[0], steps[2]], "mref.migrations", bench)
        }
        _ = try await self.apply(steps, "mref.migrations", bench)
        let changed = Migration(number: 2, name: "two", sql: steps[1].sql + " ")
        await #expect(throws: Migrator.Refusal.changed(number: 2, name: "two")) {
            try await self.apply([steps[0], changed, steps[2]], "mref.migrations", bench)
        }
        await #expect(throws: Migrator.Refusal.newer(database: 3, program: 2)) {
            try await self.apply(Array(steps.prefix(2)), "mref.migrations", bench)
        }
        #expect(try await self.apply(Array(steps.prefix(2)), "mref.migrations", bench, allowNewer: true) == [])
        let ending = Migration(number: 4, name: "four", sql: "COMMIT")
        await #expect(throws: Migrator.Refusal.endedTransaction(number: 4)) {
            try await self.apply(steps + [ending], "mref.migrations", bench)
        }
        let connection = try await bench.connect()
        try await connection.query("DELETE FROM mref.migrations WHERE number = 2")
        await connection.close()
        await #expect(throws: Migrator.Refusal.gapInDatabase(missing: 2)) {
            try await self.apply(steps, "mref.migrations", bench)
        }
    }

    @Test("gives up, changing nothing, when another process migrates for too long")
    func patience() async throws {
        let bench = try Bench()
        let connection = try await bench.connect()
        try await connection.query("SELECT pg_advisory_lock(hashtextextended('migrate mwait', 0))")
        await #expect(throws: Migrator.Refusal.locked) {
            try await Migrator(table: "mwait", migrations: []).apply(
                conninfo: bench.conninfo,
                on: bench.reactor,
                blocking: bench.blocking,
                log: bench.log,
                patience: .milliseconds(100)
            )
        }
        await connection.close()
    }

    private func apply(
        _ steps: [Migration],
        _ table: String,
        _ bench: Bench,
        allowNewer: Bool = false
    ) async throws -> [Int] {
        try await Migrator(table: table, migrations: steps).apply(
            conninfo: bench.conninfo,
            on: bench.reactor,
            blocking: bench.blocking,
            log: bench.log,
            allowNewer: allowNewer
        )
    }
}
