-- What OpenAI's dialects have to know again beyond turns and conversations. Identities are not stored: a response's is
-- its turn's.

CREATE TABLE turnpike.openai_turns (
    turn uuid PRIMARY KEY REFERENCES turnpike.turns ON DELETE CASCADE,
    org turnpike.identifier NOT NULL,
    -- SHA-256 of a request that had no key of its own: by it a client's second try finds the turn of its first.
    fingerprint bytea CHECK (octet_length(fingerprint) = 32),
    -- What a response shows of its request; null for a chat completion, and once the response is deleted.
    response json,
    made_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX openai_turns_fingerprint ON turnpike.openai_turns (org, fingerprint, made_at)
    WHERE fingerprint IS NOT NULL;

-- A conversation that was named before it had an agent. The conversation itself begins with its first turn.
CREATE TABLE turnpike.threads (
    org turnpike.identifier NOT NULL,
    thread turnpike.identifier NOT NULL,
    -- Whose conversation of this name it is; null before the first turn.
    agent turnpike.identifier,
    metadata json NOT NULL,
    -- Messages that were put in by hand, each with the number of the turn that it comes after.
    items jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(items) = 'array'),
    -- How many of them a turn has taken along.
    taken integer NOT NULL DEFAULT 0 CHECK (taken >= 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org, thread)
);
