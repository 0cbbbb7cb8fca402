package import Domain
import Faults
import Postgres

/// A marker that somebody other than its holder discharged.
package struct SweptTurn: Sendable, Hashable {
    /// The turn it belongs to.
    package let turn: TurnID
    /// The row by which the database knows the conversation.
    package let number: ConversationNumber
    /// The holder that has been fenced off.
    package let replica: ReplicaID
    /// The term that was ended.
    package let epoch: Int64
    /// Nil when the turn went back to the queue.
    package let code: FailureCode?
}

/// What one call of `takeOver` did.
package struct TakenOver: Sendable {
    /// The turns that it ended or put back into their queues.
    package let turns: [SweptTurn]
    /// How many idle conversations it freed.
    package let freed: Int
}

extension Store {
    /// Fails the turns whose markers are past a deadline by more than `grace`, at most `limit` of them, and fences
    /// their holders off. Any replica may do this at any time; two of them are harmless.
    package func sweepOverdue(grace: Duration, limit: Int) async throws -> [SweptTurn] {
        let swept = try await self.discharge(
            """
            SELECT m.turn, m.epoch,
                CASE WHEN m.hard_deadline <= m.progress_deadline THEN 'deadline_exceeded'
                    ELSE 'worker_unresponsive' END AS code,
                false AS retry
            FROM turnpike.markers m
            WHERE least(m.progress_deadline, m.hard_deadline)
                < now() - \(grace.milliseconds)::bigint * interval '1 millisecond'
            LIMIT \(limit)::integer
            """,
            lastBind: 2
        )
        if !swept.isEmpty { try await Self.reach(.sweepCommitted) }
        return swept
    }

    /// Settles everything that a dead replica has left: its turns fail, or go back to the queue where their agent
    /// allows another run, and its conversations are free; at most `limit` of both at a time, of the idle ones those first
    /// that have turns waiting. Rows that somebody else holds at this moment are left for the next call: repeat it until
    /// `forget` returns true.
    package func takeOver(from replica: ReplicaID, limit: Int = 1_000) async throws -> TakenOver {
        try await Self.reach(.takeOverBefore)
        let swept = try await self.discharge(
            """
            SELECT m.turn, m.epoch, 'replica_lost' AS code,
                t.attempt <= coalesce((a.configuration ->> 'retries')::integer, 0) AS retry
            FROM turnpike.markers m
            JOIN turnpike.turns t ON t.turn = m.turn
            JOIN turnpike.conversations c ON c.id = m.conversation_id
            LEFT JOIN turnpike.agents a ON a.org = coalesce(c.org, 'default') AND a.agent = c.agent
            WHERE m.replica = \(replica.text)::uuid
            LIMIT \(limit)::integer
            """,
            lastBind: 2
        )
        try await Self.reach(.takeOverCommitted)
        let freed = try await self.pool.query(
            """
            WITH idle AS (
                SELECT id FROM turnpike.conversations
                WHERE owner_replica = \(replica.text)::uuid AND running IS NULL
                ORDER BY queued > 0 DESC LIMIT \(limit)::integer FOR UPDATE SKIP LOCKED
            )
            UPDATE turnpike.conversations c
            SET epoch = c.epoch + 1, owner_nonce = NULL, owner_replica = NULL,
                ready_at = CASE WHEN c.queued > 0 THEN now() END
            FROM idle WHERE c.id = idle.id
            RETURNING 1
            """
        )
        try await Self.reach(.takeOverFreed)
        return TakenOver(turns: swept, freed: freed.count)
    }

    /// Removes a dead replica's record once nothing names it as owner; returns whether it is gone.
    package func forget(_ replica: ReplicaID) async throws -> Bool {
        let results = try await self.pool.pipeline([
            """
            UPDATE turnpike.deployments SET ended_at = now(), ending = 'replica lost'
            WHERE replica = \(replica.text)::uuid AND ended_at IS NULL
            """,
            """
            DELETE FROM turnpike.replicas r WHERE r.replica = \(replica.text)::uuid
                AND NOT EXISTS (SELECT FROM turnpike.conversations c WHERE c.owner_replica = r.replica)
            RETURNING replica
            """,
        ])
        return !results[1].isEmpty
    }

    /// The one statement that ends turns without their holder's help: lock the conversation, discharge the marker,
    /// bump the epoch, then declare. `selection` yields (turn, epoch, code, retry) and has used `lastBind` binds.
    func discharge(_ selection: Query, lastBind: Int) async throws -> [SweptTurn] {
        precondition(selection.binds.count == lastBind, "the selection's binds do not match")
        let statement = Query(
            unescaped: """
                WITH selected AS (
                \(selection.sql)
                ), lost AS (
                    SELECT c.id, c.owner_replica, s.turn, s.epoch, s.code, s.retry
                    FROM turnpike.conversations c JOIN selected s ON c.running = s.turn AND c.epoch = s.epoch
                    FOR UPDATE OF c SKIP LOCKED
                ), discharged AS (
                    DELETE FROM turnpike.markers m USING lost l WHERE m.turn = l.turn AND m.epoch = l.epoch
                    RETURNING m.turn, m.replica
                ), verdict AS (
                    SELECT l.id, l.turn, l.epoch, l.code, l.retry, d.replica,
                        CASE WHEN l.retry THEN '' ELSE \(Self.said) END AS partial
                    FROM lost l JOIN discharged d ON d.turn = l.turn
                ), ended AS (
                    UPDATE turnpike.turns t
                    SET state = CASE WHEN v.retry THEN 'queued' ELSE 'failed' END,
                        ended_at = CASE WHEN v.retry THEN NULL ELSE now() END,
                        started_at = CASE WHEN v.retry THEN NULL ELSE t.started_at END
                    FROM verdict v WHERE t.turn = v.turn
                    RETURNING t.turn, t.org, t.attempt
                ), outcome AS (
                    INSERT INTO turnpike.outcomes (turn, state, code, message, reply)
                    SELECT v.turn, 'failed', v.code, \(Self.meanings("v.code")), v.partial
                    FROM verdict v WHERE NOT v.retry \(PlantedBug.sweptWithoutOutcome.isPlanted ? "AND false" : "")
                ), buried AS (
                    INSERT INTO turnpike.dead_letters (turn, org, code, message, attempts)
                    SELECT v.turn, e.org, v.code, \(Self.meanings("v.code")), e.attempt
                    FROM verdict v JOIN ended e ON e.turn = v.turn WHERE NOT v.retry AND e.attempt > 1
                ), moved AS (
                    UPDATE turnpike.conversations c
                    SET epoch = c.epoch + 1, owner_nonce = NULL, owner_replica = NULL, running = NULL,
                        queued = c.queued + v.retry::integer, last_event = c.last_event + 1,
                        ready_at = CASE WHEN c.queued + v.retry::integer > 0 THEN now() END
                    FROM verdict v WHERE c.id = v.id
                    RETURNING c.id, c.last_event
                ), logged AS (
                    INSERT INTO turnpike.events (conversation_id, seq, turn, type, data)
                    SELECT m.id, m.last_event, v.turn,
                        CASE WHEN v.retry THEN 'turn.retried' ELSE 'turn.failed' END,
                        CASE WHEN v.retry
                            THEN json_build_object('code', v.code, 'message', \(Self.meanings("v.code")))
                            ELSE json_build_object('code', v.code, 'message', \(Self.meanings("v.code")),
                                'partial', v.partial) END
                    FROM moved m JOIN verdict v ON v.id = m.id
                )
                SELECT turn, id, replica, epoch, CASE WHEN retry THEN NULL ELSE code END AS code FROM verdict
                """,
            binds: selection.binds
        )
        return try await self.pool.query(statement).map { row in
            SweptTurn(
                turn: try row.id("turn"),
                number: ConversationNumber(try row.get("id")),
                replica: try row.id("replica"),
                epoch: try row.get("epoch"),
                code: try row.get("code", as: String?.self).flatMap(FailureCode.init(rawValue:))
            )
        }
    }

    /// What the lost run `l` had said, as its session would have it: what it went on from, and its own text. An earlier
    /// run's was taken back when that one was retried.
    private static let said = """
        concat((SELECT p.said FROM turnpike.parks p WHERE p.turn = l.turn), (
            SELECT string_agg(e.data ->> 'text', '' ORDER BY e.seq) FROM turnpike.events e
            WHERE e.conversation_id = l.id AND e.turn = l.turn AND e.type = 'delta' AND e.seq >= coalesce((
                SELECT s.seq FROM turnpike.events s
                WHERE s.conversation_id = l.id AND s.turn = l.turn AND s.type = 'turn.started'
                ORDER BY s.seq DESC LIMIT 1
            ), (SELECT t.first_event FROM turnpike.turns t WHERE t.turn = l.turn))))
        """

    /// The catalogue's sentences for the codes that a sweep can give, as an SQL expression of constants.
    private static func meanings(_ column: String) -> String {
        let cases = [FailureCode.deadlineExceeded, .workerUnresponsive, .replicaLost].map {
            "WHEN '\($0.rawValue)' THEN '\($0.meaning.replacing("'", with: "''"))'"
        }
        return "CASE \(column) \(cases.joined(separator: " ")) END"
    }
}
