-- The agents that a replica has seen fail, for whoever asks any replica about one: a list of objects with the members org,
-- agent, version, failures, reason and until, the end of the delay before the next start, null where none waits.
ALTER TABLE turnpike.replicas ADD COLUMN circuits jsonb NOT NULL DEFAULT '[]';
