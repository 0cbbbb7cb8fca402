-- Standing rules for questions, and turns that wait for people without a worker.

CREATE TABLE turnpike.approval_rules (
    rule uuid PRIMARY KEY,
    org turnpike.identifier NOT NULL,
    -- Null for every agent of the organization.
    agent turnpike.identifier,
    -- The tool's name, in which * stands for any text.
    tool text NOT NULL CHECK (length(tool) BETWEEN 1 AND 1000),
    -- What the arguments must have; null for any.
    arguments json,
    -- Of a rule that a decision made: it is about the very same question (approvals.arguments_hash) and no other.
    arguments_hash bytea CHECK (octet_length(arguments_hash) = 32),
    -- Whoever cannot read it asks people.
    effect text NOT NULL CHECK (effect IN ('allow', 'deny', 'ask')),
    -- The token that made it.
    created_by text,
    reason text CHECK (length(reason) BETWEEN 1 AND 1000),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX approval_rules_org ON turnpike.approval_rules (org, rule);
-- The latest decision for always is the one that holds.
CREATE UNIQUE INDEX approval_rules_exact ON turnpike.approval_rules (org, agent, arguments_hash)
    WHERE arguments_hash IS NOT NULL;

-- The rule that decided, kept when the rule is gone; it was a person's decision when it is null.
ALTER TABLE turnpike.approvals ADD COLUMN rule uuid;

-- The turn that waits for people without a worker; it is the first of the queue, and nobody claims the conversation.
ALTER TABLE turnpike.conversations ADD COLUMN parked uuid;
ALTER TABLE turnpike.conversations ADD CHECK (parked IS NULL OR running IS NULL);
CREATE INDEX conversations_parked ON turnpike.conversations (id) WHERE parked IS NOT NULL;

-- What a worker that goes on with a parked turn is given. A row stays until the turn has its outcome, so that a second
-- run can go on from there, too.
CREATE TABLE turnpike.parks (
    turn uuid PRIMARY KEY REFERENCES turnpike.turns ON DELETE CASCADE,
    conversation_id bigint NOT NULL REFERENCES turnpike.conversations ON DELETE CASCADE,
    continuation bytea NOT NULL,
    -- The reply so far.
    said text NOT NULL,
    parked_at timestamptz NOT NULL DEFAULT now(),
    -- Runs in a row that went on at once, since nobody had to be asked.
    rounds integer NOT NULL DEFAULT 0
);

ALTER TABLE turnpike.parks ALTER COLUMN continuation SET STORAGE EXTERNAL;

-- The calls of tools that parked turns wait for, and how far each got: written ahead of the call, since what it did
-- cannot be undone.
CREATE TABLE turnpike.calls (
    turn uuid NOT NULL REFERENCES turnpike.turns ON DELETE CASCADE,
    -- The worker's name for it.
    call text NOT NULL CHECK (length(call) BETWEEN 1 AND 1000),
    approval uuid NOT NULL UNIQUE REFERENCES turnpike.approvals ON DELETE CASCADE,
    -- The worker says that a second call does no harm.
    idempotent boolean NOT NULL,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'started', 'done', 'unknown')),
    -- The term that started it.
    epoch bigint,
    result json,
    PRIMARY KEY (turn, call),
    CHECK ((state = 'pending') = (epoch IS NULL)),
    CHECK (result IS NULL OR state = 'done')
);
