package import Domain
import Postgres

/// What a remote worker asks for when it claims.
package struct RemoteDemand: Sendable, Hashable {
    /// Who asks.
    package let worker: RemoteWorker
    /// The worker's own name for this claim.
    package let key: String
    /// How long it may be silent.
    package let leaseSeconds: Int

    package init(worker: RemoteWorker, key: String, leaseSeconds: Int) {
        self.worker = worker
        self.key = key
        self.leaseSeconds = leaseSeconds
    }
}

/// What became of a batch of events, under a fence that was the conversation's.
package enum RemoteBatch: Sendable, Hashable {
    case written
    /// It, or a later one, had been written before.
    case repeated
    /// With it the run would have said more than it may; nothing was written.
    case tooMuch
}

// Terms that workers outside the gateway hold: begun, kept alive and ended through the same fence as all others.
extension Store {
    static func notePresence(_ account: AccountID, for presence: Duration) -> Query {
        """
        UPDATE turnpike.accounts
        SET remote_until = now() + \(presence.milliseconds)::bigint * interval '1 millisecond'
        WHERE account = \(account.text)::uuid AND coalesce(
            remote_until < now() + \(presence.milliseconds * 9 / 10)::bigint * interval '1 millisecond', true)
        """
    }

    /// Begins a term for the remote worker, as `beginTerm` does for a replica's, and notes the run in the same
    /// transaction: a second try under the same key begins nothing, and throws. Nil when there is no term to be had.
    package func beginRemoteTerm(
        _ claim: Claim,
        for demand: RemoteDemand,
        run: ReplicaID,
        nonce: Nonce,
        deployment: DeploymentID,
        limits: AgentLimits
    ) async throws -> RemoteRun? {
        let (worker, lease) = (demand.worker, demand.leaseSeconds)
        let term = Self.beginning(
            claim.number,
            nonce: nonce,
            replica: run,
            deployment: deployment,
            account: worker.account,
            limits: limits
        )
        let noted: Query = """
            INSERT INTO turnpike.remote_runs (run, org, token, account, claim_key, conversation_id, deployment, turn,
                attempt, epoch, owner_nonce, lease_seconds, lease_until)
            SELECT \(run.text)::uuid, \(worker.org.text)::text, \(worker.token.text)::uuid, \(worker.account.text)::uuid,
                \(demand.key)::text, c.id, \(deployment.text)::uuid, t.turn, coalesce(t.attempt, 0), c.epoch,
                c.owner_nonce, \(lease)::integer, now() + \(lease)::integer * interval '1 second'
            FROM turnpike.conversations c LEFT JOIN turnpike.turns t ON t.turn = c.running
            WHERE c.id = \(claim.number.value)::bigint AND c.owner_nonce = \(nonce.text)::uuid
            """
        let results = try await self.pool.pipeline(term + [noted, Self.remoteRun("r.run = \(run.text)::uuid")])
        return try results.last?.first.map(Self.remoteRun)
    }

    private static func remoteRun(_ condition: Query) -> Query {
        Query(
            unescaped: """
                SELECT r.run, r.conversation_id, r.epoch, r.owner_nonce, r.deployment, r.turn, r.attempt,
                    coalesce(t.seq, 0) AS seq, c.head, r.lease_seconds, r.batch, c.org, c.agent, c.conversation, n.configuration,
                    r.ended_at IS NULL AND c.epoch = r.epoch AND coalesce(c.owner_nonce = r.owner_nonce
                        AND c.running = r.turn, false) AS is_live,
                    t.cancel_requested_at IS NOT NULL AS is_cancelling, coalesce(t.interrupted, false) AS is_interrupted
                FROM turnpike.remote_runs r
                JOIN turnpike.conversations c ON c.id = r.conversation_id
                LEFT JOIN turnpike.turns t ON t.turn = r.turn
                LEFT JOIN turnpike.agents n ON n.org = r.org AND n.agent = c.agent
                WHERE \(condition.sql)
                """,
            binds: condition.binds
        )
    }

    private static func remoteRun(_ row: Row) throws -> RemoteRun {
        RemoteRun(
            id: try row.id("run"),
            fence: Fence(
                conversation: ConversationNumber(try row.get("conversation_id")),
                epoch: try row.get("epoch"),
                nonce: try row.id("owner_nonce")
            ),
            deployment: try row.id("deployment"),
            turn: try row.optionalID("turn"),
            attempt: try row.get("attempt"),
            seq: try row.get("seq"),
            head: try row.get("head"),
            leaseSeconds: try row.get("lease_seconds"),
            batch: try row.get("batch"),
            isLive: try row.get("is_live"),
            isCancelling: try row.get("is_cancelling"),
            org: try row.optionalName("org"),
            agent: try AgentID(row.get("agent")),
            conversation: try row.optionalName("conversation"),
            configuration: try row.get("configuration", as: String?.self).flatMap(Self.configuration),
            isInterrupted: try row.get("is_interrupted")
        )
    }

    /// The run that this claim got, however it stands now; nil when it got none.
    package func remoteRun(of worker: RemoteWorker, claimKey: String) async throws -> RemoteRun? {
        let condition: Query = "r.token = \(worker.token.text)::uuid AND r.claim_key = \(claimKey)::text"
        return try await self.pool.query(Self.remoteRun(condition)).first.map(Self.remoteRun)
    }

    /// The run that the ticket names, however it stands now; nil when the worker has none like it.
    package func remoteRun(of worker: RemoteWorker, _ ticket: RemoteTicket) async throws -> RemoteRun? {
        let condition: Query = """
            r.turn = \(ticket.turn.text)::uuid AND r.attempt = \(ticket.attempt)::integer
                AND r.epoch = \(ticket.epoch)::bigint AND r.owner_nonce = \(ticket.lease.text)::uuid
                AND r.account = \(worker.account.text)::uuid AND r.org = \(worker.org.text)::text
            """
        return try await self.pool.query(Self.remoteRun(condition)).first.map(Self.remoteRun)
    }

    /// Keeps the run's lease, and its account's presence. Returns whether the turn is to be cancelled.
    package func renew(_ run: RemoteRun, of worker: RemoteWorker, presence: Duration) async throws -> Fenced<Bool> {
        let results = try await self.pool.pipeline([
            Self.notePresence(worker.account, for: presence),
            """
            UPDATE turnpike.remote_runs r SET lease_until = now() + r.lease_seconds * interval '1 second'
            FROM turnpike.conversations c JOIN turnpike.turns t ON t.turn = c.running
            WHERE r.run = \(run.id.text)::uuid AND r.ended_at IS NULL AND c.id = r.conversation_id
                AND c.epoch = r.epoch AND c.owner_nonce = r.owner_nonce AND c.running = r.turn
            RETURNING t.cancel_requested_at IS NOT NULL AS cancelling
            """,
        ])
        guard let row = results[1].first else { return .fenced }
        return .done(try row.get("cancelling"))
    }

    /// Writes a batch of events, once: the batches of a run are numbered without a gap. Texts count against `outputBytes`,
    /// as those of a worker here do.
    package func append(
        _ events: [TurnEvent],
        batch: Int64,
        run: RemoteRun,
        progressSeconds: Int,
        outputBytes: Int
    ) async throws -> Fenced<RemoteBatch> {
        let (fence, types) = (run.fence, events.map(\.type))
        let data = try events.map { try StoredJSON.text($0.data) }
        // A statement of its own takes the lock, so that the next one sees the batch that was written before it.
        let results = try await self.pool.pipeline([
            "SELECT FROM turnpike.conversations WHERE id = \(fence.conversation.value)::bigint FOR UPDATE",
            """
            WITH held AS (
                SELECT c.id, r.run, r.output, r.batch = \(batch - 1)::bigint AS is_next, c.running
                FROM turnpike.conversations c
                JOIN turnpike.remote_runs r ON r.run = \(run.id.text)::uuid AND r.turn = c.running
                WHERE c.id = \(fence.conversation.value)::bigint AND c.epoch = \(fence.epoch)::bigint
                    AND c.owner_nonce = \(fence.nonce.text)::uuid
            ), noted AS (
                UPDATE turnpike.remote_runs r
                SET batch = \(batch)::bigint, output = held.output + \(Self.output(of: events))::bigint
                FROM held WHERE r.run = held.run AND held.is_next
                    AND held.output + \(Self.output(of: events))::bigint <= \(outputBytes)::bigint
                RETURNING r.conversation_id
            ), moved AS (
                UPDATE turnpike.conversations c SET last_event = c.last_event + \(events.count)::integer
                FROM noted WHERE c.id = noted.conversation_id RETURNING c.id, c.last_event, c.running
            ), logged AS (
                INSERT INTO turnpike.events (conversation_id, seq, turn, type, data)
                SELECT moved.id, moved.last_event - \(events.count)::integer + e.ord, moved.running, e.type, e.data::json
                FROM moved, unnest(\(types)::text[], \(data)::text[]) WITH ORDINALITY AS e (type, data, ord)
            ), alive AS (
                UPDATE turnpike.markers m
                SET progress_deadline = now() + \(progressSeconds)::integer * interval '1 second'
                FROM moved WHERE m.turn = moved.running
            )
            SELECT is_next, EXISTS (SELECT FROM moved) AS written FROM held
            """,
        ])
        guard let row = results[1].first else { return .fenced }
        guard try row.get("is_next") else { return .done(.repeated) }
        return .done(try row.get("written") ? .written : .tooMuch)
    }

    /// The bytes of `events` that count against what a turn may say.
    private static func output(of events: [TurnEvent]) -> Int {
        events.reduce(0) { sum, event in
            switch event {
            case .delta(let text), .thought(let text): sum + text.utf8.count
            default: sum
            }
        }
    }

    /// The text that the run has streamed.
    package func said(by run: RemoteRun) async throws -> String {
        let rows = try await self.pool.query(
            """
            SELECT coalesce(string_agg(e.data ->> 'text', '' ORDER BY e.seq), '') AS said
            FROM turnpike.events e
            WHERE e.conversation_id = \(run.fence.conversation.value)::bigint AND e.turn = \(run.turn?.text)::uuid
                AND e.type = 'delta' AND e.seq > (
                    SELECT max(s.seq) FROM turnpike.events s
                    WHERE s.conversation_id = e.conversation_id AND s.turn = e.turn AND s.type = 'turn.started')
            """
        )
        return try rows.first?.get("said") ?? ""
    }

    private static func ended(_ run: RemoteRun, _ ending: String) -> [Query] {
        [
            self.releasing(run.fence, deployment: run.deployment, ending: ending),
            """
            UPDATE turnpike.remote_runs SET ended_at = now() WHERE run = \(run.id.text)::uuid AND ended_at IS NULL
            """,
        ]
    }

    /// Ends the run's turn and its term, in one transaction.
    package func settle(_ settlement: Settlement, run: RemoteRun) async throws -> Fenced<Int64> {
        let events = settlement.events + [.ended(settlement.outcome)]
        let data = try events.map { try StoredJSON.text($0.data) }
        let settling = try Self.settle(settlement, types: events.map(\.type), data: data, fence: run.fence)
        let results = try await self.pool.pipeline([settling] + Self.ended(run, "finished"))
        guard let row = results[0].first else { return .fenced }
        return .done(try row.get("last_event"))
    }

    /// Puts the run's turn back for another run, and ends its term, in one transaction.
    package func requeue(
        _ run: RemoteRun,
        turn: TurnID,
        code: FailureCode,
        message: String
    ) async throws -> Fenced<Int64> {
        let requeuing = try Self.requeuing(turn: turn, fence: run.fence, events: [.retried(code, message: message)])
        let results = try await self.pool.pipeline([requeuing] + Self.ended(run, "requeued"))
        guard let row = results[0].first else { return .fenced }
        return .done(try row.get("last_event"))
    }

    /// Ends the term of a run that has no turn.
    package func endIdle(_ run: RemoteRun) async throws {
        _ = try await self.pool.pipeline(Self.ended(run, "finished"))
    }

    /// Takes back what remote workers hold whose leases have run out: their turns fail, or are first in the queue again
    /// where their agent allows another run, at most `limit` at a time. Forgets runs that ended longer than `memory` ago.
    package func sweepRemote(limit: Int, memory: Duration) async throws -> [SweptTurn] {
        // Nothing but this where no worker is remote.
        guard try await !self.pool.query("SELECT FROM turnpike.remote_runs LIMIT 1").isEmpty else { return [] }
        let swept = try await self.discharge(
            """
            SELECT m.turn, m.epoch, 'worker_unresponsive' AS code,
                t.attempt <= coalesce((n.configuration ->> 'retries')::integer, 0) AS retry
            FROM turnpike.remote_runs r
            JOIN turnpike.markers m ON m.turn = r.turn AND m.epoch = r.epoch AND m.replica = r.run
            JOIN turnpike.turns t ON t.turn = m.turn
            JOIN turnpike.conversations c ON c.id = m.conversation_id
            LEFT JOIN turnpike.agents n ON n.org = r.org AND n.agent = c.agent
            WHERE r.ended_at IS NULL AND r.lease_until < now() LIMIT \(limit)::integer
            """,
            lastBind: 1
        )
        let requeued = swept.filter { $0.code == nil }.map(\.turn.text)
        _ = try await self.pool.pipeline([
            // As old as its turn is, so it comes before what arrived later.
            """
            WITH held AS (
                SELECT c.id, t.queued_at FROM turnpike.conversations c JOIN turnpike.turns t ON t.conversation_id = c.id
                WHERE t.turn = ANY (\(requeued)::uuid[]) AND c.ready_at IS NOT NULL
                ORDER BY c.id FOR UPDATE OF c
            )
            UPDATE turnpike.conversations c SET ready_at = held.queued_at FROM held WHERE c.id = held.id
            """,
            """
            WITH idle AS (
                SELECT c.id, r.run FROM turnpike.conversations c JOIN turnpike.remote_runs r ON r.run = c.owner_replica
                WHERE r.ended_at IS NULL AND r.lease_until < now() AND c.running IS NULL
                FOR UPDATE OF c SKIP LOCKED
            )
            UPDATE turnpike.conversations c
            SET epoch = c.epoch + 1, owner_nonce = NULL, owner_replica = NULL,
                ready_at = CASE WHEN c.queued > 0 THEN now() END
            FROM idle WHERE c.id = idle.id
            """,
            """
            WITH over AS (
                UPDATE turnpike.remote_runs r SET ended_at = now()
                WHERE r.ended_at IS NULL AND NOT EXISTS (
                    SELECT FROM turnpike.conversations c WHERE c.id = r.conversation_id AND c.owner_replica = r.run)
                RETURNING r.deployment
            )
            UPDATE turnpike.deployments d SET ended_at = now(), ending = 'lease over'
            FROM over WHERE d.deployment = over.deployment AND d.ended_at IS NULL
            """,
            """
            DELETE FROM turnpike.remote_runs WHERE run IN (
                SELECT run FROM turnpike.remote_runs
                WHERE ended_at < now() - \(memory.milliseconds)::bigint * interval '1 millisecond' LIMIT 1000)
            """,
        ])
        return swept
    }
}
