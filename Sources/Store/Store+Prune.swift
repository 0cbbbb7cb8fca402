package import Domain
import Postgres

/// How far a walk over all chains has come.
package struct PruneRound: Sendable, Hashable {
    /// What was removed on this stretch.
    package let pruned: PrunedSnapshots
    /// Where the next stretch begins; nil when the walk is over.
    package let next: Place?

    /// A base in the order of the walk.
    package struct Place: Sendable, Hashable {
        let conversation: Int64
        let seq: Int64

        /// Before the first.
        package static let start = Place(conversation: 0, seq: 0)
    }
}

extension Store {
    /// Looks at the next `bases` bases that have something before them, and removes what is behind those that their
    /// agents' `snapshot_keep_turns` need no longer, at most `links` links. What a worker hydrates from is the newest base
    /// and what follows, so it is never among them. Two replicas at once share the work.
    package func pruneSnapshots(after place: PruneRound.Place, bases: Int, links: Int) async throws -> PruneRound {
        let keep = AgentLimits().snapshotKeepTurns
        let rows = try await self.pool.query(
            """
            WITH page AS (
                SELECT b.conversation_id, b.seq FROM turnpike.snapshots b
                WHERE b.kind = 'base' AND b.parent > 0
                    AND (b.conversation_id, b.seq) > (\(place.conversation)::bigint, \(place.seq)::bigint)
                ORDER BY b.conversation_id, b.seq LIMIT \(bases)::integer
            ), kept AS (
                SELECT p.conversation_id, max(p.seq) AS seq FROM page p
                JOIN turnpike.conversations c ON c.id = p.conversation_id
                LEFT JOIN turnpike.agents a ON a.org = c.org AND a.agent = c.agent
                WHERE p.seq <= c.head - coalesce(
                    (a.configuration -> 'limits' ->> 'snapshot_keep_turns')::bigint, \(keep)::bigint)
                GROUP BY p.conversation_id
            ), doomed AS (
                SELECT s.conversation_id, s.seq FROM turnpike.snapshots s
                JOIN kept k ON s.conversation_id = k.conversation_id AND s.seq < k.seq
                ORDER BY s.conversation_id, s.seq LIMIT \(links)::integer
                FOR UPDATE OF s SKIP LOCKED
            ), pruned AS (
                DELETE FROM turnpike.snapshots s USING doomed d
                WHERE s.conversation_id = d.conversation_id AND s.seq = d.seq
                RETURNING octet_length(s.body)::bigint AS bytes
            )
            SELECT (SELECT count(*) FROM pruned)::integer AS links,
                (SELECT coalesce(sum(bytes), 0) FROM pruned)::bigint AS bytes,
                (SELECT count(*) FROM page)::integer AS seen,
                last.conversation_id, last.seq
            FROM (SELECT 1) one LEFT JOIN LATERAL (
                SELECT conversation_id, seq FROM page ORDER BY conversation_id DESC, seq DESC LIMIT 1) last ON true
            """
        )
        guard let row = rows.first else { throw PostgresError(.decoding, "pruning gave no count") }
        let pruned = PrunedSnapshots(links: try row.get("links"), bytes: try row.get("bytes"))
        // What was too much for one stretch is gone on with at the same place.
        if pruned.links == links { return PruneRound(pruned: pruned, next: place) }
        guard try row.get("seen", as: Int.self) == bases,
            let conversation = try row.get("conversation_id", as: Int64?.self),
            let seq = try row.get("seq", as: Int64?.self)
        else { return PruneRound(pruned: pruned, next: nil) }
        return PruneRound(pruned: pruned, next: PruneRound.Place(conversation: conversation, seq: seq))
    }
}
