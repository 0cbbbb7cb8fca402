import Domain
import Postgres

/// What a turn that interrupts found ahead of it.
struct Interruption {
    /// Turns that are still ahead: the running one, or none.
    let ahead: Int
    /// The running turn, for its holder to stop; nil when there is none or somebody had asked for its end before.
    let running: TurnID?
    /// Queued turns that were ended.
    let ended: Int

    init(_ row: Row) throws {
        self.running = try row.optionalID("interrupted")
        self.ahead = try row.get("ahead")
        self.ended = try row.get("ended")
    }
}

extension Store {
    /// Ends what is ahead of `turn`, if the statement before it in the pipeline has accepted that turn: queued turns get
    /// their outcome here and now, and the running one is marked, for its holder to stop. Two that interrupt at the same
    /// moment are ordered by the conversation's row: the later one ends the earlier one.
    static func interrupt(aheadOf turn: TurnID) -> Query {
        let (code, message) = (FailureCode.interrupted.rawValue, FailureCode.interrupted.meaning)
        // Of a parked turn what was said so far is kept; what was only queued has said nothing.
        let said = "coalesce((SELECT p.said FROM turnpike.parks p WHERE p.turn = ended.turn), '')"
        return """
            WITH mine AS (
                SELECT t.conversation_id, t.seq FROM turnpike.turns t WHERE t.turn = \(turn.text)::uuid
            ), held AS (
                SELECT c.id, c.running, c.last_event FROM turnpike.conversations c
                WHERE c.id = (SELECT conversation_id FROM mine) FOR UPDATE
            ), told AS (
                UPDATE turnpike.turns t
                SET interrupted = t.interrupted OR t.cancel_requested_at IS NULL,
                    cancel_requested_at = coalesce(t.cancel_requested_at, now())
                FROM held WHERE t.turn = held.running AND t.state = 'running'
                RETURNING t.turn, t.interrupted
            ), ended AS (
                UPDATE turnpike.turns t SET state = 'failed', ended_at = now()
                FROM held, mine
                WHERE t.conversation_id = held.id AND t.state = 'queued' AND t.seq < mine.seq
                RETURNING t.turn, t.seq
            ), outcome AS (
                INSERT INTO turnpike.outcomes (turn, state, code, message, reply)
                SELECT turn, 'failed', \(code)::text, \(message)::text, \(unescaped: said) FROM ended
            ), moved AS (
                UPDATE turnpike.conversations c
                SET queued = c.queued - n.ended, last_event = c.last_event + n.ended,
                    parked = CASE WHEN c.parked NOT IN (SELECT turn FROM ended) THEN c.parked END
                FROM held, (SELECT count(*)::integer AS ended FROM ended) n
                WHERE c.id = held.id AND n.ended > 0
            ), logged AS (
                INSERT INTO turnpike.events (conversation_id, seq, turn, type, data)
                SELECT held.id, held.last_event + row_number() OVER (ORDER BY ended.seq), ended.turn, 'turn.failed',
                    json_build_object('code', \(code)::text, 'message', \(message)::text, 'partial', \(unescaped: said))
                FROM held, ended
            )
            SELECT (held.running IS NOT NULL)::integer AS ahead,
                (SELECT turn FROM told WHERE interrupted) AS interrupted,
                (SELECT count(*)::integer FROM ended) AS ended
            FROM held
            """
    }
}
