import Foundation
import Postgres
import TestKit
import Testing

extension EndToEnd {
    @Suite struct WarmTurnTests {
        static let turns = 20

        @Test("a warm turn costs its replica two round trips: the intake and the settlement", arguments: [false, true])
        func twoRoundTrips(withSnapshots: Bool) async throws {
            try await Installation.with { installation in
                let replica = try await installation.replica()
                let client = installation.client(replica.port)
                if withSnapshots {
                    try await client.putPaced("warm")
                } else {
                    try await client.put("warm", [try await installation.trivialAgent()])
                }
                try await installation.pool.query("CREATE EXTENSION pg_stat_statements")
                // The first turn is cold, and prepares every statement.
                for _ in 0..<3 { try await Self.run(client) }
                let (calls, trips) = (try await Self.calls(installation), try await Self.roundTrips(client))
                for _ in 0..<Self.turns { try await Self.run(client) }
                // In this order, so that no poll is seen as a trip of a turn.
                let tripsAfter = try await Self.roundTrips(client)
                let callsAfter = try await Self.calls(installation)

                let delta = callsAfter.mapValues { $0 }.merging(calls) { after, before in after - before }
                    .filter { $0.value > 0 }
                let ofTurns = delta.filter { !Self.isPoll($0.key) }
                let polls = delta.filter { Self.isPoll($0.key) }.values.reduce(0, +)
                let listing = delta.map { "\($0.value) × \($0.key.prefix(90))" }.sorted().joined(separator: "\n")
                let intakes = ofTurns.first { $0.key.contains("FROM turnpike.enqueue_turn(") }?.value
                #expect(intakes == Self.turns, "\(listing)")
                // What the polls asked meanwhile is not the turns'; each poll is one trip.
                let spent = tripsAfter - trips - polls
                #expect(spent <= 2 * Self.turns, "\(spent) round trips for \(Self.turns) turns\n\(listing)")
                Figures.report(
                    "\(Self.turns) warm turns: \(spent) round trips, \(ofTurns.values.reduce(0, +)) statements"
                )
            }
        }

        /// One turn, waited for without asking the database: whoever sees the outcome there before the replica itself does
        /// finds it still busy with the turn, and its next turn is no warm one.
        private static func run(_ client: Client) async throws {
            let settled = try await self.figure("turnpike_turns_total{outcome=\"completed\"}", client)
            _ = try await client.submit("warm", "c", "one")
            try await eventually("the turn ends") {
                try await self.figure("turnpike_turns_total{outcome=\"completed\"}", client) > settled
            }
        }

        /// How often each statement that is not this test's ran in this database.
        private static func calls(_ installation: Installation) async throws -> [String: Int] {
            let rows = try await installation.pool.query(
                """
                SELECT regexp_replace(s.query, '\\s+', ' ', 'g') AS query, sum(s.calls)::bigint AS calls
                FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid
                WHERE d.datname = current_database() AND s.toplevel AND s.query !~ 'pg_stat_statements|d.code AS dead'
                GROUP BY 1
                """
            )
            return Dictionary(
                uniqueKeysWithValues: try rows.map { (try $0.get("query"), try $0.get("calls", as: Int.self)) }
            )
        }

        /// What a replica asks although nothing happens (claims, fences, deadlines, peers, its own record), and what it
        /// asks once in a while because it remembers the answer (tokens, agents). Streamed events are not the turn's price
        /// either: on a slow machine a reply is streamed before it is settled.
        private static func isPoll(_ statement: String) -> Bool {
            let marks = [
                "WITH claimable AS", "h.epoch", "WITH selected AS ( SELECT m.turn", "turnpike.presence_key(replica)",
                "INSERT INTO turnpike.replicas", "WITH RECURSIVE owners", "FROM turnpike.tokens",
                "FROM turnpike.agents WHERE", "SELECT c.id, c.epoch, c.owner_nonce FROM",
                "WITH held AS ( UPDATE turnpike.conversations SET last_event", "AS need, c.absent_ms",
                "FROM turnpike.schedules", "SELECT FROM turnpike.remote_runs LIMIT", "a.expires_at <= now()) LIMIT",
            ]
            return marks.contains { statement.contains($0) }
        }

        /// Requests that the replica's pool has sent.
        private static func roundTrips(_ client: Client) async throws -> Int {
            try await self.figure("postgres_round_trips{", client)
        }

        /// The figure on the first line of the replica's metrics that begins so; 0 when there is none yet.
        private static func figure(_ start: String, _ client: Client) async throws -> Int {
            let metrics = try await client.http.send("GET", "/metrics").text
            let line = metrics.split(separator: "\n").first { $0.hasPrefix(start) }
            return line?.split(separator: " ").last.flatMap { Double($0) }.map { Int($0) } ?? 0
        }
    }
}
