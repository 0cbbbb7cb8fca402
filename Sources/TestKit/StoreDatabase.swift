package import Postgres
package import Runtime
internal import Store

/// A migrated database of a test's own.
package enum StoreDatabase {
    /// Its connection string. Cloned from a template that is migrated once per process.
    package static func fresh() async throws -> String {
        try await TestDatabase.fresh(template: "turnpike") { conninfo in
            try await Schema.migrator.apply(
                conninfo: conninfo,
                on: TestPlatform.reactor(),
                blocking: TestPlatform.blocking,
                log: .silent
            )
        }.conninfo
    }

    /// A pool on a fresh migrated database.
    package static func pool(size: Int) async throws -> ConnectionPool {
        try self.pool(on: try await self.fresh(), size: size)
    }

    /// A pool on the database that `conninfo` names, with the usual settings but for what `change` does to them: by default
    /// it makes the pool patient.
    package static func pool(
        on conninfo: String,
        size: Int = 2,
        _ change: (inout ConnectionPool.Configuration) -> Void = Self.makePatient
    ) throws -> ConnectionPool {
        var configuration = ConnectionPool.Configuration(conninfo: conninfo, size: size)
        change(&configuration)
        return ConnectionPool(
            configuration: configuration,
            reactor: try TestPlatform.reactor(),
            blocking: TestPlatform.blocking,
            log: .silent,
            metrics: Metrics()
        )
    }

    /// All suites of a process run at once: what waits here waits for the processor.
    package static func makePatient(_ configuration: inout ConnectionPool.Configuration) {
        configuration.waitDeadline = .seconds(60)
        configuration.requestDeadline = .seconds(60)
    }
}

/// The reactor and the blocking threads that the tests of one process share.
package enum TestPlatform {
    private static let made = Result { try Reactor(name: "tests") }

    /// The shared reactor; throws when the system gave none.
    package static func reactor() throws -> Reactor {
        try self.made.get()
    }

    /// The shared threads for blocking calls.
    package static let blocking = BlockingPool(threads: 4)
}
