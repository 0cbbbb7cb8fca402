import Domain
import EmbeddedPostgres
import Postgres
import Runtime
import TestKit
import Testing

extension EndToEnd {
    /// The login that `deploy/roles.sql` makes, straight to the server and behind a transaction pooler.
    @Suite struct OrdinaryRoleTests {
        private static let organizations = ["red", "blue", "green", "white"]

        @Test("an ordinary role behind PgBouncer is enough, and what an organization's turns set reaches nobody else")
        func behindPooler() async throws {
            let folder = try ScratchDirectory()
            let server = try await EmbeddedPostgres.start(in: folder.file("cluster"), mode: .throwaway)
            let direct = try await Self.prepare(server.conninfo, folder)
            let pooler = try await Pooler.start(before: direct, as: "turnpike", sessions: 3, in: folder)
            try await Installation.with(direct) { installation in
                try await Self.checkLogin(installation)
                // Locks and wakes go straight to the server; everything else shares three sessions.
                let replicas = try await installation.replicas(
                    2,
                    ["database_url": pooler.conninfo, "database_direct_url": direct]
                )
                let over = StopSignal()
                let looks = Locked(0)
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await Self.watch(pooler.conninfo, until: over, looks) }
                    defer { over.raise() }
                    try await withThrowingTaskGroup(of: Void.self) { clients in
                        for (index, name) in Self.organizations.enumerated() {
                            let port = replicas[index % 2].port
                            clients.addTask { try await Self.converse(name, port, installation) }
                        }
                        try await clients.waitForAll()
                    }
                    over.raise()
                    try await group.waitForAll()
                }
                try await Ledger(installation).check(turns: Self.organizations.count * 6)
                Figures.report("\(looks.withLock { $0 }) looks through the pooler found nobody's organization set")
            }
            try await pooler.stop()
            await server.stop()
        }

        /// Runs the script twice, then the migrations as the login that it made; returns how to connect as that.
        private static func prepare(_ administrator: String, _ folder: ScratchDirectory) async throws -> String {
            let psql = try Missing.program("/usr/bin/psql", remedy: "apt-get install postgresql-client")
            for _ in 0..<2 {
                let run = try await Spawned.start(
                    [psql, "--no-psqlrc", "--file", "\(Places.repository)/deploy/roles.sql", administrator],
                    environment: ["PATH": "/usr/bin:/bin", "TURNPIKE_POSTGRES_PASSWORD": "o'clock"],
                    output: folder.file("roles.log")
                )
                #expect(try await run.end(within: .seconds(20)) == 0, "\(run.text)")
            }
            let direct =
                administrator.replacing("user=postgres", with: "user=turnpike")
                .replacing("dbname=postgres", with: "dbname=turnpike")
            let environment = Installation.environment(direct, folder)
            let migrated = try await Program.run(["migrate"], environment, in: folder)
            #expect(migrated.status == 0, "\(migrated.text)")
            let own = administrator.replacing("dbname=postgres", with: "dbname=turnpike")
            for (login, isAlmighty) in [(direct, false), (own, true)] {
                let doctor = try await Program.run(["doctor"], Installation.environment(login, folder), in: folder)
                #expect(doctor.text.contains("organizations are walled off"), "\(doctor.text)")
                #expect(doctor.text.contains("the login postgres passes every wall") == isAlmighty, "\(doctor.text)")
            }
            return direct
        }

        /// The login may do what the gateway needs, and nothing that an administrator may.
        private static func checkLogin(_ installation: Installation) async throws {
            let ledger = Ledger(installation)
            let counts: [(Int, Query)] = [
                (
                    1,
                    """
                    SELECT count(*) FROM pg_roles WHERE rolname = current_user AND rolname = 'turnpike'
                        AND NOT (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication)
                    """
                ),
                (1, "SELECT count(*) FROM pg_namespace WHERE nspname = 'turnpike' AND nspowner = 'turnpike'::regrole"),
                // The owner is behind the walls too, and gets through as the gateway does.
                (
                    0,
                    """
                    SELECT count(*) FROM pg_class WHERE relnamespace = 'turnpike'::regnamespace AND relrowsecurity
                        AND NOT relforcerowsecurity
                    """
                ),
            ]
            for (expected, query) in counts { #expect(try await ledger.count(query) == expected) }
            for refused: Query in ["COPY (SELECT 1) TO PROGRAM 'true'", "SELECT pg_read_file('/etc/hostname')"] {
                await #expect(throws: PostgresError.self) { try await installation.pool.query(refused) }
            }
        }

        /// One organization's turns, in a conversation that has the same name in all of them.
        private static func converse(_ name: String, _ port: Int, _ installation: Installation) async throws {
            let words = ["token", "create", "t", "--direct", "--json", "--scope", "turns", "--scope", "agents"]
            let environment = installation.environment(["organization": name])
            let made = try await Program.run(words, environment, in: installation.folder)
            let client = Client(http: HTTPClient(port: port, token: try made.json()["secret"]?.text))
            try await client.putPaced()
            var list: [String] = []
            for number in 0..<6 {
                list.append("\(name)-\(number)")
                #expect(ReplyList.items(try await client.reply("paced", "c", "\(name)-\(number) 2 0.02")) == list)
            }
            let listed = try await client.http.send("GET", "/v1/agents/paced/conversations").json()
            #expect(listed["conversations"]?.elements?.count == 1)
        }

        /// Statements without a wall, in the sessions that the gateway's walled ones share: as many as there are.
        private static func watch(_ conninfo: String, until over: StopSignal, _ looks: Locked<Int>) async throws {
            let pool = ConnectionPool(
                configuration: .init(conninfo: conninfo, size: 2),
                reactor: try TestPlatform.reactor(),
                blocking: TestPlatform.blocking,
                log: .silent,
                metrics: Metrics()
            )
            var sessions: Set<Int> = []
            while !over.isRaised {
                let row = try #require(
                    try await pool.query(
                        """
                        SELECT current_user::text AS role, coalesce(current_setting('turnpike.org', true), '') AS org,
                            pg_backend_pid() AS pid
                        """
                    ).first
                )
                #expect(try row.get("role") == "turnpike")
                #expect(try row.get("org") == "")
                sessions.insert(try row.get("pid"))
                looks.withLock { $0 += 1 }
                try await Task.sleep(for: .milliseconds(5))
            }
            #expect(sessions.count <= 3, "the pooler has three sessions for everybody")
            await pool.close()
        }
    }
}
