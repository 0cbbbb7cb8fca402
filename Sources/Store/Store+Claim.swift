package import Domain
import Faults
import Postgres

extension Store {
    /// So many agents are looked at for one claim; those after them have their turn with the next.
    private static let claimants = 64

    /// Claims up to `limit` conversations that are ready, skipping those that somebody else is looking at. A claim only
    /// hides the conversation for `hold`: a replica that dies right after it costs that much time. `readyFor` leaves to
    /// others what has not been ready for that long.
    ///
    /// Organizations take turns, within each its agents, within each the oldest first; who has places by `held` has had
    /// as many turns already. Where there are more agents than a claim looks at, it begins after `last`. `acting` are the
    /// accounts for which there is room here: what needs another is passed over, so that nothing queues behind it.
    /// `isThorough` looks at all agents, for when those it would look at have nothing that may run here.
    package func claim(
        limit: Int,
        hold: Duration,
        readyFor: Duration = .zero,
        acting: [AccountID] = [],
        held: [Claimant: Int] = [:],
        after last: Claimant? = nil,
        isThorough: Bool = false
    ) async throws -> [Claim] {
        let held = Array(held)
        let rows = try await self.pool.query(
            """
            WITH held AS (
                SELECT org, agent, places
                FROM unnest(\(held.map { $0.key.org?.text ?? "" })::text[], \(held.map(\.key.agent.text))::text[],
                    \(held.map { Int64($0.value) })::bigint[]) AS h (org, agent, places)
            ), claimants AS MATERIALIZED (
                SELECT r.org, r.agent, n.account_provider, n.account_pool, n.account_label, n.is_remote,
                    (SELECT coalesce(sum(h.places), 0) FROM held h WHERE h.org = r.org) AS org_places,
                    (SELECT coalesce(sum(h.places), 0) FROM held h WHERE h.org = r.org AND h.agent = r.agent) AS places
                FROM turnpike.ready_claimants(\(last?.org?.text ?? "")::text, \(last?.agent.text ?? "")::text,
                    now() - \(readyFor.milliseconds)::bigint * interval '1 millisecond',
                    \(isThorough ? Int(Int32.max) : Self.claimants)::integer) r
                LEFT JOIN turnpike.agents n ON n.org = coalesce(nullif(r.org, ''), 'default') AND n.agent = r.agent
            ), ready AS (
                SELECT c.id, c.ready_at, r.org, r.org_places,
                    r.places + row_number() OVER (PARTITION BY r.org, r.agent ORDER BY c.ready_at) AS place
                FROM claimants r CROSS JOIN LATERAL (
                    SELECT c.id, c.ready_at FROM turnpike.conversations c
                    WHERE coalesce(c.org::text, '') = r.org AND c.agent = r.agent
                        AND c.ready_at <= now() - \(readyFor.milliseconds)::bigint * interval '1 millisecond'
                        AND c.parked IS NULL AND (r.account_provider IS NULL OR NOT r.is_remote AND EXISTS (
                            SELECT FROM turnpike.accounts a
                            CROSS JOIN LATERAL (SELECT coalesce(nullif(r.org, ''), 'default') AS org,
                                r.account_provider, r.account_pool, r.account_label) n
                            WHERE a.account = ANY (\(acting.map(\.text))::uuid[]) AND \(unescaped: Self.accountFits)))
                    ORDER BY c.ready_at LIMIT 3 * \(limit)::integer
                ) c
            ), fair AS (
                -- More than are wanted, for those that others are claiming at this moment.
                SELECT id, ready_at, org_places + row_number() OVER (PARTITION BY org ORDER BY place, ready_at) AS place
                FROM ready ORDER BY 3, 2 LIMIT 3 * \(limit)::integer
            ), claimable AS (
                SELECT c.id FROM fair f JOIN turnpike.conversations c ON c.id = f.id
                WHERE c.parked IS NULL AND c.ready_at <= now() - \(readyFor.milliseconds)::bigint * interval '1 millisecond'
                ORDER BY f.place, f.ready_at LIMIT \(limit)::integer FOR UPDATE OF c SKIP LOCKED
            ), claimed AS (
                UPDATE turnpike.conversations c
                SET ready_at = now() + \(hold.milliseconds)::bigint * interval '1 millisecond'
                FROM claimable WHERE c.id = claimable.id
                RETURNING c.id, c.org, c.agent, c.conversation, c.owner_account, c.excluded, c.excluded_until,
                    c.epoch = 0 AND c.head = 0 AS is_new
            )
            SELECT claimed.id, claimed.org, claimed.agent, claimed.conversation, claimed.is_new, claimed.owner_account,
                CASE WHEN claimed.excluded_until > now() THEN array_to_json(claimed.excluded) END AS excluded,
                \(unescaped: Self.headColumns), a.configuration, coalesce(a.version, 0) AS version
            FROM claimed \(unescaped: Self.head)
            LEFT JOIN turnpike.agents a ON a.org = coalesce(claimed.org, 'default') AND a.agent = claimed.agent
            """
        )
        if !rows.isEmpty { try await Self.reach(.claimCommitted) }
        return try rows.map(Self.claim)
    }

    /// Of each conversation in `claimed`: its lock's key and the oldest turn of its queue, as columns.
    static let headColumns = """
        turnpike.lock_key(claimed.org, claimed.agent, claimed.conversation) AS lock_key,
        next.turn, next.run, next.deferred_for,
        EXISTS (SELECT FROM turnpike.parks p WHERE p.turn = next.turn) AS was_parked,
        (extract(epoch FROM now() - next.deferred_since) * 1000)::bigint AS deferred_ms
        """
    /// Where `headColumns` come from.
    static let head = """
        LEFT JOIN LATERAL (
            SELECT t.turn, t.run, t.deferred_since, t.deferred_for FROM turnpike.turns t
            WHERE t.conversation_id = claimed.id AND t.state = 'queued' ORDER BY t.seq LIMIT 1
        ) next ON true
        """

    static func claim(_ row: Row) throws -> Claim {
        var next: QueuedTurn?
        if let turn: TurnID = try row.optionalID("turn") {
            next = QueuedTurn(
                id: turn,
                run: try row.optionalID("run"),
                deferredFor: try row.optionalMilliseconds("deferred_ms"),
                reason: try row.get("deferred_for"),
                wasParked: try row.get("was_parked")
            )
        }
        return Claim(
            number: ConversationNumber(try row.get("id")),
            org: try row.optionalName("org"),
            agent: try AgentID(row.get("agent")),
            conversation: try row.optionalName("conversation"),
            lock: try row.get("lock_key", as: Int64?.self).map(LockKey.init),
            next: next,
            agentConfiguration: try row.get("configuration", as: String?.self).flatMap(Self.configuration),
            agentVersion: try row.get("version"),
            isNew: try row.get("is_new"),
            owner: try row.optionalID("owner_account"),
            excluded: try Self.accounts(try row.get("excluded"))
        )
    }

    private static func accounts(_ list: String?) throws -> Set<AccountID> {
        guard let list else { return [] }
        return Set(try StoredJSON.value(list, as: [String].self).compactMap { AccountID($0) })
    }

    /// Nil for what this version cannot read: its turns fail by themselves, and the other claims of the batch, which
    /// are taken already, do not wait for it.
    static func configuration(_ text: String) -> AgentConfiguration? {
        do {
            return try StoredJSON.value(text)
        } catch {
            return nil
        }
    }

    /// Takes a claim back: the conversation is ready again now, or, with an empty queue, not at all.
    package func abandonClaim(_ number: ConversationNumber) async throws {
        _ = try await self.pool.query(
            """
            UPDATE turnpike.conversations SET ready_at = CASE WHEN queued > 0 AND parked IS NULL THEN now() END
            WHERE id = \(number.value)::bigint AND owner_nonce IS NULL
            """
        )
    }

    /// Puts a claimed conversation back with a delay, and notes why its next turn waits and since when: since now if its
    /// wait `beginsAnew`. Spends no attempt.
    package func putBack(
        _ number: ConversationNumber,
        turn: TurnID,
        reason: String,
        delay: Duration,
        beginsAnew: Bool = false
    ) async throws {
        _ = try await self.pool.query(
            """
            WITH back AS (
                UPDATE turnpike.conversations
                SET ready_at = now() + \(delay.milliseconds)::bigint * interval '1 millisecond'
                WHERE id = \(number.value)::bigint AND owner_nonce IS NULL AND queued > 0
                RETURNING id
            )
            UPDATE turnpike.turns t
            SET deferred_since = CASE WHEN \(beginsAnew)::boolean THEN now() ELSE coalesce(t.deferred_since, now()) END,
                deferred_for = \(reason)::text
            FROM back WHERE t.turn = \(turn.text)::uuid AND t.state = 'queued'
            """
        )
    }

    /// Fails a turn that waited in vain for a worker: outcome, dead letter and event in one transaction. What a parked one
    /// had said is kept. Returns false when the turn is no longer queued, or its conversation is parked by now.
    package func failQueued(
        _ number: ConversationNumber,
        turn: TurnID,
        code: FailureCode,
        message: String
    ) async throws -> Bool {
        let said = "coalesce((SELECT p.said FROM turnpike.parks p WHERE p.turn = ended.turn), '')"
        try await Self.reach(.giveUpBefore)
        let rows = try await self.pool.query(
            """
            WITH held AS (
                SELECT id FROM turnpike.conversations WHERE id = \(number.value)::bigint AND parked IS NULL FOR UPDATE
            ), ended AS (
                UPDATE turnpike.turns t SET state = 'failed', ended_at = now()
                FROM held WHERE t.turn = \(turn.text)::uuid AND t.conversation_id = held.id AND t.state = 'queued'
                RETURNING t.turn, t.org, t.attempt
            ), outcome AS (
                INSERT INTO turnpike.outcomes (turn, state, code, message, reply)
                SELECT turn, 'failed', \(code.rawValue)::text, \(message)::text, \(unescaped: said) FROM ended
            ), buried AS (
                INSERT INTO turnpike.dead_letters (turn, org, code, message, attempts)
                SELECT turn, org, \(code.rawValue)::text, \(message)::text, attempt FROM ended
            ), moved AS (
                UPDATE turnpike.conversations c
                SET queued = c.queued - 1, last_event = c.last_event + 1,
                    ready_at = CASE WHEN c.owner_nonce IS NULL AND c.queued > 1 THEN now() END
                FROM ended, held WHERE c.id = held.id
                RETURNING c.id, c.last_event
            ), logged AS (
                INSERT INTO turnpike.events (conversation_id, seq, turn, type, data)
                SELECT moved.id, moved.last_event, ended.turn, 'turn.failed',
                    json_build_object('code', \(code.rawValue)::text, 'message', \(message)::text,
                        'partial', \(unescaped: said))
                FROM moved, ended
            )
            SELECT turn FROM ended
            """
        )
        try await Self.reach(.giveUpCommitted)
        return !rows.isEmpty
    }
}
