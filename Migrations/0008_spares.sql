-- Spare workers: which agents want some, and the workspace that came with the one a conversation got.

-- The directory of a conversation is named after its number. A worker that was started before its conversation has one
-- with a name of its own, and agents write absolute paths into their files: so the conversation keeps that name, on
-- every replica, for good. Set by the conversation's first term, if at all.
ALTER TABLE turnpike.conversations ADD COLUMN workspace uuid;

CREATE INDEX agents_warm ON turnpike.agents (org, agent) WHERE configuration -> 'warm' > '0'::jsonb;
