import Domain
import Foundation
import Postgres
import Runtime
import TestKit
import Testing

@testable import Store

/// Row-level security: what is left when a statement forgets whose data it is about.
@Suite("The walls between organizations")
struct WallTests {
    @Test(
        "a statement that names another organization wherever it should name its own changes and sees nothing",
        arguments: TenantCall.all
    )
    func forgetting(_ call: TenantCall) async throws {
        let fixture = try await WallFixture.make()
        let nothing = try await call.answer(fixture.stranger, fixture)
        let before = try await fixture.content()
        do {
            #expect(try await call.answer(fixture.forgetful, fixture) == nothing)
        } catch let error as PostgresError {
            // What it would have written has no place on its side of the wall.
            #expect(error.sqlState == "42501", "\(error)")
        }
        #expect(try await fixture.content() == before)
        // The call is one that can tell: to whom the data belongs, it says something else.
        #expect(try await call.answer(fixture.owner, fixture) != nothing)
    }

    @Test("every call of an organization's store is tried")
    func completeness() throws {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "Sources/Store")
        var found: Set<String> = []
        for file in try FileManager.default.contentsOfDirectory(atPath: folder.path) {
            found.formUnion(Self.calls(try String(contentsOf: folder.appending(path: file), encoding: .utf8)))
        }
        #expect(found.subtracting(TenantCall.all.map(\.name)).sorted() == [], "add these to TenantCalls.swift")
        #expect(Set(TenantCall.all.map(\.name)).subtracting(found).sorted() == [])
        #expect(TenantCall.all.count == found.count)
    }

    /// The names of what the extensions of `TenantStore` in a file offer to other modules.
    private static func calls(_ text: String) -> Set<String> {
        var names: Set<String> = []
        var isInside = false
        var open: String?
        for line in text.split(separator: "\n") {
            if !line.hasPrefix(" ") && line.contains(" {") {
                isInside = ["extension TenantStore {", "package struct TenantStore"].contains { line.hasPrefix($0) }
            }
            guard isInside else { continue }
            if line.hasPrefix("    package func ") { open = "" }
            guard let started = open else { continue }
            let declaration = started + line.trimmingCharacters(in: .whitespaces)
            // A signature ends with its effects or its result.
            guard declaration.contains(") async") else {
                open = declaration
                continue
            }
            open = nil
            names.insert(Self.name(declaration))
        }
        return names
    }

    /// `package func f(_ a: A, b c: B) async …` is `f(_:b:)`.
    private static func name(_ declaration: String) -> String {
        let signature = declaration.dropFirst("package func ".count).split(separator: ") async", maxSplits: 1)[0]
        let parts = signature.split(separator: "(", maxSplits: 1, omittingEmptySubsequences: false)
        let labels = parts[1].split(separator: ",").compactMap { parameter in
            parameter.contains(":") ? parameter.split(separator: " ").first?.split(separator: ":").first : nil
        }
        return "\(parts[0])(\(labels.map { "\($0):" }.joined()))"
    }

    @Test("every table is behind a wall, but for those that hold no tenant's data")
    func everyTable() async throws {
        let pool = try await StoreDatabase.pool(size: 1)
        let open = try await pool.query(
            """
            SELECT c.relname::text AS name FROM pg_class c
            WHERE c.relnamespace = 'turnpike'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT (
                c.relrowsecurity AND c.relforcerowsecurity AND ARRAY['gateway', 'tenant']::name[] = (
                    SELECT array_agg(p.polname ORDER BY p.polname) FROM pg_policy p WHERE p.polrelid = c.oid))
            ORDER BY c.relname
            """
        ).map { try $0.get("name", as: String.self) }
        #expect(
            open == ["migrations"],
            "put a new table behind a wall: CALL turnpike.wall_off('turnpike.…')"
        )
    }

    @Test("whose a row of a conversation is, is looked up by its number, however many the organization has")
    func plans() async throws {
        let fixture = try await WallFixture.make()
        try await fixture.victim.pool.query(
            """
            INSERT INTO turnpike.conversations (org, agent, conversation)
            SELECT 'victim', 'echo', 'many-' || n FROM generate_series(1, 3000) AS n
            """
        )
        try await fixture.victim.pool.query("ANALYZE turnpike.conversations, turnpike.turns")
        for (table, key) in [
            ("events", "conversation_id = 1"), ("snapshots", "conversation_id = 1"), ("markers", "conversation_id = 1"),
            ("deployments", "conversation_id = 1"), ("outcomes", "state = 'completed'"),
        ] {
            let query = Query(unescaped: "EXPLAIN SELECT * FROM turnpike.\(table) WHERE \(key)")
            let lines = try await fixture.owner.pool.query(query).map { try $0.get("QUERY PLAN", as: String.self) }
            let plan = lines.joined(separator: "\n")
            #expect(plan.contains("SubPlan"), "\(table): \(plan)")
            #expect(!plan.contains("hashed") && !plan.contains("Seq Scan on conversations"), "\(table): \(plan)")
        }
    }

    @Test("a table that a tenant's statements reach without a wall keeps a replica from starting")
    func hole() async throws {
        let pool = try await StoreDatabase.pool(size: 1)
        try await Store(pool: pool).checkWalls()
        try await pool.query("CREATE TABLE turnpike.hole (org text)")
        try await Store(pool: pool).checkWalls()
        try await pool.query("GRANT SELECT ON turnpike.hole TO turnpike_tenant")
        await #expect(throws: WallBreach.self) { try await Store(pool: pool).checkWalls() }
        try await pool.query("CALL turnpike.wall_off('turnpike.hole')")
        try await Store(pool: pool).checkWalls()
    }

    @Test("a transaction of several round trips is behind its wall to the end")
    func transaction() async throws {
        let fixture = try await WallFixture.make()
        var counts: [Int] = []
        for store in [fixture.owner, fixture.stranger] {
            let seen = try await store.pool.withTransaction { connection in
                try await connection.query("SELECT 1")
                let rows = try await connection.query("SELECT count(*) AS count FROM turnpike.turns")
                return try rows.first?.get("count", as: Int.self) ?? -1
            }
            counts.append(seen)
        }
        #expect(counts == [4, 0])
    }

    @Test("two organizations that share two connections, errors in between, never see each other's rows")
    func interleaved() async throws {
        let fixture = try await WallFixture.make()
        let stranger = fixture.stranger
        _ = try await stranger.put(
            fixture.victim.agent,
            AgentConfiguration(driver: .acp, command: ["theirs"], storeMode: .none)
        )
        let (seed, seen) = (UInt64.random(in: .min ... .max), Locked<[String: Int]>([:]))
        print("seed \(seed)")
        try await withThrowingTaskGroup(of: Void.self) { group in
            for worker in 0..<8 {
                group.addTask {
                    var state = seed &+ UInt64(worker)
                    for _ in 0..<250 {
                        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                        let isOwner = state >> 40 & 1 == 0
                        if state >> 50 & 7 == 0 {
                            await #expect(throws: PostgresError.self) {
                                try await fixture.forgetful.createThread(ConversationID("x"), metadata: "{}", items: [])
                            }
                        }
                        let agent = try await (isOwner ? fixture.owner : stranger).agent(fixture.victim.agent)
                        #expect(agent?.configuration.command == [isOwner ? "agent" : "theirs"])
                        seen.withLock { $0["\(isOwner)", default: 0] += 1 }
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(seen.withLock { $0.count == 2 && $0.values.reduce(0, +) == 2_000 })
        let roles = try await fixture.victim.pool.query("SELECT current_user::text AS name")
        #expect(try roles.first?.get("name") == "postgres")
    }
}

/// Who a gateway may log in as.
@Suite("The gateway's role")
struct RoleTests {
    /// A pool on `conninfo` whose sessions are those of `user`.
    private func pool(_ conninfo: String, user: String) throws -> ConnectionPool {
        try StoreDatabase.pool(on: conninfo) { $0.settings = [("user", user)] }
    }

    @Test("a member of turnpike_gateway that owns nothing does all the work, and can change no table")
    func member() async throws {
        let conninfo = try await StoreDatabase.fresh()
        try await TestServer.shared.perform("CREATE ROLE plain_member LOGIN IN ROLE turnpike_gateway")
        let pool = try self.pool(conninfo, user: "plain_member")
        let store = Store(pool: pool)
        try await store.checkWalls()
        let fixture = try await WallFixture.make(on: pool)
        #expect(try await fixture.owner.turn(fixture.settled)?.outcome?.reply == "secret")
        #expect(try await fixture.stranger.turn(fixture.settled) == nil)
        #expect(try await store.takeOver(from: fixture.victim.replica).turns.map(\.turn) == [fixture.running])
        #expect(try await store.forget(fixture.victim.replica) == false)
        #expect(try await store.claim(limit: 10, hold: .seconds(10)).map(\.number) == [fixture.number])
        for statement in ["DROP TABLE turnpike.threads", "ALTER TABLE turnpike.threads DISABLE ROW LEVEL SECURITY"] {
            await #expect(throws: PostgresError.self) { try await pool.query(Query(unescaped: statement)) }
        }
        await pool.close()
    }

    @Test("who is no member is refused, with the statement that makes it one")
    func stranger() async throws {
        let conninfo = try await StoreDatabase.fresh()
        try await TestServer.shared.perform("CREATE ROLE plain_stranger LOGIN")
        let pool = try self.pool(conninfo, user: "plain_stranger")
        let store = Store(pool: pool)
        let breach = await #expect(throws: WallBreach.self) { try await store.checkWalls() }
        #expect(breach?.remedy.contains(#"GRANT turnpike_gateway TO "plain_stranger";"#) == true)
        try await TestServer.shared.perform("GRANT turnpike_gateway TO plain_stranger")
        try await store.checkWalls()
        await pool.close()
    }

    @Test("an owner without privileges of its own migrates, is behind the walls too, and does the gateway's work")
    func owner() async throws {
        // The roles are there: another database of the server has been migrated.
        _ = try await StoreDatabase.fresh()
        try await TestServer.shared.perform("CREATE ROLE plain_owner LOGIN IN ROLE turnpike_gateway")
        let database = try await TestServer.shared.emptyDatabase()
        try await TestServer.shared.perform("ALTER DATABASE \(quotedIdentifier(database.name)) OWNER TO plain_owner")
        let pool = try self.pool(database.conninfo, user: "plain_owner")
        try await pool.withConnection { _ = try await Schema.migrator.apply(on: $0, log: .silent) }
        try await Store(pool: pool).checkWalls()
        let fixture = try await WallFixture.make(on: pool)
        #expect(try await fixture.forgetful.turn(fixture.settled) == nil)
        #expect(try await fixture.owner.turn(fixture.settled)?.outcome?.reply == "secret")
        let isActive = try await pool.query("SELECT row_security_active('turnpike.turns') AS active")
        #expect(try isActive.first?.get("active") == true)
        await pool.close()
    }
}
