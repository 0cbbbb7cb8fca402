import Domain
import Postgres
import Runtime
import TestKit
import Testing

@testable import API

@Suite(.serialized)
struct DialectOutageTests {
    @Test("a completion that loses the database on its way waits for its turn, and is not refused")
    func lost() async throws {
        try await APIFixture.with { fixture in
            let slow = #"{"driver":"command","command":["/bin/sh","-c","sleep 5; cat"]}"#
            #expect(try await fixture.client.send("PUT", "/v1/agents/slow", slow).status == 200)
            let pool = ConnectionPool(
                configuration: .init(conninfo: fixture.conninfo, size: 2),
                reactor: try TestPlatform.reactor(),
                blocking: TestPlatform.blocking,
                log: .silent,
                metrics: Metrics()
            )
            let body = #"{"model":"slow","messages":[{"role":"user","content":"yes"}]}"#
            async let completion = fixture.client.send("POST", "/v1/chat/completions", body)
            try await eventually("the turn to run") {
                try await !pool.query("SELECT FROM turnpike.markers").isEmpty
            }
            // Whoever waits for the turn looks after the token each second: that look is cut off.
            try await pool.withTransaction { connection in
                try await connection.query("LOCK TABLE turnpike.tokens IN ACCESS EXCLUSIVE MODE")
                try await eventually("a look at the token to be cut off") {
                    try await !pool.query(
                        """
                        SELECT pg_terminate_backend(pid) FROM pg_locks
                        WHERE NOT granted AND relation = 'turnpike.tokens'::regclass
                        """
                    ).isEmpty
                }
            }
            let answer = try await completion
            #expect(answer.status == 200 && answer.text.contains("yes"), "\(answer.text)")
            await pool.close()
        }
    }
}
