package import Domain
import Faults
import Postgres

/// How the attempt to park a turn ended, under a fence that was the conversation's.
package enum Parked: Sendable, Hashable {
    /// It waits for people.
    case waits
    /// Rules or the agent's policy have decided all of it: it can go on.
    case goesOn
    /// They have so often in a row that it would go on for ever: nothing was written, and it is to be settled.
    case endless
    /// Its client has cancelled it: nothing was written, and it is to be settled.
    case cancelled
}

// A parked turn waits in its queue, first, and `conversations.parked` keeps everybody from claiming the conversation. It
// is owed its outcome all the same: whoever decides its last open question, or the sweep that finds it expired, clears
// `parked` and makes the conversation ready, each under the row's lock.
extension Store {
    /// Parks a running turn: marker discharged, continuation, calls, questions and events written, turn back at the head of
    /// its queue; all or nothing. `questions` are those of `parking.calls`, in order. A turn goes on without anybody having
    /// been asked at most `rounds` times in a row.
    package func park(
        _ parking: Parking,
        questions: [ApprovalQuestion],
        turn: TurnID,
        org: OrganizationID,
        agent: AgentID,
        policy: PermissionPolicy,
        fence: Fence,
        events: [TurnEvent],
        rounds: Int = Limits().parkedRounds
    ) async throws -> Fenced<Parked> {
        try await Self.reach(.parkBefore)
        let parked = try await self.pool.withTransaction { connection -> Fenced<Parked> in
            let results = try await connection.pipeline([
                Self.holdRules(org: org, agent: agent.text, toChange: false),
                Self.rules(org: org, agent: agent),
                """
                SELECT t.cancel_requested_at IS NOT NULL AS cancelled,
                    coalesce((SELECT p.rounds FROM turnpike.parks p WHERE p.turn = t.turn), 0) AS rounds
                FROM turnpike.conversations c JOIN turnpike.turns t ON t.turn = c.running
                WHERE c.id = \(fence.conversation.value)::bigint AND c.epoch = \(fence.epoch)::bigint
                    AND c.owner_nonce = \(fence.nonce.text)::uuid AND c.running = \(turn.text)::uuid
                FOR UPDATE OF c
                """,
            ])
            try await Self.reach(.parkOpen)
            guard let row = results[2].first else { return .fenced }
            if try row.get("cancelled") { return .done(.cancelled) }
            let asked = try questions.map { question in
                try AskedApproval(question, try Self.decision(question, by: results[1]) ?? policy.ruled(question))
            }
            let order = try ParkOrder(parking, questions, asked, turn: turn, org: org, fence: fence, events: events)
            let before: Int = try row.get("rounds")
            if !order.isOpen, before >= rounds { return .done(.endless) }
            guard try await !connection.query(order.statement).isEmpty else { return .fenced }
            return .done(order.isOpen ? .waits : .goesOn)
        }
        try await Self.reach(.parkCommitted)
        return parked
    }

    /// Whether this term has parked the turn: resolves a commit whose answer was lost.
    package func isParked(_ turn: TurnID, by fence: Fence) async throws -> Bool {
        try await !self.pool.query(
            """
            SELECT FROM turnpike.parks p JOIN turnpike.conversations c ON c.id = p.conversation_id
            WHERE p.turn = \(turn.text)::uuid AND c.epoch = \(fence.epoch)::bigint
                AND c.owner_nonce = \(fence.nonce.text)::uuid AND c.running IS NULL
            """
        ).isEmpty
    }

    /// What a run goes on with. A call that an earlier term had begun and not ended is unknown from now on, or, where a
    /// second call does no harm, pending again; the log says so.
    package func resumption(_ turn: TurnID, fence: Fence) async throws -> Fenced<Resumption> {
        let results = try await self.pool.pipeline([
            "SELECT FROM turnpike.conversations WHERE id = \(fence.conversation.value)::bigint FOR UPDATE",
            """
            WITH held AS (
                SELECT c.id FROM turnpike.conversations c
                WHERE c.id = \(fence.conversation.value)::bigint AND c.epoch = \(fence.epoch)::bigint
                    AND c.owner_nonce = \(fence.nonce.text)::uuid AND c.running = \(turn.text)::uuid
            ), lost AS (
                UPDATE turnpike.calls k
                SET state = CASE WHEN k.idempotent THEN 'pending' ELSE 'unknown' END,
                    epoch = CASE WHEN k.idempotent THEN NULL ELSE k.epoch END
                FROM held
                WHERE k.turn = \(turn.text)::uuid AND k.state = 'started' AND k.epoch < \(fence.epoch)::bigint
                RETURNING k.approval, held.id AS conversation_id, k.turn, json_build_object(
                    'approval', k.approval, 'call', k.call, 'state', k.state)::text AS data
            ), \(unescaped: ApprovalColumns.logged("lost", type: "call"))
            SELECT FROM placed
            """,
            """
            SELECT p.continuation, p.said FROM turnpike.parks p JOIN turnpike.conversations c ON c.running = p.turn
            WHERE p.turn = \(turn.text)::uuid AND c.epoch = \(fence.epoch)::bigint
                AND c.owner_nonce = \(fence.nonce.text)::uuid
            """,
            ParkStatements.calls(turn),
        ])
        guard let row = results[2].first else { return .fenced }
        return .done(
            Resumption(
                continuation: try row.get("continuation"),
                said: try row.get("said"),
                calls: try results[3].map(ParkStatements.call)
            )
        )
    }

    /// Begins a call ahead of its effect, or refuses to: it must be allowed, and no other term may have begun it. Granted
    /// again to the term that has begun it; a worker that asks twice is its run's to refuse.
    package func startCall(
        _ call: String,
        arguments: JSONValue?,
        turn: TurnID,
        fence: Fence
    ) async throws -> CallVerdict {
        try await self.advance(call, to: .started, result: nil, turn: turn, fence: fence) { found, isCancelled in
            guard !isCancelled else { return .refused("cancelled") }
            // What was decided on is what is done.
            guard arguments == nil || arguments == found.arguments else { return .refused("changed arguments") }
            guard found.isAllowed else {
                return .refused(found.verdict == .decided ? "denied" : found.verdict.rawValue)
            }
            let isOwn = found.state == .started && found.epoch == fence.epoch
            return found.state == .pending || isOwn ? .granted : .refused(found.state.rawValue)
        }
    }

    /// Ends a call that this term has begun.
    package func endCall(_ call: String, result: JSONValue?, turn: TurnID, fence: Fence) async throws -> CallVerdict {
        try await self.advance(call, to: .done, result: result, turn: turn, fence: fence) { found, _ in
            let isOwn = (found.state == .started || found.state == .done) && found.epoch == fence.epoch
            return isOwn ? .granted : .refused(found.state.rawValue)
        }
    }

    /// Moves a call on where `judge` grants it, under the conversation's lock, and logs that.
    private func advance(
        _ call: String,
        to state: CallState,
        result: JSONValue?,
        turn: TurnID,
        fence: Fence,
        judge: @Sendable (CallRecord, Bool) -> CallVerdict
    ) async throws -> CallVerdict {
        let result = try result.map { try StoredJSON.text($0) }
        return try await self.pool.withTransaction { connection in
            let results = try await connection.pipeline([
                """
                SELECT t.cancel_requested_at IS NOT NULL AS cancelled
                FROM turnpike.conversations c JOIN turnpike.turns t ON t.turn = c.running
                WHERE c.id = \(fence.conversation.value)::bigint AND c.epoch = \(fence.epoch)::bigint
                    AND c.owner_nonce = \(fence.nonce.text)::uuid AND c.running = \(turn.text)::uuid
                FOR UPDATE OF c
                """,
                ParkStatements.calls(turn, named: call),
            ])
            guard let held = results[0].first else { return .fenced }
            guard let found = try results[1].first.map(ParkStatements.call) else { return .refused("unknown call") }
            let verdict = judge(found, try held.get("cancelled"))
            guard verdict == .granted, found.state != state else { return verdict }
            let event = TurnEvent.call(found.approval, call, state)
            try await connection.query(
                """
                WITH written AS (
                    UPDATE turnpike.calls k
                    SET state = \(state.rawValue)::text, epoch = \(fence.epoch)::bigint, result = \(result)::json
                    WHERE k.turn = \(turn.text)::uuid AND k.call = \(call)::text
                    RETURNING k.approval, \(fence.conversation.value)::bigint AS conversation_id, k.turn,
                        \(try StoredJSON.text(event.data))::text AS data
                ), \(unescaped: ApprovalColumns.logged("written", type: "call"))
                SELECT FROM placed
                """
            )
            return .granted
        }
    }

    /// Expires the overdue questions of parked turns, sends those turns back to their queues that wait for nothing any more,
    /// and forgets what ended turns had left; at most `limit` conversations at a time. Any replica may do this at any time.
    /// Returns the conversations whose logs have something new, or that are ready.
    package func sweepParked(limit: Int) async throws -> Set<ConversationNumber> {
        let results = try await self.pool.pipeline([
            """
            WITH held AS (
                SELECT c.id, c.parked FROM turnpike.conversations c
                WHERE c.parked IS NOT NULL AND EXISTS (
                    SELECT FROM turnpike.approvals a
                    WHERE a.turn = c.parked AND a.state = 'pending' AND a.expires_at <= now())
                LIMIT \(limit)::integer FOR UPDATE SKIP LOCKED
            ), expired AS (
                UPDATE turnpike.approvals a SET state = 'expired', decided_at = now()
                FROM held WHERE a.turn = held.parked AND a.state = 'pending' AND a.expires_at <= now()
                RETURNING a.approval, a.conversation_id, a.turn,
                    json_build_object('approval', a.approval, 'state', 'expired')::text AS data
            ), \(unescaped: ApprovalColumns.logged("expired", type: "approval.resolved"))
            SELECT DISTINCT conversation_id AS id FROM placed
            """,
            ParkStatements.wake(after: nil, limit: limit),
            """
            DELETE FROM turnpike.parks WHERE turn IN (
                SELECT p.turn FROM turnpike.parks p JOIN turnpike.turns t ON t.turn = p.turn
                WHERE t.ended_at IS NOT NULL LIMIT \(limit)::integer)
            """,
        ])
        return Set(try (results[0] + results[1]).map { ConversationNumber(try $0.get("id")) })
    }
}

extension PermissionPolicy {
    /// What an agent's policy makes of a call that no rule fits; nil: people decide.
    fileprivate func ruled(_ question: ApprovalQuestion) -> RuledApproval? {
        let wish: ApprovalWish
        switch self {
        case .ask: return nil
        case .allow: wish = .allow
        case .deny: wish = .deny
        }
        let option = wish.choice(of: question.options) ?? ApprovalWish.deny.choice(of: question.options)
        return option.map { .decided(option: $0, rule: nil) }
    }
}

/// A parking as it is written.
private struct ParkOrder {
    let parking: Parking
    let questions: [ApprovalQuestion]
    let asked: [AskedApproval]
    let turn: TurnID
    let org: OrganizationID
    let fence: Fence
    /// Whether people have to decide something.
    let isOpen: Bool
    /// The events' types, their objects without the closing braces, and for questions their place in `asked` from 1.
    private let types: [String]
    private let heads: [String]
    private let places: [Int]

    init(
        _ parking: Parking,
        _ questions: [ApprovalQuestion],
        _ asked: [AskedApproval],
        turn: TurnID,
        org: OrganizationID,
        fence: Fence,
        events: [TurnEvent]
    ) throws {
        (self.parking, self.questions, self.asked) = (parking, questions, asked)
        (self.turn, self.org, self.fence) = (turn, org, fence)
        let open = zip(questions, asked).filter { $0.1.decision == nil }.map(\.0.id)
        let last = TurnEvent.parked(open)
        let head = { (event: TurnEvent) in String(try StoredJSON.text(event.data).dropLast()) }
        self.isOpen = !open.isEmpty
        self.types = events.map(\.type) + asked.map(\.eventType) + [last.type]
        self.heads = try events.map(head) + asked.map(\.eventHead) + [head(last)]
        self.places = events.map { _ in 0 } + asked.indices.map { $0 + 1 } + [0]
    }

    var statement: Query {
        """
        WITH held AS (
            SELECT c.id, c.last_event, t.started_at FROM turnpike.conversations c JOIN turnpike.turns t ON t.turn = c.running
            WHERE c.id = \(self.fence.conversation.value)::bigint AND c.epoch = \(self.fence.epoch)::bigint
                AND c.owner_nonce = \(self.fence.nonce.text)::uuid AND c.running = \(self.turn.text)::uuid
            FOR UPDATE OF c
        ), discharged AS (
            DELETE FROM turnpike.markers m USING held
            WHERE m.turn = \(self.turn.text)::uuid AND m.epoch = \(self.fence.epoch)::bigint
            RETURNING m.turn
        ), back AS (
            UPDATE turnpike.turns t
            SET state = 'queued', started_at = NULL, attempt = t.attempt - (NOT \(self.isOpen)::boolean)::integer
            FROM discharged d WHERE t.turn = d.turn
            RETURNING t.turn, t.attempt + (NOT \(self.isOpen)::boolean)::integer AS attempt
        ), kept AS (
            INSERT INTO turnpike.parks AS p (turn, conversation_id, continuation, said, rounds, ran)
            SELECT back.turn, held.id, \(self.parking.continuation)::bytea, \(self.parking.said)::text,
                (NOT \(self.isOpen)::boolean)::integer, clock_timestamp() - held.started_at
            FROM held, back
            ON CONFLICT (turn) DO UPDATE
            SET continuation = excluded.continuation, said = excluded.said, parked_at = now(), ran = p.ran + excluded.ran,
                rounds = CASE WHEN excluded.rounds = 0 THEN 0 ELSE p.rounds + 1 END
        ), given AS (
            SELECT * FROM unnest(\(self.questions.map(\.id.text))::uuid[], \(self.asked.map(\.tool))::text[],
                \(self.asked.map(\.arguments))::text[], \(self.asked.map(\.hash))::bytea[],
                \(self.asked.map(\.options))::text[], \(self.asked.map(\.decision))::text[],
                \(self.asked.map(\.rule))::text[], \(self.parking.calls.map(\.call))::text[],
                \(self.parking.calls.map(\.isIdempotent))::boolean[]) WITH ORDINALITY
                AS q (approval, tool, arguments, hash, options, decision, rule, call, idempotent, place)
        ), asked AS (
            INSERT INTO turnpike.approvals
                (approval, org, conversation_id, turn, attempt, tool, arguments, arguments_hash, options,
                 expires_at, state, decision, rule, decided_at)
            SELECT q.approval, \(self.org.text)::text, held.id, back.turn, back.attempt, q.tool::json, q.arguments::json,
                q.hash, q.options::json,
                now() + \(self.questions.first?.lifetimeSeconds ?? 1)::integer * interval '1 second',
                CASE WHEN q.decision IS NULL THEN 'pending' ELSE 'decided' END, q.decision, q.rule::uuid,
                CASE WHEN q.decision IS NOT NULL THEN now() END
            FROM held, back, given q
            RETURNING approval, state, expires_at
        ), noted AS (
            INSERT INTO turnpike.calls (turn, call, approval, idempotent)
            SELECT back.turn, q.call, q.approval, q.idempotent FROM back, given q
        ), logged AS (
            INSERT INTO turnpike.events (conversation_id, seq, turn, type, data)
            SELECT held.id, held.last_event + e.ord, back.turn, e.type, (e.head || CASE WHEN e.place > 0
                THEN \(unescaped: ApprovalColumns.eventTail("a")) ELSE '}' END)::json
            FROM held CROSS JOIN back CROSS JOIN unnest(\(self.types)::text[], \(self.heads)::text[],
                \(self.places)::integer[]) WITH ORDINALITY AS e (type, head, place, ord)
            LEFT JOIN given q ON q.place = e.place LEFT JOIN asked a ON a.approval = q.approval
        )
        UPDATE turnpike.conversations c
        SET running = NULL, queued = c.queued + 1, last_event = c.last_event + \(self.types.count)::integer,
            parked = CASE WHEN \(self.isOpen)::boolean THEN back.turn END
        FROM held, back WHERE c.id = held.id
        RETURNING c.last_event
        """
    }
}

/// What statements about parked turns share.
enum ParkStatements {
    /// How far the call `k` of the turn `t` got: one that was begun and whose turn is over will never be ended.
    static let callState = """
        CASE WHEN k.state = 'started' AND t.ended_at IS NOT NULL THEN 'unknown' ELSE k.state END
        """

    /// Sends parked turns that wait for nothing any more back to their queues; the run that goes on is no new attempt.
    /// With `questions` only the turns that these are of, and at most `limit` where there is one.
    static func wake(after questions: [ApprovalID]?, limit: Int? = nil) -> Query {
        """
        WITH held AS (
            SELECT c.id, c.parked FROM turnpike.conversations c
            WHERE c.parked IS NOT NULL
                AND (\(questions == nil)::boolean OR c.id IN (
                    SELECT a.conversation_id FROM turnpike.approvals a
                    WHERE a.approval = ANY (\((questions ?? []).map(\.text))::uuid[])))
                AND NOT EXISTS (
                    SELECT FROM turnpike.calls k JOIN turnpike.approvals a ON a.approval = k.approval
                    WHERE k.turn = c.parked AND a.state = 'pending')
            LIMIT \(limit)::integer FOR UPDATE SKIP LOCKED
        ), back AS (
            UPDATE turnpike.turns t SET attempt = t.attempt - 1 FROM held WHERE t.turn = held.parked
        )
        UPDATE turnpike.conversations c
        SET parked = NULL, ready_at = CASE WHEN c.owner_nonce IS NULL THEN now() END
        FROM held WHERE c.id = held.id
        RETURNING c.id
        """
    }

    /// The calls of a turn in the order in which they were asked for, or the one of this name.
    static func calls(_ turn: TurnID, named call: String? = nil) -> Query {
        """
        SELECT k.call, k.approval, k.state, k.epoch, k.result, a.arguments, a.decision, a.reason, a.options,
            \(unescaped: ApprovalColumns.state) AS verdict
        FROM turnpike.calls k JOIN turnpike.approvals a ON a.approval = k.approval
            JOIN turnpike.turns t ON t.turn = k.turn
        WHERE k.turn = \(turn.text)::uuid AND k.call = coalesce(\(call)::text, k.call)
        ORDER BY k.approval
        """
    }

    static func call(_ row: Row) throws -> CallRecord {
        guard let state = CallState(rawValue: try row.get("state")),
            let verdict = ApprovalState(rawValue: try row.get("verdict"))
        else { throw PostgresError(.decoding, "unknown state of a call") }
        return CallRecord(
            call: try row.get("call"),
            approval: try row.id("approval"),
            arguments: try row.get("arguments", as: String?.self).map { try StoredJSON.value($0) },
            state: state,
            epoch: try row.get("epoch"),
            result: try row.get("result", as: String?.self).map { try StoredJSON.value($0) },
            verdict: verdict,
            decision: try row.get("decision"),
            reason: try row.get("reason"),
            options: try StoredJSON.value(row.get("options"))
        )
    }
}
