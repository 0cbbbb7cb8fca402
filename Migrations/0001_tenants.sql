-- Organizations, their tokens and their agents.

CREATE SCHEMA IF NOT EXISTS turnpike;

-- Names are compared as bytes; the same alphabet is checked at the edge.
CREATE DOMAIN turnpike.identifier AS text COLLATE "C" CHECK (VALUE ~ '^[A-Za-z0-9._:-]{1,128}$');

CREATE TABLE turnpike.organizations (
    org turnpike.identifier PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE turnpike.tokens (
    token uuid PRIMARY KEY,
    org turnpike.identifier NOT NULL REFERENCES turnpike.organizations,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    -- SHA-256 of the secret; the secret itself is shown once and stored nowhere.
    hash bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
    scopes text[] NOT NULL CHECK (scopes <@ ARRAY['turns', 'agents', 'admin', 'operator']),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz
);

CREATE INDEX tokens_org ON turnpike.tokens (org, created_at);

CREATE TABLE turnpike.agents (
    org turnpike.identifier NOT NULL REFERENCES turnpike.organizations,
    agent turnpike.identifier NOT NULL,
    configuration jsonb NOT NULL,
    -- Counts changes; workers of an older version are replaced between turns.
    version bigint NOT NULL DEFAULT 1 CHECK (version > 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org, agent)
);

-- The organization whose agents serve turns that name none.
INSERT INTO turnpike.organizations (org) VALUES ('default');
