-- Bounds that hold wherever a turn runs: claims of remote workers are shared out, and what runs add up to is kept.

-- The agent whose turn a worker that acts as the account got last; the next claim begins after it.
ALTER TABLE turnpike.accounts ADD COLUMN remote_last turnpike.identifier;

CREATE INDEX remote_runs_account ON turnpike.remote_runs (account) WHERE ended_at IS NULL;

-- Bytes of text that the run has streamed.
ALTER TABLE turnpike.remote_runs ADD COLUMN output bigint NOT NULL DEFAULT 0;

-- For how long the turn had run when it parked last, all its runs up to there together; waiting for people does not count.
ALTER TABLE turnpike.parks ADD COLUMN ran interval NOT NULL DEFAULT '0';

-- What the turn's runs have used of its agent's leave to ask models; counted only where that is bounded.
ALTER TABLE turnpike.turns
    ADD COLUMN model_calls bigint NOT NULL DEFAULT 0,
    ADD COLUMN model_tokens bigint NOT NULL DEFAULT 0,
    ADD COLUMN model_bytes bigint NOT NULL DEFAULT 0;
