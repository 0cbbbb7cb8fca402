-- The identity under which a later run asks a question that it took over from a dead one: it may ask it again.
ALTER TABLE turnpike.approvals ADD COLUMN asked_as uuid;
