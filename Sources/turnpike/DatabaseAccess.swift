import Domain
import Postgres
import Runtime
import Store

/// A command's own way to the database, for those that do their work without a gateway.
struct DatabaseAccess: Sendable {
    let reactor: Reactor
    let blocking = BlockingPool(threads: 2)
    let log: Logger

    init(log: Logger = Logger.silent) throws {
        self.reactor = try Reactor(name: "database")
        self.log = log
    }

    /// Opens a session, lends it to `body` and closes it. Throws what `body` throws, or a failure with `unreachable`.
    func withConnection<Value: Sendable>(
        _ conninfo: String,
        _ body: (PostgresConnection) async throws -> Value
    ) async throws -> Value {
        let connection = try await Self.reaching {
            try await PostgresConnection.connect(
                conninfo,
                on: self.reactor,
                blocking: self.blocking,
                deadline: .seconds(5),
                log: self.log
            )
        }
        do {
            let value = try await Self.reaching { try await body(connection) }
            await connection.close()
            return value
        } catch {
            await connection.close()
            throw error
        }
    }

    /// Lends the records behind `conninfo` to `body`.
    func withStore<Value: Sendable>(_ conninfo: String, _ body: (Store) async throws -> Value) async throws -> Value {
        let pool = ConnectionPool(
            configuration: ConnectionPool.Configuration(conninfo: conninfo, size: 1),
            reactor: self.reactor,
            blocking: self.blocking,
            log: self.log,
            metrics: Metrics()
        )
        do {
            let value = try await Self.reaching { try await body(Store(pool: pool)) }
            await pool.close()
            return value
        } catch {
            await pool.close()
            throw error
        }
    }

    /// Makes sure that row-level security keeps organizations apart. Throws a failure that says what to mend.
    static func checkWalls(_ store: Store) async throws {
        do {
            try await store.checkWalls()
        } catch let breach as WallBreach {
            throw CommandFailure(.failure, breach.description, remedy: breach.remedy)
        }
    }

    /// A server that answers with FATAL is there: then the connection string is what to look at.
    private static func unreachable(_ error: PostgresError) -> CommandFailure {
        guard error.message.contains("FATAL:") else {
            return CommandFailure(
                .unreachable,
                "PostgreSQL cannot be reached: \(error.message)",
                remedy: "Is it running, and is the connection string right? See: turnpike doctor"
            )
        }
        return CommandFailure(
            .unreachable,
            "PostgreSQL refused the connection: \(error.message)",
            remedy: "Check the user, the password and the database in the connection string."
        )
    }

    /// Turns the database's absence into the exit code that scripts look for.
    static func reaching<Value>(_ body: () async throws -> Value) async throws -> Value {
        do {
            return try await body()
        } catch let error as PostgresError where error.isConnectionTrouble || error.code == .timedOut {
            throw self.unreachable(error)
        } catch let error as PostgresError where error.sqlState == "3F000" || error.sqlState == "42P01" {
            throw CommandFailure(.failure, "the database has no schema yet", remedy: "Run: turnpike migrate")
        }
    }
}
