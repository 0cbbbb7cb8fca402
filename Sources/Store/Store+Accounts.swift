package import Domain
import Postgres

/// A conversation that waits while nobody hosts an account that it could run on.
package struct AbsentConversation: Sendable, Hashable {
    /// The row by which the database knows the conversation.
    package let number: ConversationNumber
    /// The head of its queue.
    package let turn: TurnID
    /// The account that owns it; nil while none does.
    package let owner: AccountID?
    /// What its agent needs.
    package let need: AccountNeed
    /// For how long that has been so.
    package let absence: AccountAbsence
    /// Whether somebody hosts another account that the agent would take.
    package let hasOther: Bool
    /// Whether the turn's readers have been told already.
    package let isTold: Bool
    /// The last look as it is stored; what is written about this one is written only if it still is.
    let seenAt: String?
}

/// What a look at an absent account found, to be written.
package struct AbsenceNote: Sendable {
    /// The conversation as it was seen.
    package let conversation: AbsentConversation
    /// The absence so far.
    package let counted: Duration
    /// Whether it begins with this look, so that readers are told.
    package let begins: Bool

    package init(conversation: AbsentConversation, counted: Duration, begins: Bool) {
        self.conversation = conversation
        self.counted = counted
        self.begins = begins
    }
}

// Who hosts which account, and what becomes of conversations whose account nobody does.
extension Store {
    /// Says which accounts this replica hosts, instead of what it said before; accounts that are not there are left out.
    /// Returns the ones that are. The replica's record must be there: the rows go with it.
    package func host(_ hostings: [AccountHosting], on replica: ReplicaID) async throws -> [HostedAccount] {
        let given: Query = """
            WITH given AS (
                SELECT * FROM unnest(\(hostings.map(\.identity.org.text))::text[],
                    \(hostings.map(\.identity.provider.text))::text[], \(hostings.map(\.identity.principal))::text[],
                    \(hostings.map(\.slots))::integer[]) WITH ORDINALITY AS g (org, provider, principal, slots, place)
            ), found AS (
                SELECT a.account, a.pool, g.slots, g.place FROM given g
                JOIN turnpike.accounts a ON a.account = turnpike.account_id(g.org, g.provider, g.principal)
            ), left_out AS (
                DELETE FROM turnpike.account_hosts h
                WHERE h.replica = \(replica.text)::uuid AND h.account NOT IN (SELECT account FROM found)
            ), put AS (
                INSERT INTO turnpike.account_hosts AS h (account, replica, slots)
                SELECT f.account, \(replica.text)::uuid, f.slots FROM found f
                ON CONFLICT (account, replica) DO UPDATE SET slots = excluded.slots WHERE h.slots <> excluded.slots
            )
            SELECT f.account, f.pool, f.place,
                (SELECT coalesce(json_agg(l.label ORDER BY l.label), '[]') FROM turnpike.account_labels l
                 WHERE l.account = f.account) AS labels
            FROM found f
            """
        return try await self.pool.query(given).map { row in
            let hosting = hostings[try row.get("place", as: Int.self) - 1]
            return HostedAccount(
                id: try row.id("account"),
                identity: hosting.identity,
                pool: try PoolID(row.get("pool")),
                labels: try StoredJSON.value(row.get("labels")),
                slots: hosting.slots,
                environment: hosting.environment
            )
        }
    }

    /// Whether the bound that an account has for all replicas together leaves room for another conversation.
    package func hasFreeSlot(_ account: AccountID) async throws -> Bool {
        try await !self.pool.query(
            """
            SELECT FROM turnpike.accounts a
            WHERE a.account = \(account.text)::uuid AND \(unescaped: Self.hasFreeSlot)
            """
        ).isEmpty
    }

    /// Whether the account `a` has a slot left, as an SQL condition. Exact under the lock of its row.
    static let hasFreeSlot = """
        (a.slots IS NULL OR a.slots > (SELECT count(*) FROM turnpike.conversations o
            WHERE o.acting_account = a.account AND o.owner_nonce IS NOT NULL))
        """

    /// Whether the conversation `c` of the agent `n` may run on the account `a`, as an SQL condition. The pin is read
    /// here, from the conversation, so a turn that was submitted before its conversation had an owner has one as well.
    static let accountFits = """
        CASE WHEN c.owner_account IS NULL
            THEN a.org = n.org AND a.provider = n.account_provider AND a.pool = coalesce(n.account_pool, a.pool)
                AND NOT coalesce(a.account = ANY (c.excluded) AND c.excluded_until > now(), false)
                AND (n.account_label IS NULL OR EXISTS (SELECT FROM turnpike.account_labels l
                    WHERE l.org = n.org AND l.label = n.account_label AND l.account = a.account))
            ELSE a.org = n.org AND a.account = c.owner_account END
        """

    /// Whether somebody can let a worker of the agent `n` act as the account `a`, as an SQL condition: a replica that lives
    /// and is not leaving, or, for a remote agent, a worker that asked for something lately.
    static let accountIsHosted = """
        CASE WHEN n.is_remote THEN coalesce(a.remote_until > now(), false)
            ELSE EXISTS (SELECT FROM turnpike.account_hosts h JOIN turnpike.replicas r ON r.replica = h.replica
                WHERE h.account = a.account AND NOT r.draining) END
        """

    /// Conversations that wait while nobody hosts an account that they could run on, at most `limit`, those first that
    /// were not looked at for longest.
    package func absences(limit: Int) async throws -> [AbsentConversation] {
        try await self.pool.query(
            """
            SELECT c.id, next.turn, c.owner_account, n.configuration -> 'account' AS need, c.absent_ms,
                (extract(epoch FROM now() - c.absent_at) * 1000)::bigint AS since_ms, c.absent_at::text AS seen_at,
                coalesce(starts_with(next.deferred_for, \(AccountWait.mark)::text), false) AS is_told,
                c.owner_account IS NOT NULL AND EXISTS (
                    SELECT FROM turnpike.accounts a
                    CROSS JOIN LATERAL (SELECT NULL::uuid AS owner_account, c.excluded, c.excluded_until) c
                    WHERE \(unescaped: Self.accountFits) AND \(unescaped: Self.accountIsHosted)) AS has_other
            FROM turnpike.conversations c
            JOIN turnpike.agents n ON n.org = coalesce(c.org, 'default') AND n.agent = c.agent
                AND n.account_provider IS NOT NULL
            CROSS JOIN LATERAL (
                SELECT t.turn, t.deferred_for FROM turnpike.turns t
                WHERE t.conversation_id = c.id AND t.state = 'queued' ORDER BY t.seq LIMIT 1
            ) next
            WHERE c.ready_at IS NOT NULL AND c.parked IS NULL AND NOT EXISTS (
                SELECT FROM turnpike.accounts a
                WHERE \(unescaped: Self.accountFits) AND \(unescaped: Self.accountIsHosted))
            ORDER BY c.absent_at NULLS FIRST LIMIT \(limit)::integer
            """
        ).compactMap(Self.absence)
    }

    /// Nil for an agent that this version cannot read; a claim of its turns says so.
    private static func absence(_ row: Row) throws -> AbsentConversation? {
        let need: AccountNeed
        do {
            need = try StoredJSON.value(try row.get("need"))
        } catch is DecodingError {
            return nil
        }
        return AbsentConversation(
            number: ConversationNumber(try row.get("id")),
            turn: try row.id("turn"),
            owner: try row.optionalID("owner_account"),
            need: need,
            absence: AccountAbsence(
                counted: .milliseconds(try row.get("absent_ms", as: Int64.self)),
                sinceLook: try row.optionalMilliseconds("since_ms")
            ),
            hasOther: try row.get("has_other"),
            isTold: try row.get("is_told"),
            seenAt: try row.get("seen_at")
        )
    }

    /// Writes what a look found, in one statement. Of several replicas that looked at once the first one's counts.
    /// Returns the conversations whose readers have something new to read.
    package func note(_ notes: [AbsenceNote]) async throws -> [ConversationNumber] {
        let waits = notes.map { AccountWait(account: $0.conversation.owner, need: $0.conversation.need) }
        let events = waits.map { TurnEvent.waitingAccount($0) }
        let data = try events.map { try StoredJSON.text($0.data) }
        let graces = waits.map { $0.need.onAbsence == .wait ? nil : String($0.need.graceSeconds) }
        return try await self.pool.query(
            """
            WITH looked AS (
                SELECT * FROM unnest(\(notes.map(\.conversation.number.value))::bigint[],
                    \(notes.map(\.conversation.turn.text))::uuid[], \(notes.map(\.conversation.seenAt))::text[],
                    \(notes.map(\.counted.milliseconds))::bigint[], \(notes.map(\.begins))::boolean[],
                    \(waits.map(\.reason))::text[], \(events.map(\.type))::text[], \(data)::text[],
                    \(graces)::integer[])
                    AS l (id, turn, seen_at, counted, begins, reason, type, data, grace)
            ), held AS (
                SELECT c.id FROM turnpike.conversations c JOIN looked l ON l.id = c.id
                WHERE c.owner_nonce IS NULL AND c.parked IS NULL AND c.queued > 0
                    AND c.absent_at IS NOT DISTINCT FROM l.seen_at::timestamptz
                FOR UPDATE OF c SKIP LOCKED
            ), waiting AS (
                UPDATE turnpike.turns t SET deferred_for = l.reason
                FROM held h JOIN looked l ON l.id = h.id AND l.begins
                WHERE t.turn = l.turn AND t.state = 'queued'
            ), moved AS (
                UPDATE turnpike.conversations c
                SET absent_ms = l.counted, absent_at = now(), last_event = c.last_event + l.begins::integer
                FROM held h JOIN looked l ON l.id = h.id WHERE c.id = h.id
                RETURNING c.id, c.last_event
            ), logged AS (
                INSERT INTO turnpike.events (conversation_id, seq, turn, type, data)
                SELECT m.id, m.last_event, l.turn, l.type,
                    (l.data::jsonb || jsonb_build_object('deadline',
                        \(unescaped: SQLTime.text("(now() + l.grace * interval '1 second')"))))::json
                FROM moved m JOIN looked l ON l.id = m.id AND l.begins
                RETURNING conversation_id
            )
            SELECT conversation_id FROM logged
            """
        ).map { ConversationNumber(try $0.get("conversation_id")) }
    }

    /// Takes a conversation from an account that has been absent for too long: it is claimed as one without an owner,
    /// from its snapshot, and its log says so. False when it is somebody's by now.
    package func migrate(_ number: ConversationNumber, turn: TurnID, from account: AccountID) async throws -> Bool {
        let event = TurnEvent.accountMigrated(from: account)
        return try await !self.pool.query(
            """
            WITH moved AS (
                UPDATE turnpike.conversations c
                SET owner_account = NULL, absent_ms = 0, absent_at = NULL, ready_at = now(),
                    last_event = c.last_event + 1
                WHERE c.id = \(number.value)::bigint AND c.owner_account = \(account.text)::uuid
                    AND c.owner_nonce IS NULL AND c.parked IS NULL AND c.queued > 0
                RETURNING c.id, c.last_event
            ), logged AS (
                INSERT INTO turnpike.events (conversation_id, seq, turn, type, data)
                SELECT moved.id, moved.last_event, \(turn.text)::uuid, \(event.type)::text,
                    \(try StoredJSON.text(event.data))::json
                FROM moved
            )
            SELECT id FROM moved
            """
        ).isEmpty
    }
}
