-- Turns that recur.

CREATE TABLE turnpike.schedules (
    org turnpike.identifier NOT NULL REFERENCES turnpike.organizations,
    schedule turnpike.identifier NOT NULL,
    agent turnpike.identifier NOT NULL,
    cron text NOT NULL CHECK (length(cron) BETWEEN 1 AND 200),
    time_zone text NOT NULL CHECK (length(time_zone) BETWEEN 1 AND 100),
    catch_up text NOT NULL CHECK (catch_up IN ('skip', 'once', 'all')),
    input jsonb NOT NULL CHECK (jsonb_typeof(input) = 'array'),
    paused boolean NOT NULL DEFAULT false,
    -- The token that set it up: its runs are submitted with it.
    submitter uuid,
    -- Runs begun so far. They name conversations, so the count goes on when a deleted schedule's name is used again.
    runs bigint NOT NULL DEFAULT 0 CHECK (runs >= 0),
    -- The time of the next run; null while it is paused, or when none will come.
    next_at timestamptz,
    -- From when on any replica may begin it: later than next_at after a run was refused.
    ready_at timestamptz,
    last_at timestamptz,
    last_turn uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz,
    PRIMARY KEY (org, schedule),
    CHECK ((next_at IS NULL) = (ready_at IS NULL)),
    CHECK (next_at IS NULL OR (NOT paused AND deleted_at IS NULL))
);

-- Whether a changed schedule goes on with the run that it is due for.
CREATE FUNCTION turnpike.keeps_time(old turnpike.schedules, new turnpike.schedules) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    RETURN old.next_at IS NOT NULL AND new.next_at IS NOT NULL AND old.cron = new.cron
        AND old.time_zone = new.time_zone;

CREATE INDEX schedules_ready ON turnpike.schedules (ready_at) WHERE ready_at IS NOT NULL;

CALL turnpike.wall_off('turnpike.schedules');
