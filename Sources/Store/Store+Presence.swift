package import Domain
import Postgres

extension Store {
    /// Records this replica or refreshes what the others see of it. Nothing is decided by the record's age: who is
    /// dead is told by the presence lock, which is taken before the record is made. Returns whether somebody has asked
    /// this replica to drain.
    @discardableResult
    package func beat(
        _ replica: ReplicaID,
        label: String,
        version: String,
        workers: Int,
        draining: Bool
    ) async throws -> Bool {
        let rows = try await self.pool.query(
            """
            INSERT INTO turnpike.replicas (replica, label, version, workers, draining)
            VALUES (\(replica.text)::uuid, \(label)::text, \(version)::text, \(workers)::integer,
                \(draining)::boolean)
            ON CONFLICT (replica) DO UPDATE
            SET seen_at = now(), workers = excluded.workers, draining = excluded.draining
            RETURNING drain_asked
            """
        )
        return try rows.first?.get("drain_asked") ?? false
    }

    /// Asks a replica to drain; false when there is no such replica. Asking again changes nothing.
    package func askToDrain(_ replica: ReplicaID, by actor: Actor = .gateway) async throws -> Bool {
        let rows = try await self.pool.query(
            """
            WITH asked AS (
                UPDATE turnpike.replicas SET drain_asked = true WHERE replica = \(replica.text)::uuid RETURNING 1
            ), \(auditing: try AuditEntry(.replicaDrain, replica.text, by: actor), of: "asked")
            SELECT FROM asked
            """
        )
        return !rows.isEmpty
    }

    /// Removes this replica's record at the end of a clean stop, when nothing is owned any more.
    package func unregister(_ replica: ReplicaID) async throws -> Bool {
        try await self.forget(replica)
    }

    /// The other replicas and the keys of their presence locks.
    ///
    /// Those that own a conversation without having a record are among them: a replica that died before its first
    /// beat, or that had been cleared and came back to die at once. The owners are found by hopping through the index.
    /// Runs of remote workers are not: what they hold has a lease.
    package func peers(of replica: ReplicaID) async throws -> [(replica: ReplicaID, presence: LockKey)] {
        try await self.pool.query(
            """
            WITH RECURSIVE owners (replica) AS (
                (SELECT owner_replica FROM turnpike.conversations WHERE owner_replica IS NOT NULL
                    ORDER BY owner_replica LIMIT 1)
                UNION ALL
                SELECT (SELECT c.owner_replica FROM turnpike.conversations c WHERE c.owner_replica > o.replica
                    ORDER BY c.owner_replica LIMIT 1)
                FROM owners o WHERE o.replica IS NOT NULL
            )
            SELECT p.replica, turnpike.presence_key(p.replica) AS presence
            FROM (SELECT replica FROM turnpike.replicas UNION SELECT replica FROM owners) p
            WHERE p.replica <> \(replica.text)::uuid
                AND NOT EXISTS (SELECT FROM turnpike.remote_runs w WHERE w.run = p.replica)
            """
        ).map { (replica: try $0.id("replica"), presence: LockKey(try $0.get("presence"))) }
    }

    /// The key of a replica's presence lock.
    package func presenceKey(_ replica: ReplicaID) async throws -> LockKey {
        let rows = try await self.pool.query("SELECT turnpike.presence_key(\(replica.text)::uuid) AS key")
        guard let row = rows.first else { throw PostgresError(.decoding, "no presence key") }
        return LockKey(try row.get("key"))
    }

    /// All replicas, for operators.
    package func replicas() async throws -> [ReplicaRecord] {
        try await self.pool.query(
            """
            SELECT r.replica, r.label, r.version, r.draining, r.workers,
                \(unescaped: SQLTime.text("r.started_at")) AS started_at,
                \(unescaped: SQLTime.text("r.seen_at")) AS seen_at,
                (SELECT count(*) FROM turnpike.conversations c WHERE c.owner_replica = r.replica) AS conversations
            FROM turnpike.replicas r ORDER BY r.started_at
            """
        ).map { row in
            ReplicaRecord(
                id: try row.id("replica"),
                label: try row.get("label"),
                version: try row.get("version"),
                startedAt: try row.get("started_at"),
                seenAt: try row.get("seen_at"),
                draining: try row.get("draining"),
                workers: try row.get("workers"),
                conversations: try row.get("conversations")
            )
        }
    }
}

/// Times as people and JSON read them.
enum SQLTime {
    /// An SQL expression that renders a timestamptz column as RFC 3339 in UTC with milliseconds.
    static func text(_ column: String) -> String {
        #"to_char(\#(column) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"#
    }
}
