package import Domain
import Postgres

/// Where events of a named conversation can be read.
package struct ConversationLog: Sendable, Hashable {
    /// The row by which the database knows the conversation.
    package let number: ConversationNumber
    /// The number of the newest event.
    package let lastEvent: Int64
    /// The replica that holds the conversation.
    package let owner: ReplicaID?
    /// Whether only the tombstone is left.
    package let isDeleted: Bool
}

extension TenantStore {
    private static func columns() -> String {
        """
        c.id, c.agent, c.conversation, c.head, c.last_turn, c.last_event, c.queued, c.running, c.owner_replica, c.epoch,
            c.backend,
            (SELECT d.pid FROM turnpike.deployments d WHERE d.conversation_id = c.id AND d.ended_at IS NULL
                AND d.replica = c.owner_replica ORDER BY d.started_at DESC LIMIT 1) AS pid,
            (SELECT o.conversation FROM turnpike.conversations o WHERE o.id = c.origin) AS origin, c.origin_seq,
            c.owner_account,
            \(SQLTime.text("c.created_at")) AS created_at, \(SQLTime.text("c.active_at")) AS active_at
        """
    }

    /// Conversations of an agent by name, after `after`, at most `limit`.
    package func conversations(agent: AgentID, after: String?, limit: Int) async throws -> [ConversationRecord] {
        try await self.pool.query(
            """
            SELECT \(unescaped: Self.columns()) FROM turnpike.conversations c
            WHERE c.org = \(self.org.text)::text AND c.agent = \(agent.text)::text AND c.conversation IS NOT NULL
                AND c.deleted_at IS NULL AND c.conversation > coalesce(\(after)::text, '')
            ORDER BY c.conversation LIMIT \(limit)::integer
            """
        ).map(Self.conversation)
    }

    /// One conversation; nil when there is none or it was deleted (see `log`).
    package func conversation(_ agent: AgentID, _ id: ConversationID) async throws -> ConversationRecord? {
        try await self.pool.query(
            """
            SELECT \(unescaped: Self.columns()) FROM turnpike.conversations c
            WHERE c.org = \(self.org.text)::text AND c.agent = \(agent.text)::text
                AND c.conversation = \(id.text)::text AND c.deleted_at IS NULL
            """
        ).first.map(Self.conversation)
    }

    private static func conversation(_ row: Row) throws -> ConversationRecord {
        ConversationRecord(
            number: ConversationNumber(try row.get("id")),
            agent: try row.get("agent"),
            conversation: try row.get("conversation"),
            head: try row.get("head"),
            lastTurn: try row.get("last_turn"),
            lastEvent: try row.get("last_event"),
            queued: try row.get("queued"),
            running: try row.optionalID("running"),
            ownerReplica: try row.optionalID("owner_replica"),
            epoch: try row.get("epoch"),
            workerPID: try row.get("pid"),
            createdAt: try row.get("created_at"),
            activeAt: try row.get("active_at"),
            origin: try Self.origin(row),
            account: try row.optionalID("owner_account"),
            backend: try row.get("backend")
        )
    }

    private static func origin(_ row: Row) throws -> ConversationOrigin? {
        guard let name = try row.get("origin", as: String?.self), let seq = try row.get("origin_seq", as: Int64?.self)
        else { return nil }
        return ConversationOrigin(conversation: name, seq: seq)
    }

    /// Where a conversation's events are; nil when there never was such a conversation.
    package func log(_ agent: AgentID, _ id: ConversationID) async throws -> ConversationLog? {
        try await self.pool.query(
            """
            SELECT id, last_event, owner_replica, deleted_at IS NOT NULL AS deleted FROM turnpike.conversations
            WHERE org = \(self.org.text)::text AND agent = \(agent.text)::text
                AND conversation = \(id.text)::text
            """
        ).first.map { row in
            ConversationLog(
                number: ConversationNumber(try row.get("id")),
                lastEvent: try row.get("last_event"),
                owner: try row.optionalID("owner_replica"),
                isDeleted: try row.get("deleted")
            )
        }
    }

    /// Whether a conversation of this organization was deleted, or never was one of its.
    package func isDeleted(_ number: ConversationNumber) async throws -> Bool {
        try await self.pool.query(
            """
            SELECT FROM turnpike.conversations
            WHERE id = \(number.value)::bigint AND org = \(self.org.text)::text AND deleted_at IS NULL
            """
        ).isEmpty
    }

    /// Events after `after`, oldest first, at most `limit`; only those of `turn` when one is named. Stops after the event
    /// with which their data comes to `bytes` or more, so that a reader holds one large event and not hundreds.
    package func events(
        _ number: ConversationNumber,
        after: Int64,
        turn: TurnID?,
        limit: Int,
        bytes: Int
    ) async throws -> [EventRecord] {
        try await self.pool.query(
            """
            SELECT seq, turn, type, data, at FROM (
                SELECT p.*, sum(p.size) OVER (ORDER BY p.seq) - p.size AS ahead FROM (
                    SELECT e.seq, e.turn, e.type, e.data, \(unescaped: SQLTime.text("e.at")) AS at,
                        octet_length(e.data::text) AS size
                    FROM turnpike.events e JOIN turnpike.conversations c ON c.id = e.conversation_id
                    WHERE e.conversation_id = \(number.value)::bigint AND c.org = \(self.org.text)::text
                        AND e.seq > greatest(\(after)::bigint, (
                            SELECT t.first_event - 1 FROM turnpike.turns t WHERE t.turn = \(turn?.text)::uuid))
                        AND e.turn = coalesce(\(turn?.text)::uuid, e.turn)
                    ORDER BY e.seq LIMIT \(limit)::integer
                ) p
            ) q
            WHERE ahead < \(Int64(bytes))::bigint ORDER BY seq
            """
        ).map { row in
            EventRecord(
                seq: try row.get("seq"),
                turn: try row.id("turn"),
                type: try row.get("type"),
                data: try row.get("data"),
                at: try row.get("at")
            )
        }
    }

    /// Deletes a conversation: its holder is fenced off, open turns are cancelled, its data is erased, and a tombstone
    /// stays so that the name is not reused. Returns the owner to be told; nil inside when there was none, nil outside
    /// when there was no such conversation.
    package func delete(_ agent: AgentID, _ id: ConversationID) async throws -> (ConversationNumber, ReplicaID?)? {
        // The lock in a statement of its own: one statement sees the data as of its beginning, so a turn whose intake
        // it has to wait for would be missed, and would never get an outcome.
        let results = try await self.pool.pipeline([
            """
            SELECT FROM turnpike.conversations
            WHERE org = \(self.org.text)::text AND agent = \(agent.text)::text AND conversation = \(id.text)::text
            FOR UPDATE
            """,
            """
            WITH held AS (
                SELECT c.id, c.owner_replica FROM turnpike.conversations c
                WHERE c.org = \(self.org.text)::text AND c.agent = \(agent.text)::text
                    AND c.conversation = \(id.text)::text AND c.deleted_at IS NULL
                FOR UPDATE
            ), discharged AS (
                DELETE FROM turnpike.markers m USING held WHERE m.conversation_id = held.id
            ), open AS (
                UPDATE turnpike.turns t
                SET state = CASE WHEN t.ended_at IS NULL THEN 'cancelled' ELSE t.state END,
                    ended_at = coalesce(t.ended_at, now()), input = '[]', metadata = NULL
                FROM held WHERE t.conversation_id = held.id
                RETURNING t.turn
            ), outcome AS (
                INSERT INTO turnpike.outcomes AS o (turn, state, reply) SELECT turn, 'cancelled', '' FROM open
                ON CONFLICT (turn) DO UPDATE SET reply = '', message = NULL, usage = NULL
            ), erased_notes AS (
                DELETE FROM turnpike.openai_turns n USING open WHERE n.turn = open.turn
            ), erased_events AS (
                DELETE FROM turnpike.events e USING held WHERE e.conversation_id = held.id
            ), erased_parks AS (
                DELETE FROM turnpike.parks p USING held WHERE p.conversation_id = held.id
            ), erased_approvals AS (
                DELETE FROM turnpike.approvals a USING held WHERE a.conversation_id = held.id
            ), erased_snapshots AS (
                DELETE FROM turnpike.snapshots s USING held WHERE s.conversation_id = held.id
            ), moved AS (
                UPDATE turnpike.conversations c
                SET deleted_at = now(), epoch = c.epoch + 1, owner_nonce = NULL, owner_replica = NULL,
                    running = NULL, parked = NULL, queued = 0, ready_at = NULL
                FROM held WHERE c.id = held.id
            ), \(auditing: try self.entry(.conversationDelete, "\(agent)/\(id)"), of: "held")
            SELECT id, owner_replica FROM held
            """,
        ])
        return try results[1].first.map {
            (ConversationNumber(try $0.get("id")), try $0.optionalID("owner_replica"))
        }
    }
}
