-- Turns, the debts they are (markers), and what became of them (outcomes, dead letters).

CREATE TABLE turnpike.turns (
    turn uuid PRIMARY KEY,
    conversation_id bigint NOT NULL REFERENCES turnpike.conversations ON DELETE CASCADE,
    org turnpike.identifier,
    seq bigint NOT NULL CHECK (seq > 0),
    -- The number of its first event: where a reader of this turn alone begins.
    first_event bigint NOT NULL CHECK (first_event > 0),
    -- Present when the turn may write the shared snapshot.
    run uuid,
    state text NOT NULL DEFAULT 'queued'
        CHECK (state IN ('queued', 'running', 'completed', 'failed', 'cancelled')),
    attempt integer NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    -- The client's own key: the same key and body are the same turn.
    client_key text CHECK (length(client_key) BETWEEN 1 AND 200),
    body_hash bytea,
    -- Content parts. Checked here because turns are also enqueued in SQL: what cannot be read would be found only after
    -- its marker is armed.
    input jsonb NOT NULL CHECK (jsonb_typeof(input) = 'array'),
    metadata jsonb,
    deadline_seconds integer CHECK (deadline_seconds BETWEEN 1 AND 86400),
    -- Since when the turn has been waiting for a lock, a place or a key; waiting spends no attempt.
    deferred_since timestamptz,
    deferred_for text,
    cancel_requested_at timestamptz,
    queued_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    ended_at timestamptz,
    UNIQUE (conversation_id, seq),
    CHECK ((ended_at IS NULL) = (state IN ('queued', 'running'))),
    CHECK (state <> 'running' OR attempt > 0)
) WITH (fillfactor = 80);

CREATE UNIQUE INDEX turns_client_key ON turnpike.turns (org, client_key) WHERE client_key IS NOT NULL;
CREATE INDEX turns_queued ON turnpike.turns (conversation_id, seq) WHERE state = 'queued';

-- A row is the debt to answer a turn that a worker was given. Discharged once, by DELETE ... RETURNING, in the
-- transaction that stores the outcome (or puts the turn back into the queue); nothing else deletes it.
CREATE TABLE turnpike.markers (
    turn uuid PRIMARY KEY REFERENCES turnpike.turns ON DELETE CASCADE,
    conversation_id bigint NOT NULL UNIQUE REFERENCES turnpike.conversations ON DELETE CASCADE,
    deployment uuid NOT NULL,
    replica uuid NOT NULL,
    epoch bigint NOT NULL,
    armed_at timestamptz NOT NULL DEFAULT now(),
    -- Moved by every sign of life. Not indexed: the table holds live turns only, and an index would make each sign of
    -- life cost more than the sweep that reads it.
    progress_deadline timestamptz NOT NULL,
    -- Never moved.
    hard_deadline timestamptz NOT NULL
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);

-- The primary key is the promise: a second outcome cannot be stored.
CREATE TABLE turnpike.outcomes (
    turn uuid PRIMARY KEY REFERENCES turnpike.turns ON DELETE CASCADE,
    state text NOT NULL CHECK (state IN ('completed', 'failed', 'cancelled')),
    code text,
    message text,
    -- The reply, or the part of it that had been streamed.
    reply text NOT NULL,
    stop_reason text,
    usage jsonb,
    -- The fence under which it was written; null when no holder was involved.
    epoch bigint,
    owner_nonce uuid,
    ended_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((state = 'failed') = (code IS NOT NULL))
);

-- Turns that ended without ever reaching a worker, or after their last allowed run: what an operator should look at.
CREATE TABLE turnpike.dead_letters (
    turn uuid PRIMARY KEY REFERENCES turnpike.turns ON DELETE CASCADE,
    org turnpike.identifier,
    code text NOT NULL,
    message text NOT NULL,
    attempts integer NOT NULL,
    died_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX dead_letters_recent ON turnpike.dead_letters (org, died_at);
