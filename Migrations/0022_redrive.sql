-- A dead letter can be sent again, once: as a new turn at the end of its conversation. The old one keeps its outcome.
ALTER TABLE turnpike.dead_letters
    ADD COLUMN redriven_at timestamptz,
    -- Not a reference: the turn may be deleted before the letter is.
    ADD COLUMN redriven_as uuid,
    ADD CHECK ((redriven_at IS NULL) = (redriven_as IS NULL));
