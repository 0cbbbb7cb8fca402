package import Domain
import Postgres

/// What became of a registration.
package enum AccountRegistration: Sendable, Hashable {
    /// There was no such account before.
    case made(AccountRecord)
    /// It was there; a label, a pool or slots that were given are in force.
    case known(AccountRecord)
    /// The label is another account's; nothing was written.
    case labelTaken
}

// Accounts as their organization sees them.
extension TenantStore {
    private static func accounts() -> String {
        """
        SELECT a.account, a.org, a.provider, a.principal, a.pool, a.slots,
            (SELECT coalesce(json_agg(l.label ORDER BY l.label), '[]') FROM turnpike.account_labels l
             WHERE l.account = a.account) AS labels,
            (SELECT count(*) FROM turnpike.conversations c
             WHERE c.acting_account = a.account AND c.owner_nonce IS NOT NULL) AS held,
            (SELECT coalesce(json_agg(json_build_object('replica', h.replica, 'slots', h.slots) ORDER BY h.replica), '[]')
             FROM turnpike.account_hosts h JOIN turnpike.replicas r ON r.replica = h.replica AND NOT r.draining
             WHERE h.account = a.account) AS hosts,
            \(SQLTime.text("a.created_at")) AS created_at
        FROM turnpike.accounts a
        """
    }

    private static func account(_ row: Row) throws -> AccountRecord {
        AccountRecord(
            id: try row.id("account"),
            identity: AccountIdentity(
                org: try OrganizationID(row.get("org")),
                provider: try ProviderID(row.get("provider")),
                principal: try row.get("principal")
            ),
            pool: try PoolID(row.get("pool")),
            labels: try StoredJSON.value(row.get("labels")),
            slots: try row.get("slots"),
            held: try row.get("held"),
            hosts: try row.get("hosts"),
            createdAt: try row.get("created_at")
        )
    }

    /// All accounts, by provider and principal.
    package func accounts() async throws -> [AccountRecord] {
        try await self.pool.query(
            """
            \(unescaped: Self.accounts()) WHERE a.org = \(self.org.text)::text ORDER BY a.provider, a.principal
            """
        ).map(Self.account)
    }

    /// One account.
    package func account(_ id: AccountID) async throws -> AccountRecord? {
        try await self.pool.query(
            "\(unescaped: Self.accounts()) WHERE a.org = \(self.org.text)::text AND a.account = \(id.text)::uuid"
        ).first.map(Self.account)
    }

    /// Registers an account, or finds it: the identity alone makes it one. A label that is another account's refuses the
    /// whole registration. `pool` and `slots` change what is stored only when they are given.
    package func register(
        provider: ProviderID,
        principal: String,
        label: String?,
        pool: PoolID?,
        slots: Int?
    ) async throws -> AccountRegistration {
        let statement = try self.registration(provider, principal, label: label, pool: pool, slots: slots)
        let rows: [Row]
        do {
            rows = try await self.pool.query(statement)
        } catch let error as PostgresError where error.isUniqueViolation(of: "account_labels_pkey") {
            // Somebody else gave the label away at the same moment; now it can be seen to whom.
            rows = try await self.pool.query(statement)
        }
        guard let row = rows.first else { return .labelTaken }
        guard let record = try await self.account(row.id("account")) else {
            throw PostgresError(.decoding, "the account that was registered is not there")
        }
        return try row.get("is_new") ? .made(record) : .known(record)
    }

    private func registration(
        _ provider: ProviderID,
        _ principal: String,
        label: String?,
        pool: PoolID?,
        slots: Int?
    ) throws -> Query {
        var details: [String: JSONValue] = ["provider": .string(provider.text), "principal": .string(principal)]
        if let label { details["label"] = .string(label) }
        let entry = try self.entry(.accountRegister, "", details)
        return """
            WITH identity AS (
                SELECT turnpike.account_id(\(self.org.text)::text, \(provider.text)::text, \(principal)::text) AS account
            ), wanted AS MATERIALIZED (
                -- One after the other: an account has two unique keys, and ON CONFLICT looks at one of them.
                SELECT \(label)::text AS label, account, pg_advisory_xact_lock(1903522914, hashtext(account::text))
                FROM identity
            ), made AS (
                INSERT INTO turnpike.accounts AS a (account, org, provider, principal, pool, slots)
                SELECT w.account, \(self.org.text)::text, \(provider.text)::text, \(principal)::text,
                    coalesce(\(pool?.text)::text, 'default'), \(slots)::integer
                FROM wanted w
                WHERE NOT EXISTS (
                    SELECT FROM turnpike.account_labels l
                    WHERE l.org = \(self.org.text)::text AND l.label = w.label AND l.account <> w.account)
                ON CONFLICT (account) DO UPDATE
                SET pool = coalesce(\(pool?.text)::text, a.pool), slots = coalesce(\(slots)::integer, a.slots)
                RETURNING a.account, a.pool, a.slots, a.xmax = 0 AS is_new
            ), labelled AS (
                INSERT INTO turnpike.account_labels (org, label, account)
                SELECT \(self.org.text)::text, w.label, made.account FROM made, wanted w
                WHERE w.label IS NOT NULL AND NOT EXISTS (
                    SELECT FROM turnpike.account_labels l
                    WHERE l.org = \(self.org.text)::text AND l.label = w.label AND l.account = made.account)
                RETURNING account
            ), changed AS (
                -- Beside what was there before this statement.
                SELECT m.account FROM made m LEFT JOIN turnpike.accounts o ON o.account = m.account
                WHERE o.account IS NULL OR o.pool <> m.pool OR o.slots IS DISTINCT FROM m.slots
                UNION SELECT account FROM labelled
            ), \(auditing: entry, of: "changed", subject: "account::text")
            SELECT account, is_new FROM made
            """
    }

    /// Removes an account; its labels are free again, and the tokens that enrol its workers are revoked: it may come back
    /// as the same account. Conversations that it owns stay its own. Returns whether there was one.
    package func deleteAccount(_ id: AccountID) async throws -> Bool {
        try await !self.pool.query(
            """
            WITH deleted AS (
                DELETE FROM turnpike.accounts WHERE org = \(self.org.text)::text AND account = \(id.text)::uuid
                RETURNING account
            ), revoked AS (
                UPDATE turnpike.tokens t SET revoked_at = now() FROM deleted d
                WHERE t.org = \(self.org.text)::text AND t.account = d.account AND t.revoked_at IS NULL
            ), \(auditing: try self.entry(.accountDelete, id.text), of: "deleted")
            SELECT account FROM deleted
            """
        ).isEmpty
    }

    /// Takes a label from an account. Returns whether it had it.
    package func deleteLabel(_ label: String, of id: AccountID) async throws -> Bool {
        try await !self.pool.query(
            """
            WITH deleted AS (
                DELETE FROM turnpike.account_labels
                WHERE org = \(self.org.text)::text AND label = \(label)::text AND account = \(id.text)::uuid
                RETURNING label
            ), \(auditing: try self.entry(.labelDelete, id.text, ["label": .string(label)]), of: "deleted")
            SELECT label FROM deleted
            """
        ).isEmpty
    }
}
