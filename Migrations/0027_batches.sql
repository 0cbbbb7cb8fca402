-- The batches of events that a running turn has in the log, numbered from 1: one whose answer was lost is sent again under
-- its number, and is written once.
ALTER TABLE turnpike.markers ADD COLUMN batch bigint NOT NULL DEFAULT 0;
