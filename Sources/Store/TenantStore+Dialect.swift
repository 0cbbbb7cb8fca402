package import Domain
import Postgres

extension Store {
    /// Writes what a dialect has to know again, if the statement before it in the pipeline has accepted the turn. Whether
    /// it has or not, turns that ended before are no longer found by the fingerprint: another request like theirs has come,
    /// and its next try must not take their reply for its own.
    static func write(_ note: DialectNote, of submission: TurnSubmission) throws -> Query {
        """
        WITH outdated AS (
            UPDATE turnpike.openai_turns o SET fingerprint = NULL FROM turnpike.turns t
            WHERE o.org = \(submission.org?.text)::text AND o.fingerprint = \(note.fingerprint)::bytea
                AND o.turn <> \(submission.id.text)::uuid AND t.turn = o.turn AND t.ended_at IS NOT NULL
        ), noted AS (
            INSERT INTO turnpike.openai_turns (turn, org, fingerprint, response)
            SELECT t.turn, t.org, \(note.fingerprint)::bytea, \(note.response)::json FROM turnpike.turns t
            WHERE t.turn = \(submission.id.text)::uuid
            RETURNING org
        )
        UPDATE turnpike.threads h
        SET agent = \(submission.agent.text)::text, taken = greatest(h.taken, \(note.taken)::integer)
        FROM noted WHERE h.org = noted.org AND h.thread = \(note.thread?.text)::text
        """
    }
}

extension TenantStore {
    /// The turn of the newest request with this fingerprint that is not older than `age`.
    package func turn(of fingerprint: [UInt8], within age: Duration) async throws -> TurnID? {
        try await self.pool.query(
            """
            SELECT turn FROM turnpike.openai_turns
            WHERE org = \(self.org.text)::text AND fingerprint = \(fingerprint)::bytea
                AND made_at > now() - \(age.milliseconds)::bigint * interval '1 millisecond'
            ORDER BY made_at DESC LIMIT 1
            """
        ).first?.id("turn")
    }

    /// What the response of a turn shows of its request; nil when the turn has no response.
    package func response(_ turn: TurnID) async throws -> String? {
        try await self.pool.query(
            """
            SELECT response FROM turnpike.openai_turns
            WHERE turn = \(turn.text)::uuid AND org = \(self.org.text)::text AND response IS NOT NULL
            """
        ).first?.get("response")
    }

    /// Takes a turn's response away; the turn stays. Returns whether there was one.
    package func deleteResponse(_ turn: TurnID) async throws -> Bool {
        try await !self.pool.query(
            """
            WITH deleted AS (
                UPDATE turnpike.openai_turns SET response = NULL
                WHERE turn = \(turn.text)::uuid AND org = \(self.org.text)::text AND response IS NOT NULL
                RETURNING turn
            ), \(auditing: try self.entry(.responseDelete, turn.text), of: "deleted")
            SELECT turn FROM deleted
            """
        ).isEmpty
    }

    // MARK: - Threads

    private static let columns = "thread, agent, metadata, items, taken, \(SQLTime.text("created_at")) AS created_at"

    /// Makes a thread. The name is fresh.
    package func createThread(
        _ id: ConversationID,
        metadata: String,
        items: [ThreadItem]
    ) async throws -> ThreadRecord {
        let rows = try await self.pool.query(
            """
            INSERT INTO turnpike.threads (org, thread, metadata, items)
            VALUES (\(self.org.text)::text, \(id.text)::text, \(metadata)::json, \(try StoredJSON.text(items))::jsonb)
            RETURNING \(unescaped: Self.columns)
            """
        )
        guard let row = rows.first else { throw PostgresError(.decoding, "no thread came back") }
        return try Self.thread(row)
    }

    /// One thread.
    package func thread(_ id: ConversationID) async throws -> ThreadRecord? {
        try await self.pool.query(
            """
            SELECT \(unescaped: Self.columns) FROM turnpike.threads
            WHERE org = \(self.org.text)::text AND thread = \(id.text)::text
            """
        ).first.map(Self.thread)
    }

    /// Replaces a thread's metadata, where some is given, and adds messages to its end. Nil when there is no such thread, or
    /// when it would have more than `limit` messages, or more than `bytes` of them.
    package func changeThread(
        _ id: ConversationID,
        metadata: String? = nil,
        adding items: [ThreadItem] = [],
        atMost limit: Int,
        bytes: Int
    ) async throws -> ThreadRecord? {
        let added = try StoredJSON.text(items)
        return try await self.pool.query(
            """
            UPDATE turnpike.threads
            SET metadata = coalesce(\(metadata)::json, metadata), items = items || \(added)::jsonb
            WHERE org = \(self.org.text)::text AND thread = \(id.text)::text AND (\(items.isEmpty)::boolean
                OR jsonb_array_length(items) + \(items.count)::integer <= \(limit)::integer
                    AND octet_length(items::text) + \(added.utf8.count)::integer <= \(bytes)::integer)
            RETURNING \(unescaped: Self.columns)
            """
        ).first.map(Self.thread)
    }

    /// Deletes a thread; its conversation, if it has begun, is not touched. Returns it as it was.
    package func deleteThread(_ id: ConversationID) async throws -> ThreadRecord? {
        try await self.pool.query(
            """
            WITH deleted AS (
                DELETE FROM turnpike.threads WHERE org = \(self.org.text)::text AND thread = \(id.text)::text
                RETURNING *
            ), \(auditing: try self.entry(.threadDelete, id.text), of: "deleted")
            SELECT \(unescaped: Self.columns) FROM deleted
            """
        ).first.map(Self.thread)
    }

    private static func thread(_ row: Row) throws -> ThreadRecord {
        ThreadRecord(
            id: try ConversationID(row.get("thread")),
            agent: try row.optionalName("agent"),
            metadata: try row.get("metadata"),
            items: try StoredJSON.value(row.get("items")),
            taken: try row.get("taken"),
            createdAt: try row.get("created_at")
        )
    }
}
