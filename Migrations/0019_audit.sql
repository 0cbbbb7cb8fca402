-- The audit log, and tokens that have two secrets while one replaces the other.

-- Who changed what: one row for each change that somebody may be asked about, written by the very transaction that made it.
-- Rows are added and read, and nothing else.
CREATE TABLE turnpike.audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Whose records were changed; null for those of the installation.
    org turnpike.identifier,
    at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL,
    action text NOT NULL,
    subject text NOT NULL,
    -- Never a secret.
    details json NOT NULL,
    -- The request that asked for it, by the id that its answer and its line in the log have.
    request text
);
CREATE INDEX audit_org ON turnpike.audit (org, id);
CALL turnpike.wall_off('turnpike.audit');
REVOKE UPDATE, DELETE, TRUNCATE ON turnpike.audit FROM turnpike_tenant, turnpike_gateway;

-- The secret before the newest, and until when it is good.
ALTER TABLE turnpike.tokens
    ADD COLUMN previous_hash bytea UNIQUE CHECK (octet_length(previous_hash) = 32),
    ADD COLUMN previous_until timestamptz,
    ADD CHECK ((previous_hash IS NULL) = (previous_until IS NULL));
