-- Draining one replica from anywhere: any replica asks here, the one that is meant reads it with its beat and answers in
-- `draining` once it claims nothing more. A hint only saves waiting for the beat.
ALTER TABLE turnpike.replicas ADD COLUMN drain_asked boolean NOT NULL DEFAULT false;
