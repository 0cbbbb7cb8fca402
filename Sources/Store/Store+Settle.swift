import Crypto
package import Domain
import Faults
import Postgres

/// All that a settlement writes, in one transaction.
package struct Settlement: Sendable {
    /// The turn it belongs to.
    package let turn: TurnID
    /// Its number, counted from 1 within the conversation.
    package let seq: Int64
    /// What became of the turn.
    package let outcome: Outcome
    /// The chain's newest link as the holder knows it; compared, so that two settlements cannot both extend it.
    package let parent: Int64
    /// The state to save; nil when there is none.
    package let snapshot: SnapshotUpdate?
    /// Events not yet written, oldest first; the terminal event is added.
    package let events: [TurnEvent]
    /// Whether an operator should find the turn among the dead letters: its last allowed run failed.
    package let isDeadLetter: Bool

    package init(
        turn: TurnID,
        seq: Int64,
        outcome: Outcome,
        parent: Int64,
        snapshot: SnapshotUpdate?,
        events: [TurnEvent],
        isDeadLetter: Bool = false
    ) {
        self.turn = turn
        self.seq = seq
        self.outcome = outcome
        self.parent = parent
        self.snapshot = snapshot
        self.events = events
        self.isDeadLetter = isDeadLetter
    }
}

/// How a fenced write ended.
package enum Fenced<Value: Sendable>: Sendable {
    /// Written.
    case done(Value)
    /// Another holder, a sweep or a deletion came first; nothing was written.
    case fenced

    /// The value, or nil when fenced.
    package var value: Value? {
        guard case .done(let value) = self else { return nil }
        return value
    }
}

/// A settlement that was written.
package struct Settled: Sendable, Hashable {
    /// The conversation's newest event.
    package let lastEvent: Int64
    /// The next turn, handed over in the same transaction; nil when none waits or none was asked for.
    package let next: ArmedTurn?
    /// What was written to the log; empty when it is not known.
    package let events: [EventRecord]

    package init(lastEvent: Int64, next: ArmedTurn?, events: [EventRecord] = []) {
        self.lastEvent = lastEvent
        self.next = next
        self.events = events
    }
}

extension Store {
    /// Writes events of a running turn and moves its progress deadline, in one statement. Returns the number of the
    /// conversation's last event. With no events it only moves the deadline. The batches of a run are numbered from 1
    /// without a gap, and one that was written is not written again: a batch whose answer was lost may be sent once more.
    package func append(
        _ events: [TurnEvent],
        batch: Int64? = nil,
        turn: TurnID,
        fence: Fence,
        progressSeconds: Int
    ) async throws -> Fenced<Int64> {
        let types = events.map(\.type)
        let data = try events.map { try StoredJSON.text($0.data) }
        try await Self.reach(.appendBefore)
        #if FAULT_POINTS
            if PlantedBug.numberedEarly.isPlanted {
                return try await self.appendInTwo(types, data, turn: turn, fence: fence)
            }
        #endif
        let rows = try await self.pool.query(
            """
            WITH held AS (
                SELECT id, last_event FROM turnpike.conversations
                WHERE id = \(fence.conversation.value)::bigint AND epoch = \(fence.epoch)::bigint
                    AND owner_nonce = \(fence.nonce.text)::uuid AND running = \(turn.text)::uuid
                    \(unescaped: Self.orAnyHolder(.unfencedEvents, fence))
                FOR UPDATE
            ), alive AS (
                UPDATE turnpike.markers m
                SET progress_deadline = now() + \(progressSeconds)::integer * interval '1 second',
                    batch = coalesce(\(batch)::bigint, m.batch)
                FROM held WHERE m.turn = \(turn.text)::uuid AND m.batch = coalesce(\(batch)::bigint - 1, m.batch)
                RETURNING m.turn
            ), moved AS (
                UPDATE turnpike.conversations c SET last_event = c.last_event + \(events.count)::integer
                FROM held \(unescaped: PlantedBug.unfencedEvents.isPlanted ? "" : ", alive") WHERE c.id = held.id
                RETURNING c.id, c.last_event
            ), logged AS (
                INSERT INTO turnpike.events (conversation_id, seq, turn, type, data)
                SELECT moved.id, moved.last_event - \(events.count)::integer + e.ord, \(turn.text)::uuid, e.type,
                    e.data::json
                FROM moved, unnest(\(types)::text[], \(data)::text[]) WITH ORDINALITY AS e (type, data, ord)
            )
            SELECT coalesce(moved.last_event, held.last_event) AS last_event FROM held LEFT JOIN moved ON true
            """
        )
        try await Self.reach(.appendCommitted)
        guard let row = rows.first else { return .fenced }
        return .done(try row.get("last_event"))
    }

    /// Ends a turn: fence and head compared, marker discharged, outcome, snapshot, turn state and events written; all
    /// or nothing. With `next` the following turn is handed over in the same transaction and round trip.
    package func settle(_ settlement: Settlement, fence: Fence, next: HandOver? = nil) async throws -> Fenced<Settled> {
        let events = settlement.events + [.ended(settlement.outcome)]
        let data = try events.map { try StoredJSON.text($0.data) }
        let hasFailed = settlement.outcome.state == .failed
        #if FAULT_POINTS
            if PlantedBug.snapshotOutsideTransaction.isPlanted, settlement.snapshot != nil {
                return try await self.settleInTwo(settlement, fence: fence, next: next)
            }
            if PlantedBug.markerOutsideTransaction.isPlanted { try await self.dischargeAlone(settlement.turn) }
        #endif
        try await Self.reach(hasFailed ? .failBefore : .settleBefore)
        var statements = [try Self.settle(settlement, types: events.map(\.type), data: data, fence: fence)]
        if let next { statements.append(Self.arm(next)) }
        let results = try await self.pool.pipeline(statements)
        try await Self.reach(hasFailed ? .failCommitted : .settleCommitted)
        guard let row = results[0].first else { return .fenced }
        let (lastEvent, at): (Int64, String) = (try row.get("last_event"), try row.get("at"))
        var written = zip(events, data).enumerated().map { index, event in
            EventRecord(
                seq: lastEvent - Int64(events.count - 1 - index),
                turn: settlement.turn,
                type: event.0.type,
                data: event.1,
                at: at
            )
        }
        let armed = results.count > 1 ? results[1].first : nil
        if let armed { written.append(try Self.startedEvent(armed)) }
        return .done(Settled(lastEvent: lastEvent, next: try armed.map(Self.armedTurn), events: written))
    }

    /// A conversation belongs to the account on which a turn of it was completed first.
    private static let ownerStamp = ", owner_account = coalesce(c.owner_account, c.acting_account)"

    /// A settlement as a statement, to ride in a larger transaction.
    static func settle(
        _ settlement: Settlement,
        types: [String],
        data: [String],
        fence: Fence
    ) throws -> Query {
        let outcome = OutcomeColumns(settlement.outcome)
        let usage = try outcome.usage.map { try StoredJSON.text($0) }
        let snapshot = settlement.snapshot
        let head = snapshot == nil ? settlement.parent : settlement.seq
        return """
            WITH held AS (
                SELECT id, last_event FROM turnpike.conversations
                WHERE id = \(fence.conversation.value)::bigint AND epoch = \(fence.epoch)::bigint
                    AND owner_nonce = \(fence.nonce.text)::uuid AND head = \(settlement.parent)::bigint
                    AND running = \(settlement.turn.text)::uuid
                    \(unescaped: Self.orAnyHolder(.noCompareAndSet, fence))
                FOR UPDATE
            ), discharged AS (
                DELETE FROM turnpike.markers m USING held
                WHERE m.turn = \(settlement.turn.text)::uuid AND m.epoch = \(fence.epoch)::bigint
                RETURNING m.turn
            ), ended AS (
                UPDATE turnpike.turns t SET state = \(outcome.state)::text, ended_at = now()
                FROM \(unescaped: Self.discharged(settlement.turn)) d WHERE t.turn = d.turn
                RETURNING t.turn, t.org, t.attempt, extract(epoch FROM now() - t.started_at) * 1000 AS took
            ), outcome AS (
                INSERT INTO turnpike.outcomes
                    (turn, state, code, message, reply, stop_reason, usage, epoch, owner_nonce)
                SELECT turn, \(outcome.state)::text, \(outcome.code)::text, \(outcome.message)::text,
                    \(outcome.reply)::text, \(outcome.stopReason)::text, \(usage)::jsonb, \(fence.epoch)::bigint,
                    \(fence.nonce.text)::uuid
                FROM ended \(unescaped: Self.orNothing)
            ), saved AS (
                INSERT INTO turnpike.snapshots
                    (conversation_id, seq, parent, kind, format, body, sha256, epoch, owner_nonce)
                SELECT held.id, \(settlement.seq)::bigint, \(settlement.parent)::bigint,
                    \(snapshot?.kind.rawValue)::text, \(snapshot?.format.rawValue)::text, \(snapshot?.body)::bytea,
                    \(snapshot.map { Digest.sha256($0.body) })::bytea, \(fence.epoch)::bigint,
                    \(fence.nonce.text)::uuid
                FROM held, ended WHERE \(snapshot != nil)::boolean \(unescaped: Self.orNothing)
            ), buried AS (
                INSERT INTO turnpike.dead_letters (turn, org, code, message, attempts)
                SELECT turn, org, \(outcome.code)::text, \(outcome.message)::text, attempt
                FROM ended WHERE \(settlement.isDeadLetter)::boolean
            ), logged AS (
                INSERT INTO turnpike.events (conversation_id, seq, turn, type, data)
                SELECT held.id, held.last_event + e.ord, ended.turn, e.type, e.data::json
                FROM held, ended, unnest(\(types)::text[], \(data)::text[]) WITH ORDINALITY AS e (type, data, ord)
            )
            UPDATE turnpike.conversations c
            SET head = \(head)::bigint, running = NULL, last_event = c.last_event + \(types.count)::integer,
                active_at = now()\(unescaped: outcome.state == "completed" ? Self.ownerStamp : ""),
                turn_ms = CASE WHEN \(settlement.outcome.state == .completed)::boolean
                    THEN (3 * coalesce(c.turn_ms, ended.took) + ended.took) / 4 ELSE c.turn_ms END
            FROM held, ended WHERE c.id = held.id
            RETURNING c.last_event, \(unescaped: SQLTime.text("now()")) AS at
            """
    }

    /// Puts a running turn back into the queue for another run: marker discharged, turn running → queued, an event
    /// that says why; all or nothing. `spendsAttempt` is false where no worker has got it.
    package func requeue(
        turn: TurnID,
        fence: Fence,
        events: [TurnEvent],
        code: FailureCode,
        message: String,
        spendsAttempt: Bool = true
    ) async throws -> Fenced<Int64> {
        let all = events + [.retried(code, message: message)]
        try await Self.reach(.requeueBefore)
        let rows = try await self.pool.query(
            Self.requeuing(turn: turn, fence: fence, events: all, spendsAttempt: spendsAttempt)
        )
        try await Self.reach(.requeueCommitted)
        guard let row = rows.first else { return .fenced }
        return .done(try row.get("last_event"))
    }

    /// The same as a statement.
    static func requeuing(
        turn: TurnID,
        fence: Fence,
        events: [TurnEvent],
        spendsAttempt: Bool = true
    ) throws -> Query {
        let types = events.map(\.type)
        let data = try events.map { try StoredJSON.text($0.data) }
        return """
            WITH held AS (
                SELECT id, last_event FROM turnpike.conversations
                WHERE id = \(fence.conversation.value)::bigint AND epoch = \(fence.epoch)::bigint
                    AND owner_nonce = \(fence.nonce.text)::uuid AND running = \(turn.text)::uuid
                FOR UPDATE
            ), discharged AS (
                DELETE FROM turnpike.markers m USING held
                WHERE m.turn = \(turn.text)::uuid AND m.epoch = \(fence.epoch)::bigint
                RETURNING m.turn
            ), back AS (
                UPDATE turnpike.turns t
                SET state = 'queued', started_at = NULL, attempt = t.attempt - \(spendsAttempt ? 0 : 1)::integer
                FROM discharged d WHERE t.turn = d.turn
                RETURNING t.turn
            ), logged AS (
                INSERT INTO turnpike.events (conversation_id, seq, turn, type, data)
                SELECT held.id, held.last_event + e.ord, back.turn, e.type, e.data::json
                FROM held, back, unnest(\(types)::text[], \(data)::text[]) WITH ORDINALITY AS e (type, data, ord)
            )
            UPDATE turnpike.conversations c
            SET running = NULL, queued = c.queued + 1, last_event = c.last_event + \(events.count)::integer
            FROM held, back WHERE c.id = held.id
            RETURNING c.last_event
            """
    }

    /// Whether the turn's outcome was written under this fence: resolves a commit whose answer was lost.
    package func isSettled(_ turn: TurnID, by fence: Fence) async throws -> Bool {
        try await !self.pool.query(
            """
            SELECT FROM turnpike.outcomes WHERE turn = \(turn.text)::uuid AND epoch = \(fence.epoch)::bigint
                AND owner_nonce = \(fence.nonce.text)::uuid
            """
        ).isEmpty
    }
}

/// An outcome as the columns of its table.
struct OutcomeColumns {
    let state: String
    var code: String?
    var message: String?
    let reply: String
    var stopReason: String?
    var usage: JSONValue?

    init(_ outcome: Outcome) {
        self.state = outcome.state.rawValue
        switch outcome {
        case .completed(let reply):
            self.reply = reply.text
            self.stopReason = reply.stopReason
            self.usage = reply.usage
        case .failed(let code, let message, let partial):
            self.code = code.rawValue
            self.message = message
            self.reply = partial
        case .cancelled(let partial):
            self.reply = partial
        }
    }
}
