-- Conversations: the unit of mutual exclusion, the row that is claimed, and the row that every fence is compared with.

CREATE TABLE turnpike.conversations (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    org turnpike.identifier,
    agent turnpike.identifier NOT NULL,
    -- Null for the row in which a direct turn runs alone; such a row has no key, hence no lock and no snapshot.
    conversation turnpike.identifier,

    -- The fence, compared for equality by every write of the holder.
    epoch bigint NOT NULL DEFAULT 0 CHECK (epoch >= 0),
    owner_nonce uuid,
    owner_replica uuid,

    -- The turn whose snapshot is the newest of the chain; 0 before the first.
    head bigint NOT NULL DEFAULT 0 CHECK (head >= 0),
    -- Counters that number turns and events. Allocated under this row's lock, so numbers commit in order.
    last_turn bigint NOT NULL DEFAULT 0,
    last_event bigint NOT NULL DEFAULT 0,
    queued integer NOT NULL DEFAULT 0 CHECK (queued >= 0),
    -- The one turn that a worker has been given.
    running uuid,

    -- From when on any replica may claim the conversation; null while it is owned or has nothing to do.
    ready_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    active_at timestamptz NOT NULL DEFAULT now(),
    -- A tombstone: the name stays taken, its data is gone.
    deleted_at timestamptz,

    CHECK ((owner_nonce IS NULL) = (owner_replica IS NULL)),
    CHECK (running IS NULL OR owner_nonce IS NOT NULL),
    CHECK (ready_at IS NULL OR owner_nonce IS NULL),
    CHECK (head <= last_turn)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

-- The key. Rows without a name are all distinct.
CREATE UNIQUE INDEX conversations_key ON turnpike.conversations (org, agent, conversation);
-- What the dispatcher claims from. Neither this nor the next index holds a column that a warm turn changes, so the
-- updates of a warm turn stay within their page.
CREATE INDEX conversations_ready ON turnpike.conversations (ready_at) WHERE ready_at IS NOT NULL;
CREATE INDEX conversations_owned ON turnpike.conversations (owner_replica) WHERE owner_replica IS NOT NULL;

-- The advisory-lock key: 64 bits of a length-prefixed encoding, so that ('a', 'b:c') and ('a:b', 'c') differ.
-- A collision would only delay; the fence decides.
CREATE FUNCTION turnpike.lock_key(org text, agent text, conversation text) RETURNS bigint
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN hashtextextended(
        octet_length(org) || ':' || org || octet_length(agent) || ':' || agent
            || octet_length(conversation) || ':' || conversation,
        0);

-- The key of a replica's presence lock; another seed, so that it shares no key with a conversation by design.
CREATE FUNCTION turnpike.presence_key(replica uuid) RETURNS bigint
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN hashtextextended(replica::text, 1);

-- A conversation's log. Written only under the conversation's row lock, by its holder or by whoever ends a turn.
-- No foreign key: a batch of deltas would pay for one look-up an event, and deletion removes both sides.
CREATE TABLE turnpike.events (
    conversation_id bigint NOT NULL,
    seq bigint NOT NULL CHECK (seq > 0),
    turn uuid NOT NULL,
    type text NOT NULL,
    data json NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (conversation_id, seq)
);

-- The chain from which any replica can hydrate a worker. One child per parent: a fork cannot be stored.
CREATE TABLE turnpike.snapshots (
    conversation_id bigint NOT NULL REFERENCES turnpike.conversations ON DELETE CASCADE,
    seq bigint NOT NULL,
    parent bigint NOT NULL CHECK (parent >= 0 AND parent < seq),
    kind text NOT NULL CHECK (kind IN ('base', 'delta')),
    body bytea NOT NULL,
    sha256 bytea NOT NULL CHECK (octet_length(sha256) = 32),
    epoch bigint NOT NULL,
    owner_nonce uuid NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (conversation_id, seq),
    UNIQUE (conversation_id, parent),
    CHECK (kind = 'base' OR parent > 0)
);

-- Worker states are compressed or unreadable already.
ALTER TABLE turnpike.snapshots ALTER COLUMN body SET STORAGE EXTERNAL;
