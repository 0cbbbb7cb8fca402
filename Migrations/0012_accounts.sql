-- Accounts: who a worker acts as, which replica can host whom, and which account owns a conversation.

-- An account is its identity: provider and principal within an organization. Its number is made of them, so one that was
-- removed and comes back is the same account, and its conversations are its own again.
CREATE FUNCTION turnpike.account_id(org text, provider text, principal text) RETURNS uuid
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN encode(substring(sha256(convert_to(
        octet_length(org) || ':' || org || octet_length(provider) || ':' || provider || principal, 'UTF8'))
        FROM 1 FOR 16), 'hex')::uuid;

CREATE TABLE turnpike.accounts (
    account uuid PRIMARY KEY,
    org turnpike.identifier NOT NULL REFERENCES turnpike.organizations,
    provider turnpike.identifier NOT NULL,
    principal text COLLATE "C" NOT NULL CHECK (length(principal) BETWEEN 1 AND 500),
    -- Which of a provider's accounts agents may mean without naming one.
    pool turnpike.identifier NOT NULL DEFAULT 'default',
    -- Conversations that may be held on it at once, on all replicas together; null for no bound.
    slots integer CHECK (slots BETWEEN 1 AND 100000),
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (org, provider, principal),
    CHECK (account = turnpike.account_id(org, provider, principal))
);

-- Names for people. The primary key is the promise that a label means one account.
CREATE TABLE turnpike.account_labels (
    org turnpike.identifier NOT NULL,
    label text COLLATE "C" NOT NULL CHECK (length(label) BETWEEN 1 AND 200),
    account uuid NOT NULL REFERENCES turnpike.accounts ON DELETE CASCADE,
    PRIMARY KEY (org, label)
);

CREATE INDEX account_labels_account ON turnpike.account_labels (account);

-- Which replica can host which account. The row goes with the replica's record, so the dead host nothing.
CREATE TABLE turnpike.account_hosts (
    account uuid NOT NULL REFERENCES turnpike.accounts ON DELETE CASCADE,
    replica uuid NOT NULL REFERENCES turnpike.replicas ON DELETE CASCADE,
    -- Conversations that the replica can hold on it at once.
    slots integer NOT NULL CHECK (slots BETWEEN 1 AND 100000),
    PRIMARY KEY (account, replica)
);

CREATE INDEX account_hosts_replica ON turnpike.account_hosts (replica);

-- What of an agent's configuration a claim is filtered by.
ALTER TABLE turnpike.agents
    ADD COLUMN account_provider text GENERATED ALWAYS AS (configuration #>> '{account,provider}') STORED,
    ADD COLUMN account_pool text GENERATED ALWAYS AS (configuration #>> '{account,pool}') STORED,
    ADD COLUMN account_label text GENERATED ALWAYS AS (configuration #>> '{account,label}') STORED;

ALTER TABLE turnpike.conversations
    -- The account that the conversation belongs to, set by its first completed turn. No foreign key: that the account
    -- was removed must not make the conversation anybody's.
    ADD COLUMN owner_account uuid,
    -- The account that the worker of the newest term acts as.
    ADD COLUMN acting_account uuid,
    -- For how long it has been seen, look after look, that nobody hosts the account, and when the last look was.
    ADD COLUMN absent_ms bigint NOT NULL DEFAULT 0 CHECK (absent_ms >= 0),
    ADD COLUMN absent_at timestamptz;

-- Who holds slots. A warm turn changes neither column.
CREATE INDEX conversations_acting ON turnpike.conversations (acting_account)
    WHERE acting_account IS NOT NULL AND owner_nonce IS NOT NULL;
