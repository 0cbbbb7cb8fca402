-- Who is there: replicas, and where each conversation's worker was placed.

CREATE TABLE turnpike.replicas (
    replica uuid PRIMARY KEY,
    -- A name for people: host and process.
    label text NOT NULL,
    version text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now(),
    draining boolean NOT NULL DEFAULT false,
    workers integer NOT NULL DEFAULT 0
);

CREATE TABLE turnpike.deployments (
    deployment uuid PRIMARY KEY,
    conversation_id bigint NOT NULL REFERENCES turnpike.conversations ON DELETE CASCADE,
    replica uuid NOT NULL,
    epoch bigint NOT NULL,
    pid integer,
    started_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    -- How it ended, for people.
    ending text
);

CREATE INDEX deployments_conversation ON turnpike.deployments (conversation_id, started_at);
CREATE INDEX deployments_live ON turnpike.deployments (replica) WHERE ended_at IS NULL;
