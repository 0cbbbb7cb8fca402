-- Busy conversations and quotas: who submitted a turn, which turns were interrupted by a newer one, how long turns take,
-- and how many turns may be without an outcome at once.

ALTER TABLE turnpike.turns
    -- The token that submitted it; null for a turn that was enqueued in SQL without one.
    ADD COLUMN submitter uuid,
    -- A newer turn asked for its end. A worker is told as with a cancellation; the outcome is another.
    ADD COLUMN interrupted boolean NOT NULL DEFAULT false;

-- How long the conversation's turns take: a moving average over the completed ones, for estimates. Null before the first.
ALTER TABLE turnpike.conversations ADD COLUMN turn_ms bigint;

-- The caps of an organization; null is no cap. A row exists only where something is capped, and only what is capped is
-- counted, so that an organization without caps shares no row that its turns would queue up for.
CREATE TABLE turnpike.quotas (
    org turnpike.identifier PRIMARY KEY REFERENCES turnpike.organizations,
    -- Turns without an outcome in the organization, of one token, and waiting in one conversation.
    organization_turns integer CHECK (organization_turns >= 0),
    token_turns integer CHECK (token_turns >= 0),
    conversation_turns integer CHECK (conversation_turns >= 0),
    -- How many turns of the organization have no outcome; kept while organization_turns is not null. No check keeps it
    -- from falling below 0: a mistake in counting must not cost a turn its outcome.
    open integer NOT NULL
) WITH (fillfactor = 50);

-- The same by token; kept while token_turns is not null.
CREATE TABLE turnpike.quota_tokens (
    org turnpike.identifier NOT NULL REFERENCES turnpike.organizations,
    token uuid NOT NULL,
    open integer NOT NULL,
    PRIMARY KEY (org, token)
) WITH (fillfactor = 50);

-- Counts a turn that is about to be inserted, or says which cap refuses it and counts nothing. Called under the
-- conversation's row lock; the order of locks is conversation, organization, token.
CREATE FUNCTION turnpike.reserve_turn(
    p_org text,
    p_submitter uuid,
    p_queued integer,
    OUT refused_by text,
    OUT refused_at integer
) LANGUAGE plpgsql AS $$
DECLARE
    quota turnpike.quotas;
BEGIN
    -- What the insertion needs anyway, before the look: from here on no quota is set (see set_quota).
    LOCK TABLE turnpike.turns IN ROW EXCLUSIVE MODE;
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

-- Wherever a turn gets its outcome, in whatever statement, its place is free in the same transaction; and a turn that
-- comes back to life takes one again. A trigger, because a turn ends in half a dozen places and none may be forgotten.
CREATE FUNCTION turnpike.count_turn() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    change integer := CASE WHEN TG_OP = 'UPDATE' AND NEW.ended_at IS NULL THEN 1 ELSE -1 END;
    quota turnpike.quotas;
BEGIN
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

CREATE TRIGGER turns_ended AFTER UPDATE OF ended_at ON turnpike.turns
    FOR EACH ROW WHEN ((OLD.ended_at IS NULL) <> (NEW.ended_at IS NULL)) EXECUTE FUNCTION turnpike.count_turn();

CREATE TRIGGER turns_deleted AFTER DELETE ON turnpike.turns
    FOR EACH ROW WHEN (OLD.ended_at IS NULL) EXECUTE FUNCTION turnpike.count_turn();

-- Sets an organization's caps and counts anew what they count. Accepting and settling stand still meanwhile, for as long
-- as it takes to look through the queue and the markers.
CREATE FUNCTION turnpike.set_quota(
    p_org text,
    p_organization_turns integer,
    p_token_turns integer,
    p_conversation_turns integer
) RETURNS void LANGUAGE plpgsql SET lock_timeout TO '5s' AS $$
BEGIN
    LOCK TABLE turnpike.turns IN SHARE ROW EXCLUSIVE MODE;
    DELETE FROM turnpike.quota_tokens t WHERE t.org = p_org;
    DELETE FROM turnpike.quotas q WHERE q.org = p_org;
    IF coalesce(p_organization_turns, p_token_turns, p_conversation_turns) IS NULL THEN
        RETURN;
    END IF;
    WITH open_turns AS (
        SELECT t.submitter FROM turnpike.turns t WHERE t.org = p_org AND t.state = 'queued'
        UNION ALL
        SELECT t.submitter FROM turnpike.markers m JOIN turnpike.turns t ON t.turn = m.turn WHERE t.org = p_org
    ), counted AS (
        INSERT INTO turnpike.quota_tokens (org, token, open)
        SELECT p_org, o.submitter, count(*) FROM open_turns o
        WHERE p_token_turns IS NOT NULL AND o.submitter IS NOT NULL GROUP BY o.submitter
    )
    INSERT INTO turnpike.quotas (org, organization_turns, token_turns, conversation_turns, open)
        SELECT p_org, p_organization_turns, p_token_turns, p_conversation_turns,
            CASE WHEN p_organization_turns IS NULL THEN 0 ELSE (SELECT count(*) FROM open_turns) END;
END
$$;

-- The way into the queue, as in 0005, with the submitter, the quotas, and what an estimate of the wait needs.
--
-- The verdict can also be `quota`: a cap of the organization is reached. `refused_by` and `refused_at` say which.
DROP FUNCTION turnpike.enqueue_turn(
    text, jsonb, text, text, uuid, text, bytea, integer, jsonb, uuid, integer, boolean
);

CREATE FUNCTION turnpike.enqueue_turn(
    p_agent text,
    p_input jsonb,
    p_org text DEFAULT NULL,
    p_conversation text DEFAULT NULL,
    p_run uuid DEFAULT NULL,
    p_client_key text DEFAULT NULL,
    p_body_hash bytea DEFAULT NULL,
    p_deadline_seconds integer DEFAULT NULL,
    p_metadata jsonb DEFAULT NULL,
    p_turn uuid DEFAULT gen_random_uuid(),
    p_queue_limit integer DEFAULT 100,
    p_reject_if_busy boolean DEFAULT false,
    p_submitter uuid DEFAULT NULL
) RETURNS TABLE (
    verdict text,
    turn uuid,
    conversation_id bigint,
    seq bigint,
    state text,
    ahead integer,
    owner_replica uuid,
    -- The number of the turn's first event when it was accepted, else 0.
    first_event bigint,
    -- How long the conversation's turns take, and how long the running one has taken; null when that is not known.
    turn_ms bigint,
    elapsed_ms bigint,
    refused_by text,
    refused_at integer
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    home turnpike.conversations;
    existing turnpike.turns;
    is_new boolean := false;
    elapsed bigint;
    refusal record;
BEGIN
    IF p_client_key IS NOT NULL THEN
        SELECT * INTO existing FROM turnpike.turns t WHERE t.org = p_org AND t.client_key = p_client_key;
        IF FOUND THEN
            RETURN QUERY
                SELECT CASE WHEN existing.body_hash IS NOT DISTINCT FROM p_body_hash
                            THEN 'repeated' ELSE 'conflict' END,
                    existing.turn, existing.conversation_id, existing.seq, existing.state,
                    CASE existing.state WHEN 'queued' THEN
                        (SELECT count(*)::integer FROM turnpike.turns t
                         WHERE t.conversation_id = existing.conversation_id AND t.state IN ('queued', 'running')
                             AND t.seq < existing.seq)
                        ELSE 0 END,
                    c.owner_replica, 0::bigint, CASE WHEN c.parked IS NULL THEN c.turn_ms END,
                    turnpike.elapsed_ms(c.running), NULL::text, NULL::integer
                FROM turnpike.conversations c WHERE c.id = existing.conversation_id;
            RETURN;
        END IF;
    END IF;

    IF p_org IS NOT NULL AND p_conversation IS NOT NULL AND p_run IS NOT NULL THEN
        SELECT * INTO home FROM turnpike.conversations c
            WHERE c.org = p_org AND c.agent = p_agent AND c.conversation = p_conversation FOR UPDATE;
        IF NOT FOUND THEN
            INSERT INTO turnpike.conversations (org, agent, conversation) VALUES (p_org, p_agent, p_conversation)
                ON CONFLICT (org, agent, conversation) DO NOTHING;
            is_new := FOUND;
            SELECT * INTO home FROM turnpike.conversations c
                WHERE c.org = p_org AND c.agent = p_agent AND c.conversation = p_conversation FOR UPDATE;
        END IF;
    ELSE
        INSERT INTO turnpike.conversations (org, agent, conversation)
            VALUES (p_org, p_agent, CASE WHEN p_run IS NULL OR p_org IS NOT NULL THEN NULL ELSE p_conversation END)
            RETURNING * INTO home;
        is_new := true;
    END IF;

    IF home.deleted_at IS NOT NULL THEN
        RETURN QUERY SELECT 'deleted', NULL::uuid, home.id, 0::bigint, NULL::text, 0, NULL::uuid, 0::bigint,
            NULL::bigint, NULL::bigint, NULL::text, NULL::integer;
        RETURN;
    END IF;
    IF home.parked IS NOT NULL THEN
        -- Nobody knows how long people take.
        home.turn_ms := NULL;
    END IF;
    elapsed := CASE WHEN home.running IS NOT NULL THEN turnpike.elapsed_ms(home.running) END;
    IF home.queued >= p_queue_limit THEN
        RETURN QUERY SELECT 'full', NULL::uuid, home.id, 0::bigint, NULL::text, home.queued, home.owner_replica,
            0::bigint, home.turn_ms, elapsed, NULL::text, NULL::integer;
        RETURN;
    ELSIF p_reject_if_busy AND (home.queued > 0 OR home.running IS NOT NULL) THEN
        RETURN QUERY SELECT 'busy', NULL::uuid, home.id, 0::bigint, NULL::text,
            home.queued + (home.running IS NOT NULL)::integer, home.owner_replica, 0::bigint, home.turn_ms, elapsed,
            NULL::text, NULL::integer;
        RETURN;
    END IF;
    SELECT * INTO refusal FROM turnpike.reserve_turn(p_org, p_submitter, home.queued);
    IF refusal.refused_by IS NOT NULL THEN
        IF is_new THEN
            DELETE FROM turnpike.conversations c WHERE c.id = home.id;
        END IF;
        RETURN QUERY SELECT 'quota', NULL::uuid, home.id, 0::bigint, NULL::text, home.queued, home.owner_replica,
            0::bigint, home.turn_ms, elapsed, refusal.refused_by, refusal.refused_at;
        RETURN;
    END IF;

    INSERT INTO turnpike.turns (turn, conversation_id, org, seq, first_event, run, client_key, body_hash, input, metadata,
                                deadline_seconds, submitter)
        VALUES (p_turn, home.id, p_org, home.last_turn + 1, home.last_event + 1, p_run, p_client_key, p_body_hash,
                p_input, p_metadata, p_deadline_seconds, p_submitter);
    INSERT INTO turnpike.events (conversation_id, seq, turn, type, data)
        VALUES (home.id, home.last_event + 1, p_turn, 'turn.queued',
                format('{"position":%s}', home.queued + (home.running IS NOT NULL)::integer)::json);
    UPDATE turnpike.conversations c
        SET last_turn = c.last_turn + 1, last_event = c.last_event + 1, queued = c.queued + 1, active_at = now(),
            ready_at = CASE WHEN c.owner_nonce IS NULL THEN coalesce(c.ready_at, now()) END
        WHERE c.id = home.id;

    RETURN QUERY SELECT 'accepted', p_turn, home.id, home.last_turn + 1, 'queued',
        home.queued + (home.running IS NOT NULL)::integer, home.owner_replica, home.last_event + 1, home.turn_ms, elapsed,
        NULL::text, NULL::integer;
END
$$;

-- Milliseconds since a turn began; null when it has not.
CREATE FUNCTION turnpike.elapsed_ms(p_turn uuid) RETURNS bigint LANGUAGE sql STABLE
    RETURN (SELECT (extract(epoch FROM now() - t.started_at) * 1000)::bigint FROM turnpike.turns t WHERE t.turn = p_turn);

CALL turnpike.wall_off('turnpike.quotas');
CALL turnpike.wall_off('turnpike.quota_tokens');
