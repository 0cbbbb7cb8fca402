package import Domain
import Postgres

// What a worker outside the gateway gets when it asks for work.
extension Store {
    /// So many conversations of each agent are looked at for one claim: more than one, for those that others are claiming
    /// at this moment.
    private static let candidates = 8

    /// Notes that a worker which acts as this account is there, and claims a conversation of a remote agent for it. Only
    /// hides it for `hold`, as `claim` does.
    ///
    /// An account is one organization's, so there are only agents to be fair to: they take turns, within each the oldest
    /// first, and what an agent runs on the account has been its turns already. Whose turn it is is kept with the account,
    /// since its workers share no memory. A turn without an organization is one of `default`.
    package func claimRemote(_ worker: RemoteWorker, hold: Duration, presence: Duration) async throws -> Claim? {
        let results = try await self.pool.pipeline([
            Self.notePresence(worker.account, for: presence),
            """
            WITH claimants AS MATERIALIZED (
                SELECT n.org, n.agent, n.account_provider, n.account_pool, n.account_label,
                    coalesce(n.agent > a.remote_last, true) AS is_next,
                    (SELECT count(*) FROM turnpike.remote_runs r JOIN turnpike.conversations c ON c.id = r.conversation_id
                     WHERE r.account = a.account AND r.ended_at IS NULL AND c.agent = n.agent) AS places
                FROM turnpike.accounts a JOIN turnpike.agents n ON n.org = a.org AND n.is_remote
                WHERE a.account = \(worker.account.text)::uuid AND a.org = \(worker.org.text)::text
            ), ready AS (
                SELECT c.id, c.ready_at, n.agent, n.is_next,
                    n.places + row_number() OVER (PARTITION BY n.agent ORDER BY c.ready_at) AS place
                FROM claimants n CROSS JOIN LATERAL (
                    SELECT n.org::text AS org UNION ALL SELECT '' WHERE n.org = 'default'
                ) named CROSS JOIN LATERAL (
                    SELECT c.id, c.ready_at
                    FROM turnpike.conversations c JOIN turnpike.accounts a ON a.account = \(worker.account.text)::uuid
                    WHERE coalesce(c.org::text, '') = named.org AND c.agent = n.agent AND c.ready_at <= now()
                        AND c.parked IS NULL AND \(unescaped: Self.accountFits)
                    ORDER BY c.ready_at LIMIT \(Self.candidates)::integer
                ) c
            ), claimable AS (
                SELECT c.id FROM ready f JOIN turnpike.conversations c ON c.id = f.id
                WHERE c.parked IS NULL AND c.ready_at <= now()
                ORDER BY f.place, f.is_next DESC, f.agent, f.ready_at LIMIT 1 FOR UPDATE OF c SKIP LOCKED
            ), claimed AS (
                UPDATE turnpike.conversations c
                SET ready_at = now() + \(hold.milliseconds)::bigint * interval '1 millisecond'
                FROM claimable WHERE c.id = claimable.id
                RETURNING c.id, c.org, c.agent, c.conversation, c.owner_account
            ), noted AS (
                UPDATE turnpike.accounts a SET remote_last = claimed.agent FROM claimed
                WHERE a.account = \(worker.account.text)::uuid AND a.remote_last IS DISTINCT FROM claimed.agent
            )
            SELECT claimed.id, claimed.org, claimed.agent, claimed.conversation, claimed.owner_account, false AS is_new,
                NULL AS excluded, \(unescaped: Self.headColumns), n.configuration, n.version
            FROM claimed \(unescaped: Self.head)
            JOIN turnpike.agents n ON n.org = coalesce(claimed.org, 'default') AND n.agent = claimed.agent
            """,
        ])
        return try results[1].first.map(Self.claim)
    }
}
