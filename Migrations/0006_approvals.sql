-- Questions that a worker asks before it does something, and who decided them how.

CREATE TABLE turnpike.approvals (
    approval uuid PRIMARY KEY,
    org turnpike.identifier NOT NULL,
    conversation_id bigint NOT NULL REFERENCES turnpike.conversations ON DELETE CASCADE,
    turn uuid NOT NULL REFERENCES turnpike.turns ON DELETE CASCADE,
    -- The run of the turn that asked last: a later run that asks the same takes the question over, once.
    attempt integer NOT NULL CHECK (attempt > 0),
    -- What the worker says, kept as its text: jsonb could not hold every string that JSON can.
    tool json NOT NULL,
    arguments json,
    -- SHA-256 over the tool's name and the arguments: what makes two questions the same.
    arguments_hash bytea NOT NULL CHECK (octet_length(arguments_hash) = 32),
    options json NOT NULL CHECK (json_typeof(options) = 'array'),
    -- Who reads it must look at the turn as well: the open question of a turn that has ended counts as withdrawn.
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'decided', 'expired')),
    -- The chosen option's id.
    decision text CHECK (length(decision) BETWEEN 1 AND 1000),
    -- The token that decided.
    decided_by text,
    reason text CHECK (length(reason) BETWEEN 1 AND 1000),
    asked_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    decided_at timestamptz,
    CHECK (expires_at > asked_at),
    CHECK ((state = 'pending') = (decided_at IS NULL)),
    CHECK ((state = 'decided') = (decision IS NOT NULL)),
    CHECK (decided_by IS NULL OR state = 'decided'),
    CHECK (reason IS NULL OR state = 'decided')
);

-- Identities are in the order of time, so lists page by them.
CREATE INDEX approvals_org ON turnpike.approvals (org, approval);
CREATE INDEX approvals_pending ON turnpike.approvals (org, approval) WHERE state = 'pending';
CREATE INDEX approvals_turn ON turnpike.approvals (turn, asked_at);
CREATE INDEX approvals_conversation ON turnpike.approvals (conversation_id);
