package import Runtime

/// One forward step of a schema.
package struct Migration: Sendable {
    /// Its place: 1, 2, 3 and so on without gaps.
    package let number: Int
    /// A short name for people.
    package let name: String
    /// The script. It runs inside a transaction and must not end it.
    package let sql: String

    /// A step that applies `sql`.
    package init(number: Int, name: String, sql: String) {
        self.number = number
        self.name = name
        self.sql = sql
    }
}

/// Brings a schema up to date: what is missing, in order, each step in a transaction of its own.
///
/// Any number of processes may do so at once; a session advisory lock, tried for and never waited for, lets one at a
/// time through. Needs a direct connection.
package struct Migrator: Sendable {
    /// Why a database is left as it is.
    package enum Refusal: Error, CustomStringConvertible, Sendable, Equatable {
        /// The migrations of this program are not numbered 1, 2, 3 and so on; `missing` is the first that is not there.
        case gapInProgram(missing: Int)
        /// The database has had a later migration but not `missing`.
        case gapInDatabase(missing: Int)
        /// A migration that the database has had is another one now.
        case changed(number: Int, name: String)
        /// The database has had migrations that this program does not know.
        case newer(database: Int, program: Int)
        /// Another process held the migration lock for too long.
        case locked
        /// A script has ended the transaction that it ran in.
        case endedTransaction(number: Int)

        package var description: String {
            switch self {
            case .gapInProgram(let missing): "this program has no migration \(missing) though it has later ones"
            case .gapInDatabase(let missing): "the database lacks migration \(missing) though it has later ones"
            case .changed(let number, let name):
                "migration \(number) (\(name)) is not the one that was applied: its text has changed since"
            case .newer(let database, let program):
                "the database is at migration \(database), this program knows only \(program): use a newer program"
            case .locked: "another process has been migrating this database for too long"
            case .endedTransaction(let number): "migration \(number) ends the transaction that it runs in"
            }
        }
    }

    private let table: String
    private let migrations: [Migration]

    /// `table` records what has been applied: `schema.table` or `table`; both are created when missing.
    package init(table: String, migrations: [Migration]) {
        self.table = table
        self.migrations = migrations
    }

    /// Applies what is missing and returns the numbers applied. Throws `Refusal` before anything has changed, or the
    /// `PostgresError` of the step that failed, which has had no effect. `allowNewer` accepts a database that is ahead
    /// of this program. `patience` bounds the wait for other processes, `stepDeadline` each step.
    @discardableResult
    package func apply(
        conninfo: String,
        on reactor: Reactor,
        blocking: BlockingPool,
        log: Logger,
        allowNewer: Bool = false,
        patience: Duration = .seconds(60),
        stepDeadline: Duration = .seconds(600)
    ) async throws -> [Int] {
        var options = PostgresConnection.Options()
        options.preparesStatements = false
        options.requestDeadline = stepDeadline
        let connection = try await PostgresConnection.connect(
            conninfo,
            on: reactor,
            blocking: blocking,
            deadline: .seconds(10),
            log: log,
            options: options
        )
        let result: Result<[Int], any Error>
        do {
            result = .success(
                try await self.apply(on: connection, log: log, allowNewer: allowNewer, patience: patience)
            )
        } catch {
            result = .failure(error)
        }
        // Lets the lock go too.
        await connection.close()
        return try result.get()
    }

    /// The same on a session of the caller's, which keeps the migration lock until it is closed.
    @discardableResult
    package func apply(
        on connection: PostgresConnection,
        log: Logger,
        allowNewer: Bool = false,
        patience: Duration = .seconds(60)
    ) async throws -> [Int] {
        try self.checkNumbers()
        try await self.lock(connection, patience: patience)
        try await self.createTable(connection)
        let checksums = try await self.checksums(connection)
        let applied = try await self.applied(connection)
        try self.check(applied, against: checksums, allowNewer: allowNewer)
        var done: [Int] = []
        for (migration, checksum) in zip(self.migrations, checksums) where !applied.contains(migration.number) {
            try await self.apply(migration, checksum: checksum, on: connection)
            log.info("migrated", ["number": .count(migration.number), "name": .text(migration.name)])
            done.append(migration.number)
        }
        return done
    }

    /// How many migrations the database has had; changes nothing. Throws `Refusal` where `apply` would, or
    /// `PostgresError`.
    package func appliedCount(on connection: PostgresConnection) async throws -> Int {
        try self.checkNumbers()
        let rows = try await connection.query("SELECT to_regclass(\(self.quotedTable)) IS NULL AS missing")
        if try rows.first?.get("missing") ?? true { return 0 }
        let applied = try await self.applied(connection)
        try self.check(applied, against: try await self.checksums(connection), allowNewer: false)
        return applied.count
    }

    private func apply(_ migration: Migration, checksum: String, on connection: PostgresConnection) async throws {
        try await connection.withTransaction { connection in
            try await connection.simple(migration.sql)
            guard await connection.isInTransaction else { throw Refusal.endedTransaction(number: migration.number) }
            try await connection.query(
                """
                INSERT INTO \(unescaped: self.quotedTable) (number, name, checksum)
                VALUES (\(migration.number)::integer, \(migration.name)::text, \(checksum)::text)
                """
            )
        }
    }

    /// A try and a jittered pause: a blocking lock would stay behind, and be granted, after its client gave up.
    private func lock(_ connection: PostgresConnection, patience: Duration) async throws {
        let deadline = ContinuousClock.now + patience
        while true {
            let rows = try await connection.query(
                "SELECT pg_try_advisory_lock(hashtextextended(\("migrate " + self.table)::text, 0)) AS granted"
            )
            if try rows.first?.get("granted") ?? false { return }
            guard ContinuousClock.now < deadline else { throw Refusal.locked }
            try await Task.sleep(for: .milliseconds(Int.random(in: 20...80)))
        }
    }

    private func createTable(_ connection: PostgresConnection) async throws {
        if let schema = self.tableParts.dropLast().first {
            // Looked up first: a role that may not create schemas may still migrate inside one.
            let rows = try await connection.query(
                "SELECT to_regnamespace(\(quotedIdentifier(schema))) IS NULL AS missing"
            )
            if try rows.first?.get("missing") ?? true {
                try await connection.query("CREATE SCHEMA \(unescaped: quotedIdentifier(schema))")
            }
        }
        let rows = try await connection.query("SELECT to_regclass(\(self.quotedTable)) IS NULL AS missing")
        guard try rows.first?.get("missing") ?? true else { return }
        try await connection.query(
            """
            CREATE TABLE \(unescaped: self.quotedTable) (
                number integer PRIMARY KEY CHECK (number > 0),
                name text NOT NULL,
                checksum text NOT NULL,
                applied_at timestamptz NOT NULL DEFAULT now()
            )
            """
        )
    }

    /// SHA-256 of each script, computed by the server.
    private func checksums(_ connection: PostgresConnection) async throws -> [String] {
        let answers = try await connection.pipeline(
            self.migrations.map { "SELECT encode(sha256(\(Array($0.sql.utf8))::bytea), 'hex') AS checksum" }
        )
        return try answers.flatMap { try $0.map { try $0.get("checksum", as: String.self) } }
    }

    private func applied(_ connection: PostgresConnection) async throws -> [Int: String] {
        let rows = try await connection.query("SELECT number, checksum FROM \(unescaped: self.quotedTable)")
        return Dictionary(
            uniqueKeysWithValues: try rows.map { (try $0.get("number", as: Int.self), try $0.get("checksum")) }
        )
    }

    // MARK: - Decisions

    private func checkNumbers() throws(Refusal) {
        for (index, migration) in self.migrations.enumerated() where migration.number != index + 1 {
            throw .gapInProgram(missing: index + 1)
        }
    }

    private func check(_ applied: [Int: String], against checksums: [String], allowNewer: Bool) throws(Refusal) {
        let newest = applied.keys.max() ?? 0
        for number in stride(from: 1, through: newest, by: 1) where applied[number] == nil {
            throw .gapInDatabase(missing: number)
        }
        for (migration, checksum) in zip(self.migrations, checksums) {
            if let known = applied[migration.number], known != checksum {
                throw .changed(number: migration.number, name: migration.name)
            }
        }
        if newest > self.migrations.count, !allowNewer {
            throw .newer(database: newest, program: self.migrations.count)
        }
    }

    private var tableParts: [String] {
        self.table.split(separator: ".", maxSplits: 1).map(String.init)
    }

    private var quotedTable: String {
        self.tableParts.map { quotedIdentifier($0) }.joined(separator: ".")
    }
}

extension Dictionary {
    fileprivate func contains(_ key: Key) -> Bool {
        self[key] != nil
    }
}
