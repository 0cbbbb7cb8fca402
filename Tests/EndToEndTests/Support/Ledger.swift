import Postgres
import Testing

/// What must be true of the database whatever happened.
struct Ledger: Sendable {
    let pool: ConnectionPool

    init(_ installation: Installation) {
        self.pool = installation.pool
    }

    /// The number that a statement finds.
    func count(_ query: Query) async throws -> Int {
        try await self.pool.query(query).first?.get("count") ?? 0
    }

    /// Every turn has one outcome, turns ran one after another in their order, logs have no gap, chains no fork.
    func check(turns: Int, sourceLocation: SourceLocation = #_sourceLocation) async throws {
        let counts: [(String, Int, Query)] = [
            ("turns", turns, "SELECT count(*) FROM turnpike.turns"),
            ("outcomes", turns, "SELECT count(*) FROM turnpike.outcomes"),
            ("turns whose state is not their outcome's", 0, Self.contradicted),
            ("debts left", 0, "SELECT count(*) FROM turnpike.markers"),
            ("turns that began before the one ahead had ended", 0, Self.overlapping),
            ("turns that skipped the queue", 0, Self.misordered),
            ("logs with a gap", 0, Self.gaps),
            ("turns without exactly one terminal event", 0, Self.terminals),
            ("snapshots whose parent is not the one before", 0, Self.forks),
        ]
        for (what, expected, query) in counts {
            #expect(try await self.count(query) == expected, "\(what)", sourceLocation: sourceLocation)
        }
    }

    private static let contradicted: Query = """
        SELECT count(*) FROM turnpike.turns t LEFT JOIN turnpike.outcomes o USING (turn)
        WHERE o.state IS DISTINCT FROM t.state
        """
    /// A transaction's time is that of its beginning, and it may have waited for the conversation's row while another one,
    /// begun later, ended a turn that was queued ahead.
    private static let overlapping: Query = """
        SELECT count(*) FROM turnpike.turns a JOIN turnpike.turns b
            ON b.conversation_id = a.conversation_id AND b.seq = a.seq + 1
        WHERE b.started_at < a.ended_at - CASE WHEN a.started_at IS NULL THEN interval '1 second' ELSE '0' END
        """
    private static let misordered: Query = """
        SELECT count(*) FROM turnpike.turns a JOIN turnpike.turns b
            ON b.conversation_id = a.conversation_id AND b.seq > a.seq
        WHERE b.started_at < a.started_at
        """
    private static let gaps: Query = """
        SELECT count(*) FROM (
            SELECT c.id FROM turnpike.conversations c LEFT JOIN turnpike.events e ON e.conversation_id = c.id
            GROUP BY c.id
            HAVING count(e.seq) <> c.last_event OR coalesce(max(e.seq), 0) <> c.last_event
        ) bad
        """
    private static let terminals: Query = """
        SELECT count(*) FROM (
            SELECT t.turn FROM turnpike.turns t LEFT JOIN turnpike.events e
                ON e.conversation_id = t.conversation_id AND e.turn = t.turn
                AND e.type IN ('turn.completed', 'turn.failed', 'turn.cancelled')
            GROUP BY t.turn HAVING count(e.seq) <> 1
        ) bad
        """
    private static let forks: Query = """
        SELECT count(*) FROM (
            SELECT parent, lag(seq, 1, 0::bigint) OVER (PARTITION BY conversation_id ORDER BY seq) AS before
            FROM turnpike.snapshots
        ) chain WHERE parent <> before
        """
}
