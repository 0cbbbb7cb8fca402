-- The one way into the queue, for the API and for services that share the database.
--
-- Organization, conversation and run are optional. A turn that has all three joins the named conversation's queue; any
-- other turn gets a row of its own that keeps what it was given, and the spawn guard judges it there. The input is an
-- array of content parts, for example [{"type": "text", "text": "Hello"}].
--
-- The verdict is one of: accepted, repeated (same client key, same body), conflict (same client key, other body),
-- deleted (the conversation has a tombstone), full (the queue is at its limit), busy (something is ahead and the caller
-- wanted to be first). Only `accepted` has written anything.
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
    p_reject_if_busy boolean DEFAULT false
) RETURNS TABLE (
    verdict text,
    turn uuid,
    conversation_id bigint,
    seq bigint,
    state text,
    ahead integer,
    owner_replica uuid,
    -- The number of the turn's first event when it was accepted, else 0.
    first_event bigint
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    home turnpike.conversations;
    existing turnpike.turns;
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
                    c.owner_replica, 0::bigint
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
            SELECT * INTO home FROM turnpike.conversations c
                WHERE c.org = p_org AND c.agent = p_agent AND c.conversation = p_conversation FOR UPDATE;
        END IF;
    ELSE
        INSERT INTO turnpike.conversations (org, agent, conversation)
            VALUES (p_org, p_agent, CASE WHEN p_run IS NULL OR p_org IS NOT NULL THEN NULL ELSE p_conversation END)
            RETURNING * INTO home;
    END IF;

    IF home.deleted_at IS NOT NULL THEN
        RETURN QUERY SELECT 'deleted', NULL::uuid, home.id, 0::bigint, NULL::text, 0, NULL::uuid, 0::bigint;
        RETURN;
    ELSIF home.queued >= p_queue_limit THEN
        RETURN QUERY SELECT 'full', NULL::uuid, home.id, 0::bigint, NULL::text, home.queued, home.owner_replica,
            0::bigint;
        RETURN;
    ELSIF p_reject_if_busy AND (home.queued > 0 OR home.running IS NOT NULL) THEN
        RETURN QUERY SELECT 'busy', NULL::uuid, home.id, 0::bigint, NULL::text,
            home.queued + (home.running IS NOT NULL)::integer, home.owner_replica, 0::bigint;
        RETURN;
    END IF;

    INSERT INTO turnpike.turns (turn, conversation_id, org, seq, first_event, run, client_key, body_hash, input, metadata,
                                deadline_seconds)
        VALUES (p_turn, home.id, p_org, home.last_turn + 1, home.last_event + 1, p_run, p_client_key, p_body_hash,
                p_input, p_metadata, p_deadline_seconds);
    INSERT INTO turnpike.events (conversation_id, seq, turn, type, data)
        VALUES (home.id, home.last_event + 1, p_turn, 'turn.queued',
                format('{"position":%s}', home.queued + (home.running IS NOT NULL)::integer)::json);
    UPDATE turnpike.conversations c
        SET last_turn = c.last_turn + 1, last_event = c.last_event + 1, queued = c.queued + 1, active_at = now(),
            ready_at = CASE WHEN c.owner_nonce IS NULL THEN coalesce(c.ready_at, now()) END
        WHERE c.id = home.id;

    RETURN QUERY SELECT 'accepted', p_turn, home.id, home.last_turn + 1, 'queued',
        home.queued + (home.running IS NOT NULL)::integer, home.owner_replica, home.last_event + 1;
END
$$;
