-- What the body of a snapshot is, where a conversation was forked from, and how snapshots that nobody needs are found.

ALTER TABLE turnpike.snapshots
    ADD COLUMN format text NOT NULL DEFAULT 'blob' CHECK (format IN ('blob', 'directory'));

-- The conversation and the turn whose state a fork began with. The origin's row stays when it is deleted, so this leads
-- somewhere for as long as the organization is there.
ALTER TABLE turnpike.conversations
    ADD COLUMN origin bigint,
    ADD COLUMN origin_seq bigint,
    ADD CONSTRAINT conversations_origin CHECK ((origin IS NULL) = (origin_seq IS NULL));

-- Bases with something before them: only behind such a one is there something to prune.
CREATE INDEX snapshots_bases ON turnpike.snapshots (conversation_id, seq) WHERE kind = 'base' AND parent > 0;
