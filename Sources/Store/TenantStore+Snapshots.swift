package import Domain
import Postgres

// The chains of snapshots as their owners see them: read, forked, pruned. Written only by settlements.
extension TenantStore {
    /// The links of a conversation's chain after the turn `after`, oldest first, at most `limit`.
    package func snapshots(
        _ agent: AgentID,
        _ id: ConversationID,
        after: Int64,
        limit: Int
    ) async throws -> [SnapshotRecord] {
        try await self.pool.query(
            """
            SELECT s.seq, s.parent, s.kind, s.format, octet_length(s.body)::bigint AS bytes,
                encode(s.sha256, 'hex') AS sha256, \(unescaped: SQLTime.text("s.at")) AS at
            FROM turnpike.snapshots s JOIN turnpike.conversations c ON c.id = s.conversation_id
            WHERE c.org = \(self.org.text)::text AND c.agent = \(agent.text)::text
                AND c.conversation = \(id.text)::text AND c.deleted_at IS NULL AND s.seq > \(after)::bigint
            ORDER BY s.seq LIMIT \(limit)::integer
            """
        ).map { row in
            SnapshotRecord(
                seq: try row.get("seq"),
                parent: try row.get("parent"),
                kind: try row.get("kind", as: String.self) == "base" ? .base : .delta,
                format: try row.get("format", as: String.self) == "directory" ? .directory : .blob,
                bytes: try row.get("bytes"),
                sha256: try row.get("sha256"),
                at: try row.get("at")
            )
        }
    }

    /// The body of one link; nil when there is none.
    package func snapshotBody(_ agent: AgentID, _ id: ConversationID, seq: Int64) async throws -> [UInt8]? {
        try await self.pool.query(
            """
            SELECT s.body FROM turnpike.snapshots s JOIN turnpike.conversations c ON c.id = s.conversation_id
            WHERE c.org = \(self.org.text)::text AND c.agent = \(agent.text)::text
                AND c.conversation = \(id.text)::text AND c.deleted_at IS NULL AND s.seq = \(seq)::bigint
            """
        ).first.map { try $0.get("body") }
    }

    /// Removes the links that neither the newest `keepTurns` turns nor the base that they stand on need.
    package func pruneSnapshots(
        _ agent: AgentID,
        _ id: ConversationID,
        keepTurns: Int64
    ) async throws -> PrunedSnapshots {
        let rows = try await self.pool.query(
            """
            WITH kept AS (
                SELECT b.conversation_id, max(b.seq) AS seq
                FROM turnpike.snapshots b JOIN turnpike.conversations c ON c.id = b.conversation_id
                WHERE c.org = \(self.org.text)::text AND c.agent = \(agent.text)::text
                    AND c.conversation = \(id.text)::text AND c.deleted_at IS NULL
                    AND b.kind = 'base' AND b.seq <= c.head - \(keepTurns)::bigint
                GROUP BY b.conversation_id
            ), pruned AS (
                DELETE FROM turnpike.snapshots s USING kept k
                WHERE s.conversation_id = k.conversation_id AND s.seq < k.seq
                RETURNING octet_length(s.body)::bigint AS bytes
            ), gone AS (
                SELECT count(*) FROM pruned HAVING count(*) > 0
            ), \(auditing: try self.entry(.snapshotsPrune, "\(agent)/\(id)", ["keep_turns": .integer(keepTurns)]), of: "gone")
            SELECT count(*)::integer AS links, coalesce(sum(bytes), 0)::bigint AS bytes FROM pruned
            """
        )
        guard let row = rows.first else { throw PostgresError(.decoding, "pruning gave no count") }
        return PrunedSnapshots(links: try row.get("links"), bytes: try row.get("bytes"))
    }

    /// Makes the conversation `target` of the same agent with the state that the turn `seq` of `id` left: a copy of the
    /// chain from its base on. Its next turn has the number after `seq`, and its log begins empty.
    package func fork(
        _ agent: AgentID,
        _ id: ConversationID,
        from seq: Int64?,
        to target: ConversationID
    ) async throws -> Fork {
        let results = try await self.pool.pipeline([
            try self.forkStatement(agent, id, from: seq, to: target), self.copyStatement(agent, to: target),
        ])
        guard let row = results[0].first else { throw PostgresError(.decoding, "forking gave no verdict") }
        guard try row.get("found") else { return .unknown }
        if try row.get("deleted") { return .deleted }
        if try row.get("made") { return .made }
        guard try row.get("sound") else { return .noSnapshot }
        return try row.get("buried") ? .takenByDeleted : .taken
    }

    /// The row goes on with its origin's epoch, as if it had been held before: a spare worker's workspace is not for it,
    /// because something has to be restored first, and an agent's session that is restored is of an earlier term.
    private func forkStatement(
        _ agent: AgentID,
        _ id: ConversationID,
        from seq: Int64?,
        to target: ConversationID
    ) throws -> Query {
        """
        WITH source AS (
            SELECT c.id, c.epoch, c.owner_account, coalesce(\(seq)::bigint, c.head) AS seq, c.deleted_at IS NOT NULL AS deleted
            FROM turnpike.conversations c
            WHERE c.org = \(self.org.text)::text AND c.agent = \(agent.text)::text AND c.conversation = \(id.text)::text
        ), links AS (
            SELECT l.conversation_id, l.seq, l.parent, l.kind FROM source s
            JOIN turnpike.snapshots l ON l.conversation_id = s.id AND l.seq <= s.seq AND l.seq >= (
                SELECT max(b.seq) FROM turnpike.snapshots b
                WHERE b.conversation_id = s.id AND b.kind = 'base' AND b.seq <= s.seq)
            FOR KEY SHARE OF l
        ), sound AS (
            SELECT s.id, s.epoch, s.seq, s.owner_account FROM source s
            WHERE NOT s.deleted AND EXISTS (SELECT FROM links l WHERE l.seq = s.seq) AND NOT EXISTS (
                SELECT FROM links l
                WHERE l.kind = 'delta' AND NOT EXISTS (SELECT FROM links p WHERE p.seq = l.parent))
        ), made AS (
            INSERT INTO turnpike.conversations
                (org, agent, conversation, epoch, head, last_turn, origin, origin_seq, owner_account)
            SELECT \(self.org.text)::text, \(agent.text)::text, \(target.text)::text, s.epoch + 1, s.seq, s.seq, s.id,
                s.seq, s.owner_account
            FROM sound s
            ON CONFLICT (org, agent, conversation) DO NOTHING
            RETURNING id
        ), \(auditing: try self.entry(.conversationFork, "\(agent)/\(id)", ["conversation": .string(target.text)]), of: "made")
        SELECT EXISTS (SELECT FROM source) AS found, coalesce((SELECT deleted FROM source), false) AS deleted,
            EXISTS (SELECT FROM sound) AS sound, EXISTS (SELECT FROM made) AS made,
            EXISTS (SELECT FROM turnpike.conversations t
                    WHERE t.org = \(self.org.text)::text AND t.agent = \(agent.text)::text
                        AND t.conversation = \(target.text)::text AND t.deleted_at IS NOT NULL) AS buried
        """
    }

    /// Copies the links to the conversation that the statement before it in the pipeline has made, and locked them for.
    /// In a statement of its own, since a wall lets in only what belongs to a conversation that is there already.
    private func copyStatement(_ agent: AgentID, to target: ConversationID) -> Query {
        """
        INSERT INTO turnpike.snapshots (conversation_id, seq, parent, kind, format, body, sha256, epoch, owner_nonce, at)
        SELECT t.id, s.seq, s.parent, s.kind, s.format, s.body, s.sha256, s.epoch, s.owner_nonce, s.at
        FROM turnpike.conversations t JOIN turnpike.snapshots s ON s.conversation_id = t.origin AND s.seq <= t.origin_seq
            AND s.seq >= (SELECT max(b.seq) FROM turnpike.snapshots b
                WHERE b.conversation_id = t.origin AND b.kind = 'base' AND b.seq <= t.origin_seq)
        WHERE t.org = \(self.org.text)::text AND t.agent = \(agent.text)::text AND t.conversation = \(target.text)::text
            AND t.created_at = now() AND t.last_event = 0
            AND NOT EXISTS (SELECT FROM turnpike.snapshots x WHERE x.conversation_id = t.id)
        """
    }
}
