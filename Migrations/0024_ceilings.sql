-- Caps have two hands: an organization sets its own, and who runs the installation sets ceilings that hold above them.
-- What is in force, and counted, is the lower of the two, in the columns that were there.

ALTER TABLE turnpike.quotas
    ADD COLUMN own_organization_turns integer CHECK (own_organization_turns >= 0),
    ADD COLUMN own_token_turns integer CHECK (own_token_turns >= 0),
    ADD COLUMN own_conversation_turns integer CHECK (own_conversation_turns >= 0),
    ADD COLUMN ceiling_organization_turns integer CHECK (ceiling_organization_turns >= 0),
    ADD COLUMN ceiling_token_turns integer CHECK (ceiling_token_turns >= 0),
    ADD COLUMN ceiling_conversation_turns integer CHECK (ceiling_conversation_turns >= 0);

-- Nobody knows any more who had set a cap; an operator can take a ceiling away, an organization could not put it back.
UPDATE turnpike.quotas SET
    ceiling_organization_turns = organization_turns,
    ceiling_token_turns = token_turns,
    ceiling_conversation_turns = conversation_turns;

-- Accepting and ending turns share this lock of the organization, in a transaction; setting its caps takes it alone. Two
-- numbers: no lock of a conversation, which is one, can be meant.
CREATE FUNCTION turnpike.share_quota(p_org text) RETURNS void LANGUAGE sql
    AS $$ SELECT pg_advisory_xact_lock_shared(1903522913, hashtext(p_org)) $$;

-- As in 0016, but that no other organization waits for a change of caps.
CREATE OR REPLACE FUNCTION turnpike.reserve_turn(
    p_org text,
    p_submitter uuid,
    p_queued integer,
    OUT refused_by text,
    OUT refused_at integer
) LANGUAGE plpgsql AS $$
DECLARE
    quota turnpike.quotas;
BEGIN
    -- Before the look: from here on no quota is set (see set_quota).
    PERFORM turnpike.share_quota(p_org);
    SELECT * INTO quota FROM turnpike.quotas q WHERE q.org = p_org;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF p_queued >= quota.conversation_turns THEN
        refused_by := 'conversation_turns';
        refused_at := quota.conversation_turns;
        RETURN;
    END IF;
    IF quota.organization_turns IS NOT NULL THEN
        UPDATE turnpike.quotas q SET open = q.open + 1 WHERE q.org = p_org AND q.open < q.organization_turns;
        IF NOT FOUND THEN
            refused_by := 'organization_turns';
            refused_at := quota.organization_turns;
            RETURN;
        END IF;
    END IF;
    IF quota.token_turns IS NOT NULL AND p_submitter IS NOT NULL THEN
        INSERT INTO turnpike.quota_tokens AS t (org, token, open)
            SELECT p_org, p_submitter, 1 WHERE quota.token_turns > 0
            ON CONFLICT (org, token) DO UPDATE SET open = t.open + 1 WHERE t.open < quota.token_turns;
        IF NOT FOUND THEN
            refused_by := 'token_turns';
            refused_at := quota.token_turns;
            UPDATE turnpike.quotas q SET open = q.open - 1 WHERE q.org = p_org AND q.organization_turns IS NOT NULL;
        END IF;
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION turnpike.count_turn() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    change integer := CASE WHEN TG_OP = 'UPDATE' AND NEW.ended_at IS NULL THEN 1 ELSE -1 END;
    quota turnpike.quotas;
BEGIN
    PERFORM turnpike.share_quota(OLD.org);
    SELECT * INTO quota FROM turnpike.quotas q WHERE q.org = OLD.org;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF quota.organization_turns IS NOT NULL THEN
        UPDATE turnpike.quotas q SET open = q.open + change WHERE q.org = OLD.org;
    END IF;
    IF quota.token_turns IS NOT NULL THEN
        UPDATE turnpike.quota_tokens t SET open = t.open + change WHERE t.org = OLD.org AND t.token = OLD.submitter;
    END IF;
    RETURN NULL;
END
$$;

-- Puts into force what own caps and ceilings say, and counts anew what they count. Called with the lock held alone.
CREATE FUNCTION turnpike.enforce_quota(p_org text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    quota turnpike.quotas;
BEGIN
    UPDATE turnpike.quotas q SET
        organization_turns = least(q.own_organization_turns, q.ceiling_organization_turns),
        token_turns = least(q.own_token_turns, q.ceiling_token_turns),
        conversation_turns = least(q.own_conversation_turns, q.ceiling_conversation_turns)
        WHERE q.org = p_org RETURNING * INTO quota;
    DELETE FROM turnpike.quota_tokens t WHERE t.org = p_org;
    IF coalesce(quota.organization_turns, quota.token_turns, quota.conversation_turns) IS NULL THEN
        DELETE FROM turnpike.quotas q WHERE q.org = p_org;
        RETURN;
    END IF;
    WITH open_turns AS (
        SELECT t.submitter FROM turnpike.turns t WHERE t.org = p_org AND t.state = 'queued'
        UNION ALL
        SELECT t.submitter FROM turnpike.markers m JOIN turnpike.turns t ON t.turn = m.turn WHERE t.org = p_org
    ), counted AS (
        INSERT INTO turnpike.quota_tokens (org, token, open)
        SELECT p_org, o.submitter, count(*) FROM open_turns o
        WHERE quota.token_turns IS NOT NULL AND o.submitter IS NOT NULL GROUP BY o.submitter
    )
    UPDATE turnpike.quotas q
        SET open = CASE WHEN q.organization_turns IS NULL THEN 0 ELSE (SELECT count(*) FROM open_turns) END
        WHERE q.org = p_org;
END
$$;

-- Sets an organization's own caps. Its turns, and nobody else's, stand still for as long as counting them takes.
CREATE OR REPLACE FUNCTION turnpike.set_quota(
    p_org text,
    p_organization_turns integer,
    p_token_turns integer,
    p_conversation_turns integer
) RETURNS void LANGUAGE plpgsql SET lock_timeout TO '5s' AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(1903522913, hashtext(p_org));
    INSERT INTO turnpike.quotas AS q (org, own_organization_turns, own_token_turns, own_conversation_turns, open)
        VALUES (p_org, p_organization_turns, p_token_turns, p_conversation_turns, 0)
        ON CONFLICT (org) DO UPDATE SET own_organization_turns = excluded.own_organization_turns,
            own_token_turns = excluded.own_token_turns, own_conversation_turns = excluded.own_conversation_turns;
    PERFORM turnpike.enforce_quota(p_org);
END
$$;

-- The same for the ceilings.
CREATE FUNCTION turnpike.set_ceiling(
    p_org text,
    p_organization_turns integer,
    p_token_turns integer,
    p_conversation_turns integer
) RETURNS void LANGUAGE plpgsql SET lock_timeout TO '5s' AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(1903522913, hashtext(p_org));
    INSERT INTO turnpike.quotas AS q (org, ceiling_organization_turns, ceiling_token_turns, ceiling_conversation_turns,
            open)
        VALUES (p_org, p_organization_turns, p_token_turns, p_conversation_turns, 0)
        ON CONFLICT (org) DO UPDATE SET ceiling_organization_turns = excluded.ceiling_organization_turns,
            ceiling_token_turns = excluded.ceiling_token_turns,
            ceiling_conversation_turns = excluded.ceiling_conversation_turns;
    PERFORM turnpike.enforce_quota(p_org);
END
$$;
