import Crypto
package import Domain
import Postgres

/// Where a question stands, for the worker that waits.
package struct ApprovalStanding: Sendable, Hashable {
    /// The stored question: the asked one, or the same one of an earlier run of the turn.
    package let id: ApprovalID
    /// Where it stands.
    package let state: ApprovalState
    /// The chosen option's id, when decided.
    package let decision: String?

    package init(id: ApprovalID, state: ApprovalState, decision: String?) {
        self.id = id
        self.state = state
        self.decision = decision
    }
}

// The holder's side of a question: asking, looking, and giving up on time.
extension Store {
    /// Stores a running turn's question and its event in one transaction, and moves the progress deadline: the turn waits
    /// for people now. Where a standing rule decides, the question is stored with that decision. Nil within when neither
    /// a rule nor `policy` wants people to be asked: then nothing is stored.
    ///
    /// A question that an earlier run of the turn has asked in the same words is taken over instead, with the decision
    /// that it may have by now, once: the worker died, whoever decided should not be asked again. Asking again with the
    /// same identity finds what the first try stored or took over.
    package func askApproval(
        _ question: ApprovalQuestion,
        turn: TurnID,
        org: OrganizationID,
        agent: AgentID,
        policy: PermissionPolicy,
        fence: Fence,
        progressSeconds: Int
    ) async throws -> Fenced<ApprovalStanding?> {
        try await self.pool.withTransaction { connection in
            // Statements of their own take the locks, so that the last one sees everything that was written before it.
            let results = try await connection.pipeline([
                Self.holdRules(org: org, agent: agent.text, toChange: false),
                Self.rules(org: org, agent: agent),
                "SELECT FROM turnpike.conversations WHERE id = \(fence.conversation.value)::bigint FOR UPDATE",
            ])
            let ruled = try Self.decision(question, by: results[1])
            guard policy == .ask || ruled != nil else { return .done(nil) }
            let rows = try await connection.query(
                try Self.ask(question, ruled, turn: turn, org: org, fence: fence, progressSeconds: progressSeconds)
            )
            guard let row = rows.first else { return .fenced }
            return .done(try Self.standing(row))
        }
    }

    private static func ask(
        _ question: ApprovalQuestion,
        _ ruled: RuledApproval?,
        turn: TurnID,
        org: OrganizationID,
        fence: Fence,
        progressSeconds: Int
    ) throws -> Query {
        let asked = try AskedApproval(question, ruled)
        let isOpen = asked.decision == nil
        return """
            WITH held AS (
                SELECT c.id, t.attempt FROM turnpike.conversations c JOIN turnpike.turns t ON t.turn = c.running
                WHERE c.id = \(fence.conversation.value)::bigint AND c.epoch = \(fence.epoch)::bigint
                    AND c.owner_nonce = \(fence.nonce.text)::uuid AND c.running = \(turn.text)::uuid
            ), known AS (
                SELECT a.approval FROM turnpike.approvals a, held
                WHERE a.turn = \(turn.text)::uuid AND (coalesce(a.asked_as, a.approval) = \(question.id.text)::uuid
                    OR \(isOpen)::boolean AND a.arguments_hash = \(asked.hash)::bytea AND a.attempt < held.attempt AND (
                        a.state = 'decided' OR a.state = 'pending' AND a.expires_at > clock_timestamp()))
                ORDER BY coalesce(a.asked_as, a.approval) = \(question.id.text)::uuid DESC, a.asked_at LIMIT 1
            ), taken AS (
                UPDATE turnpike.approvals a SET attempt = held.attempt, asked_as = \(question.id.text)::uuid
                FROM known, held WHERE a.approval = known.approval
                RETURNING a.approval, a.turn, a.state, a.decision, a.expires_at
            ), asked AS (
                INSERT INTO turnpike.approvals
                    (approval, org, conversation_id, turn, attempt, tool, arguments, arguments_hash, options,
                     expires_at, state, decision, rule, decided_at)
                SELECT \(question.id.text)::uuid, \(org.text)::text, held.id, \(turn.text)::uuid, held.attempt,
                    \(asked.tool)::json, \(asked.arguments)::json, \(asked.hash)::bytea, \(asked.options)::json,
                    now() + \(question.lifetimeSeconds)::integer * interval '1 second',
                    \(isOpen ? "pending" : "decided")::text, \(asked.decision)::text, \(asked.rule)::uuid,
                    CASE WHEN NOT \(isOpen)::boolean THEN now() END
                FROM held WHERE NOT EXISTS (SELECT FROM known)
                RETURNING approval, conversation_id, turn, state, decision, expires_at
            ), \(unescaped: ApprovalColumns.numbered("asked")), logged AS (
                INSERT INTO turnpike.events (conversation_id, seq, turn, type, data)
                SELECT moved.id, moved.last_event, asked.turn, \(asked.eventType)::text,
                    (\(asked.eventHead)::text || \(unescaped: ApprovalColumns.eventTail("asked")))::json
                FROM moved, asked
            ), alive AS (
                UPDATE turnpike.markers m
                SET progress_deadline = now() + \(progressSeconds)::integer * interval '1 second'
                FROM held WHERE m.turn = \(turn.text)::uuid
            )
            SELECT a.approval, a.decision, \(unescaped: ApprovalColumns.state) AS state FROM (
                SELECT approval, turn, state, decision, expires_at FROM taken
                UNION ALL SELECT approval, turn, state, decision, expires_at FROM asked
            ) a JOIN turnpike.turns t ON t.turn = a.turn
            """
    }

    /// Where a question stands now; nil when it is gone with its conversation. For the replica whose worker waits.
    package func approvalStanding(_ id: ApprovalID) async throws -> ApprovalStanding? {
        try await self.pool.query(
            """
            SELECT a.approval, a.decision, \(unescaped: ApprovalColumns.state) AS state
            FROM turnpike.approvals a JOIN turnpike.turns t ON t.turn = a.turn
            WHERE a.approval = \(id.text)::uuid
            """
        ).first.map(Self.standing)
    }

    /// Says in the conversation's log that a question's time is over. Returns where the question stands afterwards:
    /// a decision that came first is not undone.
    package func expireApproval(_ id: ApprovalID) async throws -> ApprovalStanding? {
        let resolution = ApprovalResolution(id: id, state: .expired, decision: nil)
        _ = try await self.pool.pipeline([
            ApprovalColumns.lock(id),
            """
            WITH expired AS (
                UPDATE turnpike.approvals a SET state = 'expired', decided_at = now()
                FROM turnpike.turns t
                WHERE a.approval = \(id.text)::uuid AND t.turn = a.turn
                    AND a.state = 'pending' AND \(unescaped: ApprovalColumns.state) = 'expired'
                RETURNING a.conversation_id, a.turn
            ), \(unescaped: ApprovalColumns.numbered("expired")), logged AS (
                INSERT INTO turnpike.events (conversation_id, seq, turn, type, data)
                SELECT moved.id, moved.last_event, expired.turn, 'approval.resolved',
                    \(try StoredJSON.text(resolution.json))::json
                FROM moved, expired
            )
            SELECT FROM expired
            """,
        ])
        return try await self.approvalStanding(id)
    }

    private static func standing(_ row: Row) throws -> ApprovalStanding {
        ApprovalStanding(
            id: try row.id("approval"),
            state: try ApprovalColumns.state(row),
            decision: try row.get("decision")
        )
    }
}

/// A question as it is stored and logged, with what a rule has decided.
struct AskedApproval {
    let hash: [UInt8]
    let tool: String
    let arguments: String?
    let options: String
    let decision: String?
    let rule: String?
    let eventType: String
    /// The event's object without its closing brace, which `ApprovalColumns.eventTail` adds: joined as text, since jsonb
    /// could not hold every string that JSON can.
    let eventHead: String

    init(_ question: ApprovalQuestion, _ ruled: RuledApproval?) throws {
        self.hash = try ApprovalColumns.hash(question)
        self.tool = try StoredJSON.text(question.tool)
        self.arguments = try question.arguments.map { try StoredJSON.text($0) }
        self.options = try StoredJSON.text(question.options)
        let event: TurnEvent
        switch ruled {
        case .decided(let option, let rule):
            (self.decision, self.rule) = (option, rule?.text)
            // The log never showed it as an open one, so that no client puts it to people.
            event = .approvalResolved(
                ApprovalResolution(id: question.id, state: .decided, decision: option, rule: rule, question: question)
            )
        case .people, nil:
            (self.decision, self.rule) = (nil, nil)
            event = .approvalRequested(question)
        }
        self.eventType = event.type
        self.eventHead = String(try StoredJSON.text(event.data).dropLast())
    }
}

/// What statements about questions share.
enum ApprovalColumns {
    /// What makes two questions of one agent the same.
    static func hash(_ question: ApprovalQuestion) throws -> [UInt8] {
        Digest.sha256(Array(try StoredJSON.text(question.subject).utf8))
    }

    /// The end of the event's object of a question in `source`: when it expires, while it is open.
    static func eventTail(_ source: String) -> String {
        """
        CASE WHEN \(source).state = 'pending'
            THEN ',"expires_at":"' || \(SQLTime.text("\(source).expires_at")) || '"}' ELSE '}' END
        """
    }

    /// Where the question `a` of the turn `t` stands. A turn's end withdraws what is still open, whoever ended it.
    static let state = """
        CASE WHEN a.state <> 'pending' THEN a.state
            WHEN t.ended_at IS NOT NULL OR t.cancel_requested_at IS NOT NULL THEN 'withdrawn'
            WHEN a.expires_at <= clock_timestamp() THEN 'expired' ELSE 'pending' END
        """

    static func state(_ row: Row) throws -> ApprovalState {
        guard let state = ApprovalState(rawValue: try row.get("state")) else {
            throw PostgresError(.decoding, "unknown approval state")
        }
        return state
    }

    /// Locks the question's conversation: who writes to its log does it under this lock.
    /// With `org` only if it is one of that organization's.
    static func lock(_ id: ApprovalID, org: OrganizationID? = nil) -> Query {
        """
        SELECT FROM turnpike.conversations
        WHERE id = (SELECT conversation_id FROM turnpike.approvals
            WHERE approval = \(id.text)::uuid AND org = coalesce(\(org?.text)::text, org)) FOR UPDATE
        """
    }

    /// Takes the number of the event for the row of `source`.
    static func numbered(_ source: String) -> String {
        """
        moved AS (
            UPDATE turnpike.conversations c SET last_event = c.last_event + 1
            FROM \(source) WHERE c.id = \(source).conversation_id
            RETURNING c.id, c.last_event
        )
        """
    }

    /// Numbers and logs one event of `type` for each row of `source`, which has `approval`, `conversation_id`, `turn` and
    /// the event's `data`; several may be of one conversation.
    static func logged(_ source: String, type: String) -> String {
        """
        placed AS (
            SELECT s.approval, s.conversation_id, s.turn, s.data,
                row_number() OVER (PARTITION BY s.conversation_id ORDER BY s.approval) AS place,
                count(*) OVER (PARTITION BY s.conversation_id) AS number
            FROM \(source) s
        ), moved AS (
            UPDATE turnpike.conversations c SET last_event = c.last_event + p.number
            FROM (SELECT DISTINCT conversation_id, number FROM placed) p WHERE c.id = p.conversation_id
            RETURNING c.id, c.last_event, c.owner_replica
        ), logged AS (
            INSERT INTO turnpike.events (conversation_id, seq, turn, type, data)
            SELECT p.conversation_id, m.last_event - p.number + p.place, p.turn, '\(type)', p.data::json
            FROM placed p JOIN moved m ON m.id = p.conversation_id
        )
        """
    }
}
