import Migrations
package import Postgres

/// The schema, and how it gets into a database.
package enum Schema {
    /// The migrator of this program's migrations.
    package static var migrator: Migrator {
        let steps = MigrationFile.all.map { Migration(number: $0.number, name: $0.name, sql: $0.sql) }
        return Migrator(table: "turnpike.migrations", migrations: steps)
    }

    /// The names of this program's migrations, in order.
    package static var migrationNames: [String] { MigrationFile.all.map(\.name) }

    /// How many migrations this program knows.
    package static var version: Int { MigrationFile.all.count }
}
