import Crypto
package import Domain
import Faults
import Postgres

/// A new term of holding a conversation.
package struct Term: Sendable, Hashable {
    /// What every write of the holder carries.
    package let fence: Fence
    /// The newest link of the snapshot chain at the moment the term began.
    package let head: Int64
    /// The directory that was given to the conversation by name; nil where its number names it.
    package let workspace: WorkspaceID?
    /// The turn that was handed over in the same transaction; nil when the queue had emptied.
    package let armed: ArmedTurn?
}

/// What the owner's poll found about a conversation it believes to hold.
package struct HeldState: Sendable, Hashable {
    /// The row by which the database knows the conversation.
    package let number: ConversationNumber
    /// The fence is still the conversation's.
    package let isHeld: Bool
    /// A turn waits and none is running.
    package let isWaiting: Bool
    /// The turn that is running, as the database knows it.
    package let running: TurnID?
    /// The running turn is to be cancelled.
    package let isCancelling: Bool
    /// It is a newer turn that asked for that.
    package let isInterrupted: Bool
}

extension Store {
    /// Begins a term: epoch and nonce first, then the deployment, then the hand-over of the oldest turn, in one
    /// transaction. Called once the lock is held, where a lock is needed. Nil when somebody owns the conversation or
    /// it was deleted. `workspace` becomes the conversation's if it has never been held before. `account` is who its worker
    /// acts as; nil too when that is not the account that owns the conversation, is another organization's, or has no
    /// slot left.
    package func beginTerm(
        _ number: ConversationNumber,
        nonce: Nonce,
        replica: ReplicaID,
        deployment: DeploymentID,
        workspace: WorkspaceID? = nil,
        account: AccountID? = nil,
        limits: AgentLimits
    ) async throws -> Term? {
        let statements = Self.beginning(
            number,
            nonce: nonce,
            replica: replica,
            deployment: deployment,
            workspace: workspace,
            account: account,
            limits: limits
        )
        let results = try await self.pool.pipeline(statements).suffix(3).map { $0 }
        try await Self.reach(.termCommitted)
        guard let row = results[0].first else { return nil }
        return Term(
            fence: Fence(conversation: number, epoch: try row.get("epoch"), nonce: nonce),
            head: try row.get("head"),
            workspace: try row.optionalID("workspace"),
            armed: try results[2].first.map(Self.armedTurn)
        )
    }

    /// The statements that begin a term: the last three give the term, nothing, and the turn that was handed over.
    static func beginning(
        _ number: ConversationNumber,
        nonce: Nonce,
        replica: ReplicaID,
        deployment: DeploymentID,
        workspace: WorkspaceID? = nil,
        account: AccountID? = nil,
        limits: AgentLimits
    ) -> [Query] {
        let handOver = HandOver(
            fence: Fence(conversation: number, epoch: 0, nonce: nonce),
            deployment: deployment,
            replica: replica,
            turnSeconds: limits.turnSeconds,
            progressSeconds: limits.progressSeconds + limits.startSeconds
        )
        // A statement of its own takes the lock, so that the next one counts every slot that was taken before it.
        let lock: [Query] =
            account.map {
                ["SELECT FROM turnpike.accounts WHERE account = \($0.text)::uuid FOR NO KEY UPDATE"]
            } ?? []
        return lock + [
            """
            UPDATE turnpike.conversations
            SET epoch = epoch + 1, owner_nonce = \(nonce.text)::uuid, owner_replica = \(replica.text)::uuid,
                ready_at = NULL, acting_account = \(account?.text)::uuid, absent_at = NULL,
                workspace = CASE WHEN epoch = 0 THEN \(workspace?.text)::uuid ELSE workspace END
            WHERE id = \(number.value)::bigint AND owner_nonce IS NULL AND deleted_at IS NULL
                AND coalesce(owner_account = \(account?.text)::uuid, true)
                AND (\(account?.text)::uuid IS NULL OR EXISTS (SELECT FROM turnpike.accounts a
                    WHERE a.account = \(account?.text)::uuid AND a.org = coalesce(conversations.org, 'default')
                        AND \(unescaped: Self.hasFreeSlot)))
            RETURNING epoch, head, workspace
            """,
            """
            INSERT INTO turnpike.deployments (deployment, conversation_id, replica, epoch)
            SELECT \(deployment.text)::uuid, id, owner_replica, epoch FROM turnpike.conversations
            WHERE id = \(number.value)::bigint AND owner_nonce = \(nonce.text)::uuid
            """,
            Self.arm(handOver, anyEpoch: true),
        ]
    }

    /// The term that `nonce` was given out for, with the turn that runs under it: what became of a `beginTerm` whose
    /// answer got lost. Nil when there is none, or no longer.
    package func term(_ number: ConversationNumber, nonce: Nonce) async throws -> Term? {
        let rows = try await self.pool.query(
            """
            SELECT epoch, head, workspace FROM turnpike.conversations
            WHERE id = \(number.value)::bigint AND owner_nonce = \(nonce.text)::uuid
            """
        )
        guard let row = rows.first else { return nil }
        let fence = Fence(conversation: number, epoch: try row.get("epoch"), nonce: nonce)
        return Term(
            fence: fence,
            head: try row.get("head"),
            workspace: try row.optionalID("workspace"),
            armed: try await self.runningTurn(fence)
        )
    }

    /// The newest base and the deltas after it. Read only after the term has begun, so that an old holder's last
    /// commit is either in it or refused. Throws `DamagedSnapshot` for a body that is not what was stored.
    package func hydrate(_ fence: Fence) async throws -> SnapshotChain {
        try await Self.reach(.hydrateBefore)
        let rows = try await self.pool.query(
            """
            SELECT seq, parent, kind, format, body, sha256 FROM turnpike.snapshots
            WHERE conversation_id = \(fence.conversation.value)::bigint AND seq >= (
                SELECT coalesce(max(seq), 0) FROM turnpike.snapshots
                WHERE conversation_id = \(fence.conversation.value)::bigint AND kind = 'base')
            ORDER BY seq
            """
        )
        try await Self.reach(.hydrated)
        return try SnapshotChain(
            (PlantedBug.hydrateBeforeBump.isPlanted ? rows.dropLast() : rows).map { row in
                let (body, digest): ([UInt8], [UInt8]) = (try row.get("body"), try row.get("sha256"))
                guard Digest.sha256(body) == digest else { throw DamagedSnapshot(seq: try row.get("seq")) }
                return Snapshot(
                    seq: try row.get("seq"),
                    parent: try row.get("parent"),
                    kind: try row.get("kind", as: String.self) == "base" ? .base : .delta,
                    format: try row.get("format", as: String.self) == "directory" ? .directory : .blob,
                    body: body
                )
            }
        )
    }

    /// Notes the process that serves a deployment.
    package func notePID(_ pid: Int32, of deployment: DeploymentID) async throws {
        _ = try await self.pool.query(
            """
            UPDATE turnpike.deployments SET pid = \(Int(pid))::integer
            WHERE deployment = \(deployment.text)::uuid AND ended_at IS NULL
            """
        )
    }

    /// Ends a term in which no turn is running: the conversation has no owner, and is ready if turns wait. Returns
    /// false when the fence is no longer the conversation's.
    package func release(_ fence: Fence, deployment: DeploymentID, ending: String) async throws -> Bool {
        let rows = try await self.pool.query(Self.releasing(fence, deployment: deployment, ending: ending))
        try await Self.reach(.releaseCommitted)
        return !rows.isEmpty
    }

    /// The same as a statement, to ride in the transaction that ends the last turn.
    static func releasing(_ fence: Fence, deployment: DeploymentID, ending: String) -> Query {
        """
        WITH released AS (
            UPDATE turnpike.conversations
            SET owner_nonce = NULL, owner_replica = NULL,
                ready_at = CASE WHEN queued > 0 AND parked IS NULL THEN now() END
            WHERE id = \(fence.conversation.value)::bigint AND epoch = \(fence.epoch)::bigint
                AND owner_nonce = \(fence.nonce.text)::uuid AND running IS NULL
            RETURNING id
        ), ended AS (
            UPDATE turnpike.deployments d SET ended_at = now(), ending = \(ending)::text
            WHERE d.deployment = \(deployment.text)::uuid AND d.ended_at IS NULL
        )
        SELECT id FROM released
        """
    }

    /// Looks at all conversations a replica believes to hold, in one statement, and returns those that need attention.
    /// This is the poll behind every hint an owner may miss. `idle` names those whose holder knows of no turn; one that
    /// is running all the same needs attention too.
    package func inspect(_ fences: [Fence], idle: Set<ConversationNumber> = []) async throws -> [HeldState] {
        let rows = try await self.pool.query(
            """
            SELECT h.id, s.held, s.waiting, c.running, s.cancelling,
                coalesce((SELECT t.interrupted FROM turnpike.turns t WHERE t.turn = c.running), false) AS interrupted
            FROM unnest(\(fences.map(\.conversation.value))::bigint[], \(fences.map(\.epoch))::bigint[],
                        \(fences.map(\.nonce.text))::uuid[],
                        \(fences.map { idle.contains($0.conversation) })::boolean[]) AS h (id, epoch, nonce, idle)
            LEFT JOIN turnpike.conversations c ON c.id = h.id
            CROSS JOIN LATERAL (
                SELECT coalesce(c.epoch = h.epoch AND c.owner_nonce = h.nonce, false) AS held,
                    coalesce(c.queued > 0 AND c.running IS NULL, false) AS waiting,
                    coalesce((SELECT t.cancel_requested_at IS NOT NULL FROM turnpike.turns t
                              WHERE t.turn = c.running), false) AS cancelling
            ) s
            WHERE NOT s.held OR s.waiting OR s.cancelling OR (h.idle AND c.running IS NOT NULL)
            """
        )
        return try rows.map { row in
            HeldState(
                number: ConversationNumber(try row.get("id")),
                isHeld: try row.get("held"),
                isWaiting: try row.get("waiting"),
                running: try row.optionalID("running"),
                isCancelling: try row.get("cancelling"),
                isInterrupted: try row.get("interrupted")
            )
        }
    }
}
