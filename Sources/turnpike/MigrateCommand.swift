import Domain
import Postgres
import Store

/// `migrate`: the schema, applied or listed.
struct MigrateCommand: Sendable {
    let context: CommandContext

    func run() async throws {
        let configuration = try self.context.configuration(self.context.layers())
        guard !self.context.printsConfiguration(configuration) else { return }
        let database = try DatabaseAccess()
        let conninfo = try configuration.requireDatabase().direct
        let wasApplied = try await database.withConnection(conninfo) { connection in
            let before = try await Schema.migrator.appliedCount(on: connection)
            if !self.context.invocation.has("--status") {
                try await Schema.migrator.apply(on: connection, log: database.log)
            }
            return before
        }
        if !self.context.invocation.has("--status") {
            try await database.withStore(conninfo) { try await DatabaseAccess.checkWalls($0) }
        }
        Console.write(try self.report(wasApplied: wasApplied))
    }

    private func report(wasApplied: Int) throws -> String {
        let onlyLooks = self.context.invocation.has("--status")
        let states = Schema.migrationNames.enumerated().map { index, name in
            (name, index < wasApplied ? "applied" : onlyLooks ? "missing" : "applied now")
        }
        if self.context.invocation.has("--json") {
            let items = states.map { name, state -> JSONValue in ["name": .string(name), "state": .string(state)] }
            return try Console.json(["migrations": .array(items)] as JSONValue)
        }
        guard !onlyLooks else { return Console.table(["MIGRATION", "STATE"], states.map { [$0, $1] }) }
        let fresh = states.filter { $0.1 == "applied now" }
        guard !fresh.isEmpty else { return "The schema is up to date.\n" }
        return fresh.map { "applied \($0.0)\n" }.joined()
    }
}
