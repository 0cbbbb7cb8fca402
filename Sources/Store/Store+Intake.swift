package import Domain
import Faults
import Postgres
import Runtime

/// A turn on its way into the queue.
package struct TurnSubmission: Sendable {
    /// Its identity.
    package var id: TurnID
    /// The organization it belongs to.
    package var org: OrganizationID?
    /// The agent that serves it.
    package var agent: AgentID
    /// The conversation's name; nil where it has none.
    package var conversation: ConversationID?
    /// Present when the turn may write the shared snapshot.
    package var run: RunID?
    /// The client's own key for the turn.
    package var clientKey: String?
    /// SHA-256 of what the client asked for; compared when a client key comes again.
    package var bodyHash: [UInt8]?
    /// What the user sent.
    package var input: TurnInput
    /// Seconds the turn may take; nil for the agent's limit.
    package var deadlineSeconds: Int?
    /// What the client attached, kept as it is.
    package var metadata: JSONValue?
    /// Turns that may wait in the conversation.
    package var queueLimit: Int
    /// What to do when others are ahead.
    package var onBusy: BusyPolicy
    /// The token that it was submitted with.
    package var submitter: TokenID?
    /// What a dialect has to know of the turn again.
    package var note: DialectNote?

    package init(
        id: TurnID,
        org: OrganizationID?,
        agent: AgentID,
        conversation: ConversationID?,
        run: RunID?,
        input: TurnInput,
        queueLimit: Int
    ) {
        self.id = id
        self.org = org
        self.agent = agent
        self.conversation = conversation
        self.run = run
        self.input = input
        self.queueLimit = queueLimit
        self.onBusy = .enqueue
    }
}

/// What became of a submission.
package struct Intake: Sendable {
    /// The verdict of `turnpike.enqueue_turn`.
    package enum Verdict: String, Sendable, Hashable {
        case accepted, repeated, conflict, deleted, full, busy, quota
    }

    /// What became of the submission.
    package let verdict: Verdict
    /// Present when accepted, repeated or in conflict.
    package let turn: TurnID?
    /// The row by which the database knows the conversation.
    package let number: ConversationNumber
    /// Its number, counted from 1 within the conversation.
    package let seq: Int64
    /// Where it stands.
    package let state: TurnState?
    /// Turns before this one without an outcome.
    package let ahead: Int
    /// How long the turn may have to wait; nil when that cannot be told.
    package let wait: Duration?
    /// The cap that is reached and where it is, with the verdict `quota`.
    package let refusal: (cap: QuotaCap, limit: Int)?
    /// The running turn whose worker is to be told that this one interrupts it.
    package let interrupted: TurnID?
    /// Who owns the conversation now, so who should be told.
    package let owner: ReplicaID?
    /// The turn that was handed over in the same transaction; the oldest of the queue, so not always the new one.
    package let armed: ArmedTurn?
    /// The number of the turn's first event; 0 unless accepted.
    package let firstEvent: Int64
    /// What was written to the log: the turn's first event, and that the armed one has started. Empty when there was more.
    package let events: [EventRecord]
}

/// Where a turn can be handed over at once: a worker of this replica that holds the conversation and is idle.
package struct HandOver: Sendable, Hashable {
    /// What every write of the holder carries.
    package let fence: Fence
    /// The placement of the worker.
    package let deployment: DeploymentID
    /// The replica that holds the conversation.
    package let replica: ReplicaID
    /// Seconds the turn may take in all.
    package let turnSeconds: Int
    /// Seconds without a sign of life that the turn may take.
    package let progressSeconds: Int

    package init(
        fence: Fence,
        deployment: DeploymentID,
        replica: ReplicaID,
        turnSeconds: Int,
        progressSeconds: Int
    ) {
        self.fence = fence
        self.deployment = deployment
        self.replica = replica
        self.turnSeconds = turnSeconds
        self.progressSeconds = progressSeconds
    }
}

extension Store {
    /// Accepts a turn durably, and hands it (or the turn before it) over when there is somebody to hand it to: one
    /// transaction, one round trip. Idempotent by client key.
    ///
    /// A commit whose answer was lost is found out about: the same submission is sent again, and of two with one identity
    /// the database takes one. Then nobody is named as handed over. Throws an error whose outcome is unknown only when the
    /// database stays away.
    package func accept(_ submission: TurnSubmission, handOver: HandOver? = nil) async throws -> Intake {
        #if FAULT_POINTS
            if PlantedBug.acknowledgedEarly.isPlanted { return self.acceptLater(submission) }
        #endif
        do {
            return try await self.acceptOnce(submission, handOver: handOver)
        } catch let error as PostgresError where error.isUniqueViolation(of: "turns_client_key") {
            // Somebody else used the same key at the same moment; now it is there to be found.
            return try await self.acceptOnce(submission, handOver: handOver)
        } catch let error as PostgresError where error.isOutcomeUnknown {
            return try await self.acceptInDoubt(submission, because: error)
        }
    }

    private func acceptInDoubt(_ submission: TurnSubmission, because doubt: PostgresError) async throws -> Intake {
        let backoff = Backoff(first: .milliseconds(50), longest: .seconds(1))
        let deadline = ContinuousClock.now + .seconds(10)
        var attempt = 0
        while ContinuousClock.now < deadline {
            do {
                if let intake = try await self.acceptAgain(submission) { return intake }
                if let intake = try await self.accepted(submission) { return intake }
                // Its conversation was deleted since.
                break
            } catch let error as PostgresError where error.isOutcomeUnknown || error.isWorthRepeating {
                try await Task.sleep(for: backoff.delay(attempt: attempt))
                attempt += 1
            }
        }
        throw doubt
    }

    /// What becomes of a submission that is sent again; nil when it had been committed before.
    private func acceptAgain(_ submission: TurnSubmission) async throws -> Intake? {
        do {
            let intake = try await self.acceptOnce(submission, handOver: nil)
            return intake.verdict == .repeated && intake.turn == submission.id ? nil : intake
        } catch let error as PostgresError where error.isUniqueViolation(of: "turns_pkey") {
            return nil
        }
    }

    /// A submission that was committed before, as if its answer came now.
    ///
    /// What can be read may be on no standby yet, and gone after a failover. A commit of its own, for which the server waits
    /// as it does for every other, shows that the standby has all that came before.
    private func accepted(_ submission: TurnSubmission) async throws -> Intake? {
        let statement: Query = """
            SELECT t.conversation_id, t.seq, t.state, t.first_event, c.owner_replica,
                (SELECT count(*)::integer FROM turnpike.turns o
                 WHERE o.conversation_id = t.conversation_id AND o.state IN ('queued', 'running') AND o.seq < t.seq) AS ahead
            FROM turnpike.turns t JOIN turnpike.conversations c ON c.id = t.conversation_id
            WHERE t.turn = \(submission.id.text)::uuid
            """
        let commit: Query = "SELECT pg_logical_emit_message(true, 'turnpike', '')"
        guard let row = try await self.pipeline([statement, commit], of: submission.org)[0].first else { return nil }
        return Intake(
            verdict: .accepted,
            turn: submission.id,
            number: ConversationNumber(try row.get("conversation_id")),
            seq: try row.get("seq"),
            state: TurnState(rawValue: try row.get("state")),
            ahead: try row.get("ahead"),
            wait: nil,
            refusal: nil,
            interrupted: nil,
            owner: try row.optionalID("owner_replica"),
            armed: nil,
            firstEvent: try row.get("first_event"),
            events: []
        )
    }

    func acceptOnce(_ submission: TurnSubmission, handOver: HandOver?) async throws -> Intake {
        var statements = [try Self.enqueue(submission)]
        if let note = submission.note { statements.append(try Self.write(note, of: submission)) }
        let interruption = submission.onBusy == .interrupt ? statements.count : nil
        if interruption != nil { statements.append(Self.interrupt(aheadOf: submission.id)) }
        if let handOver { statements.append(Self.arm(handOver)) }
        try await Self.reach(.acceptBefore)
        let results = try await self.pipeline(statements, of: submission.org)
        try await Self.reach(.acceptCommitted)
        guard let row = results[0].first, let verdict = Intake.Verdict(rawValue: try row.get("verdict")) else {
            throw PostgresError(.decoding, "enqueue_turn gave no known verdict")
        }
        let armed = handOver == nil ? nil : results.last?.first
        let interrupted = try interruption.flatMap { results[$0].first }.map(Interruption.init)
        var events = verdict == .accepted ? [try Self.queuedEvent(row)] : []
        if let armed { events.append(try Self.startedEvent(armed)) }
        if let interrupted, interrupted.ended > 0 { events = [] }
        let ahead = try interrupted?.ahead ?? row.get("ahead", as: Int.self)
        return Intake(
            verdict: verdict,
            turn: try row.optionalID("turn"),
            number: ConversationNumber(try row.get("conversation_id")),
            seq: try row.get("seq"),
            state: try row.get("state", as: String?.self).flatMap(TurnState.init(rawValue:)),
            ahead: ahead,
            wait: WaitEstimate.wait(
                ahead: ahead,
                typical: try row.optionalMilliseconds("turn_ms"),
                elapsed: try row.optionalMilliseconds("elapsed_ms")
            ),
            refusal: try Self.refusal(row),
            interrupted: interrupted?.running,
            owner: try row.optionalID("owner_replica"),
            armed: try armed.map(Self.armedTurn),
            firstEvent: try row.get("first_event"),
            events: events
        )
    }

    /// What an organization's client asks for runs behind its wall; a turn without an organization has none.
    private func pipeline(_ statements: [Query], of org: OrganizationID?) async throws -> [[Row]] {
        guard let org else { return try await self.pool.pipeline(statements) }
        return try await WalledPool(org: org, pool: self.pool).pipeline(statements)
    }

    private static func refusal(_ row: Row) throws -> (cap: QuotaCap, limit: Int)? {
        guard let cap = try row.get("refused_by", as: String?.self).flatMap(QuotaCap.init(rawValue:)) else {
            return nil
        }
        return (cap, try row.get("refused_at"))
    }

    /// The event that `turnpike.enqueue_turn` wrote, in its very words.
    private static func queuedEvent(_ row: Row) throws -> EventRecord {
        EventRecord(
            seq: try row.get("first_event"),
            turn: try row.id("turn"),
            type: TurnEvent.queued.type,
            data: #"{"position":\#(try row.get("ahead", as: Int.self))}"#,
            at: try row.get("at")
        )
    }

    private static func enqueue(_ submission: TurnSubmission) throws -> Query {
        let input = try StoredJSON.text(submission.input.parts)
        let metadata = try submission.metadata.map { try StoredJSON.text($0) }
        return """
            SELECT *, \(unescaped: SQLTime.text("now()")) AS at FROM turnpike.enqueue_turn(
                p_agent => \(submission.agent.text)::text,
                p_input => \(input)::jsonb,
                p_org => \(submission.org?.text)::text,
                p_conversation => \(submission.conversation?.text)::text,
                p_run => \(submission.run?.text)::uuid,
                p_client_key => \(submission.clientKey)::text,
                p_body_hash => \(submission.bodyHash)::bytea,
                p_deadline_seconds => \(submission.deadlineSeconds)::integer,
                p_metadata => \(metadata)::jsonb,
                p_turn => \(submission.id.text)::uuid,
                p_queue_limit => \(submission.queueLimit)::integer,
                p_reject_if_busy => \(submission.onBusy == .reject)::boolean,
                p_submitter => \(submission.submitter?.text)::uuid)
            """
    }
}
