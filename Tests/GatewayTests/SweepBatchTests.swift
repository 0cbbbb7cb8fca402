import Domain
import Postgres
import Runtime
import Store
import TestKit
import Testing

@testable import Gateway

@Suite("The size of sweeps")
struct SweepBatchTests {
    @Test("it is halved when a sweep is not over in time, doubled up to its most when one is, and kept by other errors")
    func size() async throws {
        var batch = SweepBatch(most: 5)
        func fail(_ code: PostgresError.Code, _ sqlState: String? = nil) async {
            await #expect(throws: PostgresError.self) {
                try await batch.run { _ in throw PostgresError(code, "asked to fail", sqlState: sqlState) }
            }
        }
        // A deadline of this side, and the server's own.
        for (limit, sqlState) in [(2, nil), (1, "57014"), (1, nil)] {
            await fail(sqlState == nil ? .timedOut : .server, sqlState)
            #expect(batch.limit == limit)
        }
        await fail(.server, "40001")
        await fail(.connectionLost)
        for limit in [1, 2, 4, 5, 5] {
            #expect(batch.limit == limit)
            #expect(try await batch.run { $0 } == limit)
        }
    }

    @Test("turns that are too many to be ended in time are ended all the same")
    func tooMany() async throws {
        var configuration = ConnectionPool.Configuration(conninfo: try await StoreDatabase.fresh(), size: 2)
        configuration.waitDeadline = .seconds(60)
        configuration.requestDeadline = .seconds(1)
        let pool = ConnectionPool(
            configuration: configuration,
            reactor: try TestPlatform.reactor(),
            blocking: TestPlatform.blocking,
            log: .silent,
            metrics: Metrics()
        )
        let (store, turns) = (Store(pool: pool), 40)
        try await Self.makeOverdue(turns, store, pool)
        var batch = SweepBatch(most: turns)
        var tried: [Int] = []
        try await eventually("every turn to have its outcome", within: .seconds(60)) {
            tried.append(batch.limit)
            do {
                _ = try await batch.run { try await store.sweepOverdue(grace: .zero, limit: $0) }
            } catch let error as PostgresError where error.code == .timedOut {}
            return try await pool.query("SELECT count(*) FROM turnpike.outcomes").first?.get("count") == turns
        }
        #expect(tried.starts(with: [40, 20]), "\(tried)")
    }

    /// Turns past their deadlines, each of which takes 50 ms to end.
    private static func makeOverdue(_ turns: Int, _ store: Store, _ pool: ConnectionPool) async throws {
        for number in 0..<turns {
            let submission = TurnSubmission(
                id: freshID(),
                org: try OrganizationID("default"),
                agent: try AgentID("echo"),
                conversation: try ConversationID("c-\(number)"),
                run: freshID(),
                input: TurnInput(text: "hello"),
                queueLimit: 10
            )
            _ = try await store.beginTerm(
                store.accept(submission).number,
                nonce: freshID(),
                replica: freshID(),
                deployment: freshID(),
                limits: AgentLimits()
            )
        }
        _ = try await pool.pipeline([
            "UPDATE turnpike.markers SET hard_deadline = now() - interval '1 hour'",
            """
            CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                PERFORM pg_sleep(0.05);
                RETURN NEW;
            END
            $$
            """,
            "CREATE TRIGGER slow BEFORE INSERT ON turnpike.outcomes FOR EACH ROW EXECUTE FUNCTION dawdle()",
        ])
    }
}
