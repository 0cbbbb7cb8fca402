package import Runtime

/// What a server says about itself.
package struct ServerFacts: Sendable {
    /// `server_version_num`: 150020 is 15.20.
    package let version: Int
    /// Most sessions at once.
    package let maxConnections: Int
    /// Locks in the shared table per session, on average.
    package let maxLocksPerTransaction: Int
    /// Most prepared transactions, which share the lock table.
    package let maxPreparedTransactions: Int
    /// The cluster's identity; nil when this role may not read it.
    package let systemIdentifier: String?

    /// The size of the shared lock table that the settings promise. When it is full, nobody can connect any more.
    package var lockTableSize: Int {
        self.maxLocksPerTransaction * (self.maxConnections + self.maxPreparedTransactions)
    }
}

/// Looks at the server before anything depends on it, and refuses what would break promises silently.
package enum StartupProbe {
    /// Why a server is refused.
    package enum Refusal: Error, CustomStringConvertible, Sendable, Equatable {
        case pooled, standby, fsyncOff, synchronousCommitOff

        package var description: String {
            switch self {
            case .pooled:
                "the direct connection string leads through a connection pooler, which breaks session locks and LISTEN:"
                    + " give one that leads straight to PostgreSQL"
            case .standby:
                "the server is a standby: give the primary, or all hosts with target_session_attrs=read-write"
            case .fsyncOff:
                "the server runs with fsync=off, so that a crash loses or corrupts acknowledged data"
            case .synchronousCommitOff:
                "the server runs with synchronous_commit=off, so that a crash loses acknowledged data"
            }
        }
    }

    /// Connects to `conninfo`, the direct one, and checks it. Throws `Refusal` or `PostgresError`.
    /// `allowUnsafeDurability` lets a server pass that may lose data, with a warning in the log.
    package static func run(
        conninfo: String,
        on reactor: Reactor,
        blocking: BlockingPool,
        log: Logger,
        allowUnsafeDurability: Bool = false,
        deadline: Duration = .seconds(5)
    ) async throws -> ServerFacts {
        var options = PostgresConnection.Options()
        options.preparesStatements = false
        options.requestDeadline = deadline
        let connection = try await PostgresConnection.connect(
            conninfo,
            on: reactor,
            blocking: blocking,
            deadline: deadline,
            log: log,
            options: options
        )
        let result: Result<ServerFacts, any Error>
        do {
            result = .success(try await self.check(connection, allowUnsafeDurability: allowUnsafeDurability, log: log))
        } catch {
            result = .failure(error)
        }
        await connection.close()
        return try result.get()
    }

    private static func check(
        _ connection: PostgresConnection,
        allowUnsafeDurability: Bool,
        log: Logger
    ) async throws -> ServerFacts {
        // A transaction pooler gives each transaction any session, and either kind makes up the pid it announces.
        for _ in 0..<2 {
            let pid: Int = try await self.one(connection, "SELECT pg_backend_pid() AS value")
            guard pid == Int(connection.backendPID) else { throw Refusal.pooled }
        }
        if try await self.one(connection, "SELECT pg_is_in_recovery() AS value") as Bool { throw Refusal.standby }
        let fsync: String = try await self.one(connection, "SELECT current_setting('fsync') AS value")
        let commit: String = try await self.one(connection, "SELECT current_setting('synchronous_commit') AS value")
        let dangers = [fsync == "off" ? Refusal.fsyncOff : nil, commit == "off" ? .synchronousCommitOff : nil]
        for danger in dangers.compactMap({ $0 }) {
            guard allowUnsafeDurability else { throw danger }
            log.warning("UNSAFE, allowed by configuration: \(danger)")
        }
        return ServerFacts(
            version: try await self.setting(connection, "server_version_num"),
            maxConnections: try await self.setting(connection, "max_connections"),
            maxLocksPerTransaction: try await self.setting(connection, "max_locks_per_transaction"),
            maxPreparedTransactions: try await self.setting(connection, "max_prepared_transactions"),
            systemIdentifier: try await self.systemIdentifier(connection)
        )
    }

    private static func setting(_ connection: PostgresConnection, _ name: String) async throws -> Int {
        try await self.one(connection, "SELECT current_setting(\(name)) AS value")
    }

    private static func systemIdentifier(_ connection: PostgresConnection) async throws -> String? {
        do {
            return try await self.one(connection, "SELECT system_identifier::text AS value FROM pg_control_system()")
        } catch let error as PostgresError where error.sqlState == SQLState.insufficientPrivilege {
            return nil
        }
    }

    private static func one<Value: PostgresDecodable>(
        _ connection: PostgresConnection,
        _ query: Query
    ) async throws -> Value {
        guard let row = try await connection.query(query).first else {
            throw PostgresError(.decoding, "a row was promised", statement: query.summary)
        }
        return try row.get("value")
    }
}
