package import Domain
import Postgres

extension Store {
    /// So many earlier turns are looked at, however short they are.
    private static let transcriptTurns = 500

    /// What was said before the turn `seq`: the inputs and replies of completed turns, and of cancelled and interrupted
    /// ones as far as they came, the newest whose texts fit into `maximumBytes`. A fork's goes on with its origin's, from the turn back
    /// that it began with. Read, like the snapshots, only after the term has begun.
    package func transcript(
        _ number: ConversationNumber,
        before seq: Int64,
        maximumBytes: Int
    ) async throws -> Transcript {
        let rows = try await self.pool.query(
            """
            WITH RECURSIVE line (id, before, origin, origin_seq, gone) AS (
                SELECT id, \(seq)::bigint, origin, origin_seq, false
                FROM turnpike.conversations WHERE id = \(number.value)::bigint
                UNION ALL
                SELECT o.id, least(l.before, l.origin_seq + 1), o.origin, o.origin_seq, o.deleted_at IS NOT NULL
                FROM line l JOIN turnpike.conversations o ON o.id = l.origin
            ), said AS (
                SELECT s.* FROM line l CROSS JOIN LATERAL (
                    SELECT t.seq, coalesce(o.epoch, 0) AS epoch, o.reply, o.usage,
                        (SELECT string_agg(
                             CASE p.part ->> 'type' WHEN 'text' THEN p.part ->> 'text'
                                 ELSE format('[%s]', coalesce(
                                     p.part ->> 'name', p.part ->> 'uri', p.part ->> 'type')) END,
                             E'\\n' ORDER BY p.ord)
                         FROM jsonb_array_elements(t.input) WITH ORDINALITY AS p (part, ord)) AS input
                    FROM turnpike.turns t JOIN turnpike.outcomes o ON o.turn = t.turn
                    WHERE t.conversation_id = l.id AND t.seq < l.before
                        AND (o.state = 'completed' OR ((o.state = 'cancelled' OR o.code = 'interrupted') AND o.reply <> ''))
                    ORDER BY t.seq DESC LIMIT \(Self.transcriptTurns + 1)::integer) s
                WHERE NOT l.gone ORDER BY s.seq DESC LIMIT \(Self.transcriptTurns + 1)::integer
            ), measured AS (
                SELECT *, row_number() OVER (ORDER BY seq DESC) AS place,
                    coalesce(sum(octet_length(coalesce(input, '')) + octet_length(reply)) OVER (
                        ORDER BY seq DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS newer
                FROM said
            )
            SELECT seq, epoch, left(coalesce(input, ''), \(maximumBytes + 1)::integer) AS input,
                left(reply, \(maximumBytes + 1)::integer) AS reply, CASE WHEN place = 1 THEN usage END AS usage,
                (SELECT bool_or(gone) FROM line) AS gone
            FROM (SELECT) one LEFT JOIN measured ON newer <= \(maximumBytes)::bigint ORDER BY seq DESC
            """
        )
        let exchanges = try rows.compactMap { row in
            try row.get("seq", as: Int64?.self).map { seq in
                Transcript.Exchange(
                    seq: seq,
                    epoch: try row.get("epoch"),
                    input: try row.get("input"),
                    reply: try row.get("reply")
                )
            }
        }
        let usage = try rows.first?.get("usage", as: String?.self)
        // What was said in an origin that was deleted is told to nobody.
        let isGone = try rows.first?.get("gone", as: Bool?.self) ?? false
        return Transcript(
            newestFirst: Array(exchanges.prefix(Self.transcriptTurns)),
            maximumBytes: maximumBytes,
            isCut: exchanges.count > Self.transcriptTurns || isGone,
            usage: try usage.map { try StoredJSON.value($0) }
        )
    }
}
