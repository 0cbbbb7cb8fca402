-- A browser's session is a token that works no longer than the token that signed in.

ALTER TABLE turnpike.tokens ADD COLUMN parent uuid REFERENCES turnpike.tokens;

CREATE INDEX tokens_parent ON turnpike.tokens (parent) WHERE parent IS NOT NULL;
