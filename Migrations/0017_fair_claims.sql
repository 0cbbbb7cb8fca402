-- Fair claims: ready conversations are found by organization and agent, so that one with many cannot hide the others'.

DROP INDEX turnpike.conversations_ready;
-- A turn without an organization is of the nameless one. As before, no column that a warm turn changes.
CREATE INDEX conversations_ready ON turnpike.conversations ((coalesce(org::text, '')), agent, ready_at)
    WHERE ready_at IS NOT NULL;

-- The agents that have a conversation ready at `p_due`, at most `p_limit` of them, in the order of their names from after
-- (p_org, p_agent) on and round to there: one look into the index for each, however many conversations they have.
CREATE FUNCTION turnpike.ready_claimants(
    p_org text,
    p_agent text,
    p_due timestamptz,
    p_limit integer
) RETURNS TABLE (org text, agent text) LANGUAGE plpgsql STABLE ROWS 4 AS $$
DECLARE
    is_round boolean := false;
    found_so_far integer := 0;
    next_ready timestamptz;
BEGIN
    org := p_org;
    agent := p_agent;
    WHILE found_so_far < p_limit LOOP
        SELECT coalesce(c.org::text, ''), c.agent, c.ready_at INTO org, agent, next_ready
            FROM turnpike.conversations c
            WHERE c.ready_at IS NOT NULL AND (coalesce(c.org::text, ''), c.agent) > (ready_claimants.org, ready_claimants.agent)
            ORDER BY coalesce(c.org::text, ''), c.agent, c.ready_at LIMIT 1;
        IF org IS NULL THEN
            EXIT WHEN is_round;
            is_round := true;
            org := '';
            agent := '';
            CONTINUE;
        END IF;
        EXIT WHEN is_round AND (org, agent) > (p_org, p_agent);
        IF next_ready <= p_due THEN
            RETURN NEXT;
            found_so_far := found_so_far + 1;
        END IF;
    END LOOP;
END
$$;
