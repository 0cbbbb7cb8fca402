-- Remote workers: programs outside the gateway that act as an account, claim turns and answer for them.

-- A token with an account enrols workers that act as it, and opens nothing else.
ALTER TABLE turnpike.tokens
    ADD COLUMN account uuid,
    ADD CONSTRAINT tokens_account CHECK (account IS NULL OR scopes = '{}');

-- Until when workers that act as the account count as present; moved by all they ask.
ALTER TABLE turnpike.accounts ADD COLUMN remote_until timestamptz;

ALTER TABLE turnpike.agents
    ADD COLUMN is_remote boolean GENERATED ALWAYS AS (coalesce(configuration ->> 'driver' = 'remote', false)) STORED;

-- Accounts that had no capacity for the conversation's next turn, and until when they are passed over for that.
ALTER TABLE turnpike.conversations
    ADD COLUMN excluded uuid[] NOT NULL DEFAULT '{}',
    ADD COLUMN excluded_until timestamptz;

-- How often the turn went to another account because of that.
ALTER TABLE turnpike.turns ADD COLUMN reroutes integer NOT NULL DEFAULT 0 CHECK (reroutes >= 0);

-- Where no agent needs an account, looking for absent ones costs nothing.
CREATE INDEX agents_account ON turnpike.agents (org, agent) WHERE account_provider IS NOT NULL;

-- A term that a remote worker holds, for one turn. Its identity stands where a replica's would: the conversation is held
-- by it, under a fence like any other. No lock stands behind it, but a lease that the worker keeps alive.
CREATE TABLE turnpike.remote_runs (
    run uuid PRIMARY KEY,
    org turnpike.identifier NOT NULL,
    token uuid NOT NULL,
    account uuid NOT NULL,
    -- The worker's name for its claim: asked again, it gets the same run.
    claim_key text NOT NULL CHECK (length(claim_key) BETWEEN 1 AND 200),
    conversation_id bigint NOT NULL REFERENCES turnpike.conversations ON DELETE CASCADE,
    deployment uuid NOT NULL,
    -- Null when the queue had emptied before the term began.
    turn uuid REFERENCES turnpike.turns ON DELETE CASCADE,
    attempt integer NOT NULL DEFAULT 0,
    epoch bigint NOT NULL,
    owner_nonce uuid NOT NULL,
    lease_seconds integer NOT NULL CHECK (lease_seconds > 0),
    lease_until timestamptz NOT NULL,
    -- The last batch of events that was written.
    batch bigint NOT NULL DEFAULT 0,
    began_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    UNIQUE (token, claim_key)
);

CALL turnpike.wall_off('turnpike.remote_runs');

CREATE INDEX remote_runs_live ON turnpike.remote_runs (lease_until) WHERE ended_at IS NULL;
CREATE INDEX remote_runs_ended ON turnpike.remote_runs (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX remote_runs_turn ON turnpike.remote_runs (turn);
CREATE INDEX remote_runs_conversation ON turnpike.remote_runs (conversation_id);
