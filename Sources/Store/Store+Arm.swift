package import Domain
import Faults
import Postgres

extension Store {
    /// Gives the oldest queued turn to a deployment: turn queued → running, marker armed, one transaction. Nil when
    /// the queue is empty, a turn is running already, or the fence is no longer the conversation's.
    package func arm(_ handOver: HandOver) async throws -> ArmedTurn? {
        try await self.pool.query(Self.arm(handOver)).first.map(Self.armedTurn)
    }

    /// The same as a statement, to ride in the transaction of an intake, a settlement or a new term.
    ///
    /// `anyEpoch` leaves the epoch out of the comparison: right only in the transaction that has just set the nonce,
    /// where the new epoch is not known yet. The nonce alone cannot repeat.
    static func arm(_ handOver: HandOver, anyEpoch: Bool = false) -> Query {
        let fence = handOver.fence
        let epoch = anyEpoch ? nil : fence.epoch
        let order = PlantedBug.newestFirst.isPlanted ? "DESC" : "ASC"
        return """
            WITH held AS (
                SELECT id, epoch FROM turnpike.conversations
                WHERE id = \(fence.conversation.value)::bigint AND owner_nonce = \(fence.nonce.text)::uuid
                    AND epoch = coalesce(\(epoch)::bigint, epoch) AND running IS NULL AND queued > 0
                    AND parked IS NULL
                FOR UPDATE
            ), next AS (
                SELECT t.turn FROM turnpike.turns t JOIN held ON t.conversation_id = held.id
                WHERE t.state = 'queued' ORDER BY t.seq \(unescaped: order) LIMIT 1
            ), started AS (
                UPDATE turnpike.turns t
                SET state = 'running', attempt = t.attempt + 1, started_at = now(), deferred_since = NULL,
                    deferred_for = NULL
                FROM next WHERE t.turn = next.turn AND t.state = 'queued'
                RETURNING t.turn, t.seq, t.run, t.attempt, t.input, t.deadline_seconds, t.cancel_requested_at, t.interrupted
            ), armed AS (
                INSERT INTO turnpike.markers
                    (turn, conversation_id, deployment, replica, epoch, progress_deadline, hard_deadline)
                SELECT started.turn, held.id, \(handOver.deployment.text)::uuid, \(handOver.replica.text)::uuid,
                    held.epoch, now() + \(handOver.progressSeconds)::integer * interval '1 second',
                    now() + coalesce(started.deadline_seconds, \(handOver.turnSeconds)::integer) * interval '1 second'
                        - coalesce((SELECT p.ran FROM turnpike.parks p WHERE p.turn = started.turn), interval '0')
                FROM started, held
                RETURNING hard_deadline
            ), moved AS (
                UPDATE turnpike.conversations c
                SET running = started.turn, queued = c.queued - 1, last_event = c.last_event + 1, active_at = now()
                FROM started, held WHERE c.id = held.id
                RETURNING c.id, c.last_event
            ), logged AS (
                INSERT INTO turnpike.events (conversation_id, seq, turn, type, data)
                SELECT moved.id, moved.last_event, started.turn, 'turn.started',
                    format('{"attempt":%s}', started.attempt)::json
                FROM moved, started
            )
            SELECT turn, seq, run, attempt, input, deadline_seconds, cancel_requested_at IS NOT NULL AS cancel_requested,
                interrupted,
                moved.last_event, \(unescaped: SQLTime.text("now()")) AS at,
                \(unescaped: Self.ran("started")) AS ran_ms, \(unescaped: Self.remaining("armed")) AS remaining_ms
            FROM started, armed, moved
            """
    }

    /// The event that the statement of `arm` wrote, in its very words.
    static func startedEvent(_ row: Row) throws -> EventRecord {
        let attempt: Int = try row.get("attempt")
        return EventRecord(
            seq: try row.get("last_event"),
            turn: try row.id("turn"),
            type: TurnEvent.started(attempt: attempt).type,
            data: #"{"attempt":\#(attempt)}"#,
            at: try row.get("at")
        )
    }

    /// The turn that is running under this fence: one whose hand-over was committed while its answer got lost.
    package func runningTurn(_ fence: Fence) async throws -> ArmedTurn? {
        try await self.pool.query(
            """
            SELECT t.turn, t.seq, t.run, t.attempt, t.input, t.deadline_seconds,
                t.cancel_requested_at IS NOT NULL AS cancel_requested, t.interrupted,
                \(unescaped: Self.ran("t")) AS ran_ms, \(unescaped: Self.remaining("m")) AS remaining_ms
            FROM turnpike.conversations c JOIN turnpike.turns t ON t.turn = c.running
            LEFT JOIN turnpike.markers m ON m.turn = t.turn
            WHERE c.id = \(fence.conversation.value)::bigint AND c.epoch = \(fence.epoch)::bigint
                AND c.owner_nonce = \(fence.nonce.text)::uuid
            """
        ).first.map(Self.armedTurn)
    }

    /// For how long the turn had run when it parked, in milliseconds; null for one that has not parked.
    private static func ran(_ turn: String) -> String {
        "(SELECT (extract(epoch FROM p.ran) * 1000)::bigint FROM turnpike.parks p WHERE p.turn = \(turn).turn)"
    }

    static func armedTurn(_ row: Row) throws -> ArmedTurn {
        ArmedTurn(
            id: try row.id("turn"),
            seq: try row.get("seq"),
            run: try row.optionalID("run"),
            attempt: try row.get("attempt"),
            input: Self.input(try row.get("input")),
            deadlineSeconds: try row.get("deadline_seconds"),
            cancelRequested: try row.get("cancel_requested"),
            ran: try row.optionalMilliseconds("ran_ms"),
            isInterrupted: try row.get("interrupted"),
            remaining: try row.optionalMilliseconds("remaining_ms")
        )
    }

    /// Milliseconds until the hard deadline of a marker: a length of time means the same to every clock.
    private static func remaining(_ marker: String) -> String {
        "(extract(epoch FROM \(marker).hard_deadline - now()) * 1000)::bigint"
    }

    /// A turn that was enqueued in SQL may hold any JSON. By now it is armed, so it must not fail to be read: what is
    /// no array of parts becomes one, what JSON allows and no number here can hold is given as it is written, and the
    /// worker judges it.
    private static func input(_ text: String) -> TurnInput {
        do {
            switch try StoredJSON.value(text, as: JSONValue.self) {
            case .array(let parts): return TurnInput(parts: parts)
            case .string(let text): return TurnInput(text: text)
            case let other: return TurnInput(parts: [other])
            }
        } catch {
            return TurnInput(text: text)
        }
    }
}
