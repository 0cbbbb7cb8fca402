CREATE SCHEMA turnpike;
CREATE DOMAIN turnpike.identifier AS text COLLATE pg_catalog."C"
	CONSTRAINT identifier_check CHECK ((VALUE ~ '^[A-Za-z0-9._:-]{1,128}$'::text));
CREATE FUNCTION turnpike.account_id(org text, provider text, principal text) RETURNS uuid
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN (encode(SUBSTRING(sha256(convert_to(((((((octet_length(org) || ':'::text) || org) || octet_length(provider)) || ':'::text) || provider) || principal), 'UTF8'::name)) FROM 1 FOR 16), 'hex'::text))::uuid;
CREATE FUNCTION turnpike.count_turn() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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
CREATE TABLE turnpike.turns (
    turn uuid NOT NULL,
    conversation_id bigint NOT NULL,
    org turnpike.identifier,
    seq bigint NOT NULL,
    first_event bigint NOT NULL,
    run uuid,
    state text DEFAULT 'queued'::text NOT NULL,
    attempt integer DEFAULT 0 NOT NULL,
    client_key text,
    body_hash bytea,
    input jsonb NOT NULL,
    metadata jsonb,
    deadline_seconds integer,
    deferred_since timestamp with time zone,
    deferred_for text,
    cancel_requested_at timestamp with time zone,
    queued_at timestamp with time zone DEFAULT now() NOT NULL,
    started_at timestamp with time zone,
    ended_at timestamp with time zone,
    submitter uuid,
    interrupted boolean DEFAULT false NOT NULL,
    reroutes integer DEFAULT 0 NOT NULL,
    model_calls bigint DEFAULT 0 NOT NULL,
    model_tokens bigint DEFAULT 0 NOT NULL,
    model_bytes bigint DEFAULT 0 NOT NULL,
    CONSTRAINT turns_attempt_check CHECK ((attempt >= 0)),
    CONSTRAINT turns_check CHECK (((ended_at IS NULL) = (state = ANY (ARRAY['queued'::text, 'running'::text])))),
    CONSTRAINT turns_check1 CHECK (((state <> 'running'::text) OR (attempt > 0))),
    CONSTRAINT turns_client_key_check CHECK (((length(client_key) >= 1) AND (length(client_key) <= 200))),
    CONSTRAINT turns_deadline_seconds_check CHECK (((deadline_seconds >= 1) AND (deadline_seconds <= 86400))),
    CONSTRAINT turns_first_event_check CHECK ((first_event > 0)),
    CONSTRAINT turns_input_check CHECK ((jsonb_typeof(input) = 'array'::text)),
    CONSTRAINT turns_reroutes_check CHECK ((reroutes >= 0)),
    CONSTRAINT turns_seq_check CHECK ((seq > 0)),
    CONSTRAINT turns_state_check CHECK ((state = ANY (ARRAY['queued'::text, 'running'::text, 'completed'::text, 'failed'::text, 'cancelled'::text])))
)
WITH (fillfactor='80');
ALTER TABLE ONLY turnpike.turns FORCE ROW LEVEL SECURITY;
CREATE FUNCTION turnpike.elapsed_ms(p_turn uuid) RETURNS bigint
    LANGUAGE sql STABLE
    RETURN (SELECT ((EXTRACT(epoch FROM (now() - t.started_at)) * (1000)::numeric))::bigint AS int8 FROM turnpike.turns t WHERE (t.turn = elapsed_ms.p_turn));
CREATE FUNCTION turnpike.enforce_quota(p_org text) RETURNS void
    LANGUAGE plpgsql
    AS $$
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
CREATE FUNCTION turnpike.enqueue_turn(p_agent text, p_input jsonb, p_org text DEFAULT NULL::text, p_conversation text DEFAULT NULL::text, p_run uuid DEFAULT NULL::uuid, p_client_key text DEFAULT NULL::text, p_body_hash bytea DEFAULT NULL::bytea, p_deadline_seconds integer DEFAULT NULL::integer, p_metadata jsonb DEFAULT NULL::jsonb, p_turn uuid DEFAULT gen_random_uuid(), p_queue_limit integer DEFAULT 100, p_reject_if_busy boolean DEFAULT false, p_submitter uuid DEFAULT NULL::uuid) RETURNS TABLE(verdict text, turn uuid, conversation_id bigint, seq bigint, state text, ahead integer, owner_replica uuid, first_event bigint, turn_ms bigint, elapsed_ms bigint, refused_by text, refused_at integer)
    LANGUAGE plpgsql
    AS $$
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
CREATE TABLE turnpike.schedules (
    org turnpike.identifier NOT NULL,
    schedule turnpike.identifier NOT NULL,
    agent turnpike.identifier NOT NULL,
    cron text NOT NULL,
    time_zone text NOT NULL,
    catch_up text NOT NULL,
    input jsonb NOT NULL,
    paused boolean DEFAULT false NOT NULL,
    submitter uuid,
    runs bigint DEFAULT 0 NOT NULL,
    next_at timestamp with time zone,
    ready_at timestamp with time zone,
    last_at timestamp with time zone,
    last_turn uuid,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    deleted_at timestamp with time zone,
    CONSTRAINT schedules_catch_up_check CHECK ((catch_up = ANY (ARRAY['skip'::text, 'once'::text, 'all'::text]))),
    CONSTRAINT schedules_check CHECK (((next_at IS NULL) = (ready_at IS NULL))),
    CONSTRAINT schedules_check1 CHECK (((next_at IS NULL) OR ((NOT paused) AND (deleted_at IS NULL)))),
    CONSTRAINT schedules_cron_check CHECK (((length(cron) >= 1) AND (length(cron) <= 200))),
    CONSTRAINT schedules_input_check CHECK ((jsonb_typeof(input) = 'array'::text)),
    CONSTRAINT schedules_runs_check CHECK ((runs >= 0)),
    CONSTRAINT schedules_time_zone_check CHECK (((length(time_zone) >= 1) AND (length(time_zone) <= 100)))
);
ALTER TABLE ONLY turnpike.schedules FORCE ROW LEVEL SECURITY;
CREATE FUNCTION turnpike.keeps_time(old turnpike.schedules, new turnpike.schedules) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    RETURN (((old).next_at IS NOT NULL) AND ((new).next_at IS NOT NULL) AND ((old).cron = (new).cron) AND ((old).time_zone = (new).time_zone));
CREATE FUNCTION turnpike.lock_key(org text, agent text, conversation text) RETURNS bigint
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN hashtextextended(((((((((octet_length(org) || ':'::text) || org) || octet_length(agent)) || ':'::text) || agent) || octet_length(conversation)) || ':'::text) || conversation), (0)::bigint);
CREATE FUNCTION turnpike.presence_key(replica uuid) RETURNS bigint
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN hashtextextended((replica)::text, (1)::bigint);
CREATE FUNCTION turnpike.ready_claimants(p_org text, p_agent text, p_due timestamp with time zone, p_limit integer) RETURNS TABLE(org text, agent text)
    LANGUAGE plpgsql STABLE ROWS 4
    AS $$
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
CREATE FUNCTION turnpike.reserve_turn(p_org text, p_submitter uuid, p_queued integer, OUT refused_by text, OUT refused_at integer) RETURNS record
    LANGUAGE plpgsql
    AS $$
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
CREATE FUNCTION turnpike.set_ceiling(p_org text, p_organization_turns integer, p_token_turns integer, p_conversation_turns integer) RETURNS void
    LANGUAGE plpgsql
    SET lock_timeout TO '5s'
    AS $$
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
CREATE FUNCTION turnpike.set_quota(p_org text, p_organization_turns integer, p_token_turns integer, p_conversation_turns integer) RETURNS void
    LANGUAGE plpgsql
    SET lock_timeout TO '5s'
    AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(1903522913, hashtext(p_org));
    INSERT INTO turnpike.quotas AS q (org, own_organization_turns, own_token_turns, own_conversation_turns, open)
        VALUES (p_org, p_organization_turns, p_token_turns, p_conversation_turns, 0)
        ON CONFLICT (org) DO UPDATE SET own_organization_turns = excluded.own_organization_turns,
            own_token_turns = excluded.own_token_turns, own_conversation_turns = excluded.own_conversation_turns;
    PERFORM turnpike.enforce_quota(p_org);
END
$$;
CREATE FUNCTION turnpike.share_quota(p_org text) RETURNS void
    LANGUAGE sql
    AS $$ SELECT pg_advisory_xact_lock_shared(1903522913, hashtext(p_org)) $$;
CREATE PROCEDURE turnpike.wall_off(IN p_table regclass, IN p_mine text DEFAULT 'org = current_setting(''turnpike.org'')'::text)
    LANGUAGE plpgsql
    AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', p_table);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', p_table);
    EXECUTE format('CREATE POLICY tenant ON %s TO turnpike_tenant USING (%s)', p_table, p_mine);
    EXECUTE format('CREATE POLICY gateway ON %s TO turnpike_gateway USING (true)', p_table);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO turnpike_tenant', p_table);
END
$$;
CREATE TABLE turnpike.account_hosts (
    account uuid NOT NULL,
    replica uuid NOT NULL,
    slots integer NOT NULL,
    CONSTRAINT account_hosts_slots_check CHECK (((slots >= 1) AND (slots <= 100000)))
);
ALTER TABLE ONLY turnpike.account_hosts FORCE ROW LEVEL SECURITY;
CREATE TABLE turnpike.account_labels (
    org turnpike.identifier NOT NULL,
    label text NOT NULL COLLATE pg_catalog."C",
    account uuid NOT NULL,
    CONSTRAINT account_labels_label_check CHECK (((length(label) >= 1) AND (length(label) <= 200)))
);
ALTER TABLE ONLY turnpike.account_labels FORCE ROW LEVEL SECURITY;
CREATE TABLE turnpike.accounts (
    account uuid NOT NULL,
    org turnpike.identifier NOT NULL,
    provider turnpike.identifier NOT NULL,
    principal text NOT NULL COLLATE pg_catalog."C",
    pool turnpike.identifier DEFAULT 'default'::text NOT NULL,
    slots integer,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    remote_until timestamp with time zone,
    remote_last turnpike.identifier,
    CONSTRAINT accounts_check CHECK ((account = turnpike.account_id((org)::text, (provider)::text, principal))),
    CONSTRAINT accounts_principal_check CHECK (((length(principal) >= 1) AND (length(principal) <= 500))),
    CONSTRAINT accounts_slots_check CHECK (((slots >= 1) AND (slots <= 100000)))
);
ALTER TABLE ONLY turnpike.accounts FORCE ROW LEVEL SECURITY;
CREATE TABLE turnpike.agents (
    org turnpike.identifier NOT NULL,
    agent turnpike.identifier NOT NULL,
    configuration jsonb NOT NULL,
    version bigint DEFAULT 1 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    account_provider text GENERATED ALWAYS AS ((configuration #>> '{account,provider}'::text[])) STORED,
    account_pool text GENERATED ALWAYS AS ((configuration #>> '{account,pool}'::text[])) STORED,
    account_label text GENERATED ALWAYS AS ((configuration #>> '{account,label}'::text[])) STORED,
    is_remote boolean GENERATED ALWAYS AS (COALESCE(((configuration ->> 'driver'::text) = 'remote'::text), false)) STORED,
    provided boolean DEFAULT false NOT NULL,
    CONSTRAINT agents_version_check CHECK ((version > 0))
);
ALTER TABLE ONLY turnpike.agents FORCE ROW LEVEL SECURITY;
CREATE TABLE turnpike.approval_rules (
    rule uuid NOT NULL,
    org turnpike.identifier NOT NULL,
    agent turnpike.identifier,
    tool text NOT NULL,
    arguments json,
    arguments_hash bytea,
    effect text NOT NULL,
    created_by text,
    reason text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT approval_rules_arguments_hash_check CHECK ((octet_length(arguments_hash) = 32)),
    CONSTRAINT approval_rules_effect_check CHECK ((effect = ANY (ARRAY['allow'::text, 'deny'::text, 'ask'::text]))),
    CONSTRAINT approval_rules_reason_check CHECK (((length(reason) >= 1) AND (length(reason) <= 1000))),
    CONSTRAINT approval_rules_tool_check CHECK (((length(tool) >= 1) AND (length(tool) <= 1000)))
);
ALTER TABLE ONLY turnpike.approval_rules FORCE ROW LEVEL SECURITY;
CREATE TABLE turnpike.approvals (
    approval uuid NOT NULL,
    org turnpike.identifier NOT NULL,
    conversation_id bigint NOT NULL,
    turn uuid NOT NULL,
    attempt integer NOT NULL,
    tool json NOT NULL,
    arguments json,
    arguments_hash bytea NOT NULL,
    options json NOT NULL,
    state text DEFAULT 'pending'::text NOT NULL,
    decision text,
    decided_by text,
    reason text,
    asked_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    decided_at timestamp with time zone,
    rule uuid,
    asked_as uuid,
    CONSTRAINT approvals_arguments_hash_check CHECK ((octet_length(arguments_hash) = 32)),
    CONSTRAINT approvals_attempt_check CHECK ((attempt > 0)),
    CONSTRAINT approvals_check CHECK ((expires_at > asked_at)),
    CONSTRAINT approvals_check1 CHECK (((state = 'pending'::text) = (decided_at IS NULL))),
    CONSTRAINT approvals_check2 CHECK (((state = 'decided'::text) = (decision IS NOT NULL))),
    CONSTRAINT approvals_check3 CHECK (((decided_by IS NULL) OR (state = 'decided'::text))),
    CONSTRAINT approvals_check4 CHECK (((reason IS NULL) OR (state = 'decided'::text))),
    CONSTRAINT approvals_decision_check CHECK (((length(decision) >= 1) AND (length(decision) <= 1000))),
    CONSTRAINT approvals_options_check CHECK ((json_typeof(options) = 'array'::text)),
    CONSTRAINT approvals_reason_check CHECK (((length(reason) >= 1) AND (length(reason) <= 1000))),
    CONSTRAINT approvals_state_check CHECK ((state = ANY (ARRAY['pending'::text, 'decided'::text, 'expired'::text])))
);
ALTER TABLE ONLY turnpike.approvals FORCE ROW LEVEL SECURITY;
CREATE TABLE turnpike.audit (
    id bigint NOT NULL,
    org turnpike.identifier,
    at timestamp with time zone DEFAULT now() NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    subject text NOT NULL,
    details json NOT NULL,
    request text
);
ALTER TABLE ONLY turnpike.audit FORCE ROW LEVEL SECURITY;
ALTER TABLE turnpike.audit ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME turnpike.audit_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE turnpike.calls (
    turn uuid NOT NULL,
    call text NOT NULL,
    approval uuid NOT NULL,
    idempotent boolean NOT NULL,
    state text DEFAULT 'pending'::text NOT NULL,
    epoch bigint,
    result json,
    CONSTRAINT calls_call_check CHECK (((length(call) >= 1) AND (length(call) <= 1000))),
    CONSTRAINT calls_check CHECK (((state = 'pending'::text) = (epoch IS NULL))),
    CONSTRAINT calls_check1 CHECK (((result IS NULL) OR (state = 'done'::text))),
    CONSTRAINT calls_state_check CHECK ((state = ANY (ARRAY['pending'::text, 'started'::text, 'done'::text, 'unknown'::text])))
);
ALTER TABLE ONLY turnpike.calls FORCE ROW LEVEL SECURITY;
CREATE TABLE turnpike.conversations (
    id bigint NOT NULL,
    org turnpike.identifier,
    agent turnpike.identifier NOT NULL,
    conversation turnpike.identifier,
    epoch bigint DEFAULT 0 NOT NULL,
    owner_nonce uuid,
    owner_replica uuid,
    head bigint DEFAULT 0 NOT NULL,
    last_turn bigint DEFAULT 0 NOT NULL,
    last_event bigint DEFAULT 0 NOT NULL,
    queued integer DEFAULT 0 NOT NULL,
    running uuid,
    ready_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    active_at timestamp with time zone DEFAULT now() NOT NULL,
    deleted_at timestamp with time zone,
    workspace uuid,
    origin bigint,
    origin_seq bigint,
    owner_account uuid,
    acting_account uuid,
    absent_ms bigint DEFAULT 0 NOT NULL,
    absent_at timestamp with time zone,
    parked uuid,
    turn_ms bigint,
    backend text,
    excluded uuid[] DEFAULT '{}'::uuid[] NOT NULL,
    excluded_until timestamp with time zone,
    CONSTRAINT conversations_absent_ms_check CHECK ((absent_ms >= 0)),
    CONSTRAINT conversations_backend_check CHECK (((octet_length(backend) >= 1) AND (octet_length(backend) <= 200))),
    CONSTRAINT conversations_check CHECK (((owner_nonce IS NULL) = (owner_replica IS NULL))),
    CONSTRAINT conversations_check1 CHECK (((running IS NULL) OR (owner_nonce IS NOT NULL))),
    CONSTRAINT conversations_check2 CHECK (((ready_at IS NULL) OR (owner_nonce IS NULL))),
    CONSTRAINT conversations_check3 CHECK ((head <= last_turn)),
    CONSTRAINT conversations_check4 CHECK (((parked IS NULL) OR (running IS NULL))),
    CONSTRAINT conversations_epoch_check CHECK ((epoch >= 0)),
    CONSTRAINT conversations_head_check CHECK ((head >= 0)),
    CONSTRAINT conversations_origin CHECK (((origin IS NULL) = (origin_seq IS NULL))),
    CONSTRAINT conversations_queued_check CHECK ((queued >= 0))
)
WITH (fillfactor='70', autovacuum_vacuum_scale_factor='0.05');
ALTER TABLE ONLY turnpike.conversations FORCE ROW LEVEL SECURITY;
ALTER TABLE turnpike.conversations ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME turnpike.conversations_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE turnpike.dead_letters (
    turn uuid NOT NULL,
    org turnpike.identifier,
    code text NOT NULL,
    message text NOT NULL,
    attempts integer NOT NULL,
    died_at timestamp with time zone DEFAULT now() NOT NULL,
    redriven_at timestamp with time zone,
    redriven_as uuid,
    CONSTRAINT dead_letters_check CHECK (((redriven_at IS NULL) = (redriven_as IS NULL)))
);
ALTER TABLE ONLY turnpike.dead_letters FORCE ROW LEVEL SECURITY;
CREATE TABLE turnpike.deployments (
    deployment uuid NOT NULL,
    conversation_id bigint NOT NULL,
    replica uuid NOT NULL,
    epoch bigint NOT NULL,
    pid integer,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    ended_at timestamp with time zone,
    ending text
);
ALTER TABLE ONLY turnpike.deployments FORCE ROW LEVEL SECURITY;
CREATE TABLE turnpike.events (
    conversation_id bigint NOT NULL,
    seq bigint NOT NULL,
    turn uuid NOT NULL,
    type text NOT NULL,
    data json NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT events_seq_check CHECK ((seq > 0))
);
ALTER TABLE ONLY turnpike.events FORCE ROW LEVEL SECURITY;
CREATE TABLE turnpike.markers (
    turn uuid NOT NULL,
    conversation_id bigint NOT NULL,
    deployment uuid NOT NULL,
    replica uuid NOT NULL,
    epoch bigint NOT NULL,
    armed_at timestamp with time zone DEFAULT now() NOT NULL,
    progress_deadline timestamp with time zone NOT NULL,
    hard_deadline timestamp with time zone NOT NULL,
    batch bigint DEFAULT 0 NOT NULL
)
WITH (fillfactor='70', autovacuum_vacuum_scale_factor='0.02');
ALTER TABLE ONLY turnpike.markers FORCE ROW LEVEL SECURITY;
CREATE TABLE turnpike.migrations (
    number integer NOT NULL,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT migrations_number_check CHECK ((number > 0))
);
CREATE TABLE turnpike.openai_turns (
    turn uuid NOT NULL,
    org turnpike.identifier NOT NULL,
    fingerprint bytea,
    response json,
    made_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT openai_turns_fingerprint_check CHECK ((octet_length(fingerprint) = 32))
);
ALTER TABLE ONLY turnpike.openai_turns FORCE ROW LEVEL SECURITY;
CREATE TABLE turnpike.organizations (
    org turnpike.identifier NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);
ALTER TABLE ONLY turnpike.organizations FORCE ROW LEVEL SECURITY;
CREATE TABLE turnpike.outcomes (
    turn uuid NOT NULL,
    state text NOT NULL,
    code text,
    message text,
    reply text NOT NULL,
    stop_reason text,
    usage jsonb,
    epoch bigint,
    owner_nonce uuid,
    ended_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT outcomes_check CHECK (((state = 'failed'::text) = (code IS NOT NULL))),
    CONSTRAINT outcomes_state_check CHECK ((state = ANY (ARRAY['completed'::text, 'failed'::text, 'cancelled'::text])))
);
ALTER TABLE ONLY turnpike.outcomes FORCE ROW LEVEL SECURITY;
CREATE TABLE turnpike.parks (
    turn uuid NOT NULL,
    conversation_id bigint NOT NULL,
    continuation bytea NOT NULL,
    said text NOT NULL,
    parked_at timestamp with time zone DEFAULT now() NOT NULL,
    rounds integer DEFAULT 0 NOT NULL,
    ran interval DEFAULT '00:00:00'::interval NOT NULL
);
ALTER TABLE ONLY turnpike.parks ALTER COLUMN continuation SET STORAGE EXTERNAL;
ALTER TABLE ONLY turnpike.parks FORCE ROW LEVEL SECURITY;
CREATE TABLE turnpike.quota_tokens (
    org turnpike.identifier NOT NULL,
    token uuid NOT NULL,
    open integer NOT NULL
)
WITH (fillfactor='50');
ALTER TABLE ONLY turnpike.quota_tokens FORCE ROW LEVEL SECURITY;
CREATE TABLE turnpike.quotas (
    org turnpike.identifier NOT NULL,
    organization_turns integer,
    token_turns integer,
    conversation_turns integer,
    open integer NOT NULL,
    own_organization_turns integer,
    own_token_turns integer,
    own_conversation_turns integer,
    ceiling_organization_turns integer,
    ceiling_token_turns integer,
    ceiling_conversation_turns integer,
    CONSTRAINT quotas_ceiling_conversation_turns_check CHECK ((ceiling_conversation_turns >= 0)),
    CONSTRAINT quotas_ceiling_organization_turns_check CHECK ((ceiling_organization_turns >= 0)),
    CONSTRAINT quotas_ceiling_token_turns_check CHECK ((ceiling_token_turns >= 0)),
    CONSTRAINT quotas_conversation_turns_check CHECK ((conversation_turns >= 0)),
    CONSTRAINT quotas_organization_turns_check CHECK ((organization_turns >= 0)),
    CONSTRAINT quotas_own_conversation_turns_check CHECK ((own_conversation_turns >= 0)),
    CONSTRAINT quotas_own_organization_turns_check CHECK ((own_organization_turns >= 0)),
    CONSTRAINT quotas_own_token_turns_check CHECK ((own_token_turns >= 0)),
    CONSTRAINT quotas_token_turns_check CHECK ((token_turns >= 0))
)
WITH (fillfactor='50');
ALTER TABLE ONLY turnpike.quotas FORCE ROW LEVEL SECURITY;
CREATE TABLE turnpike.remote_runs (
    run uuid NOT NULL,
    org turnpike.identifier NOT NULL,
    token uuid NOT NULL,
    account uuid NOT NULL,
    claim_key text NOT NULL,
    conversation_id bigint NOT NULL,
    deployment uuid NOT NULL,
    turn uuid,
    attempt integer DEFAULT 0 NOT NULL,
    epoch bigint NOT NULL,
    owner_nonce uuid NOT NULL,
    lease_seconds integer NOT NULL,
    lease_until timestamp with time zone NOT NULL,
    batch bigint DEFAULT 0 NOT NULL,
    began_at timestamp with time zone DEFAULT now() NOT NULL,
    ended_at timestamp with time zone,
    output bigint DEFAULT 0 NOT NULL,
    CONSTRAINT remote_runs_claim_key_check CHECK (((length(claim_key) >= 1) AND (length(claim_key) <= 200))),
    CONSTRAINT remote_runs_lease_seconds_check CHECK ((lease_seconds > 0))
);
ALTER TABLE ONLY turnpike.remote_runs FORCE ROW LEVEL SECURITY;
CREATE TABLE turnpike.replicas (
    replica uuid NOT NULL,
    label text NOT NULL,
    version text NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    seen_at timestamp with time zone DEFAULT now() NOT NULL,
    draining boolean DEFAULT false NOT NULL,
    workers integer DEFAULT 0 NOT NULL,
    drain_asked boolean DEFAULT false NOT NULL,
    circuits jsonb DEFAULT '[]'::jsonb NOT NULL
);
ALTER TABLE ONLY turnpike.replicas FORCE ROW LEVEL SECURITY;
CREATE TABLE turnpike.snapshots (
    conversation_id bigint NOT NULL,
    seq bigint NOT NULL,
    parent bigint NOT NULL,
    kind text NOT NULL,
    body bytea NOT NULL,
    sha256 bytea NOT NULL,
    epoch bigint NOT NULL,
    owner_nonce uuid NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    format text DEFAULT 'blob'::text NOT NULL,
    CONSTRAINT snapshots_check CHECK (((parent >= 0) AND (parent < seq))),
    CONSTRAINT snapshots_check1 CHECK (((kind = 'base'::text) OR (parent > 0))),
    CONSTRAINT snapshots_format_check CHECK ((format = ANY (ARRAY['blob'::text, 'directory'::text]))),
    CONSTRAINT snapshots_kind_check CHECK ((kind = ANY (ARRAY['base'::text, 'delta'::text]))),
    CONSTRAINT snapshots_sha256_check CHECK ((octet_length(sha256) = 32))
);
ALTER TABLE ONLY turnpike.snapshots ALTER COLUMN body SET STORAGE EXTERNAL;
ALTER TABLE ONLY turnpike.snapshots FORCE ROW LEVEL SECURITY;
CREATE TABLE turnpike.threads (
    org turnpike.identifier NOT NULL,
    thread turnpike.identifier NOT NULL,
    agent turnpike.identifier,
    metadata json NOT NULL,
    items jsonb DEFAULT '[]'::jsonb NOT NULL,
    taken integer DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT threads_items_check CHECK ((jsonb_typeof(items) = 'array'::text)),
    CONSTRAINT threads_taken_check CHECK ((taken >= 0))
);
ALTER TABLE ONLY turnpike.threads FORCE ROW LEVEL SECURITY;
CREATE TABLE turnpike.tokens (
    token uuid NOT NULL,
    org turnpike.identifier NOT NULL,
    name text NOT NULL,
    hash bytea NOT NULL,
    scopes text[] NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone,
    revoked_at timestamp with time zone,
    parent uuid,
    previous_hash bytea,
    previous_until timestamp with time zone,
    account uuid,
    CONSTRAINT tokens_account CHECK (((account IS NULL) OR (scopes = '{}'::text[]))),
    CONSTRAINT tokens_check CHECK (((previous_hash IS NULL) = (previous_until IS NULL))),
    CONSTRAINT tokens_hash_check CHECK ((octet_length(hash) = 32)),
    CONSTRAINT tokens_name_check CHECK (((length(name) >= 1) AND (length(name) <= 200))),
    CONSTRAINT tokens_previous_hash_check CHECK ((octet_length(previous_hash) = 32)),
    CONSTRAINT tokens_scopes_check CHECK ((scopes <@ ARRAY['turns'::text, 'agents'::text, 'admin'::text, 'operator'::text]))
);
ALTER TABLE ONLY turnpike.tokens FORCE ROW LEVEL SECURITY;
ALTER TABLE ONLY turnpike.account_hosts
    ADD CONSTRAINT account_hosts_pkey PRIMARY KEY (account, replica);
ALTER TABLE ONLY turnpike.account_labels
    ADD CONSTRAINT account_labels_pkey PRIMARY KEY (org, label);
ALTER TABLE ONLY turnpike.accounts
    ADD CONSTRAINT accounts_org_provider_principal_key UNIQUE (org, provider, principal);
ALTER TABLE ONLY turnpike.accounts
    ADD CONSTRAINT accounts_pkey PRIMARY KEY (account);
ALTER TABLE ONLY turnpike.agents
    ADD CONSTRAINT agents_pkey PRIMARY KEY (org, agent);
ALTER TABLE ONLY turnpike.approval_rules
    ADD CONSTRAINT approval_rules_pkey PRIMARY KEY (rule);
ALTER TABLE ONLY turnpike.approvals
    ADD CONSTRAINT approvals_pkey PRIMARY KEY (approval);
ALTER TABLE ONLY turnpike.audit
    ADD CONSTRAINT audit_pkey PRIMARY KEY (id);
ALTER TABLE ONLY turnpike.calls
    ADD CONSTRAINT calls_approval_key UNIQUE (approval);
ALTER TABLE ONLY turnpike.calls
    ADD CONSTRAINT calls_pkey PRIMARY KEY (turn, call);
ALTER TABLE ONLY turnpike.conversations
    ADD CONSTRAINT conversations_pkey PRIMARY KEY (id);
ALTER TABLE ONLY turnpike.dead_letters
    ADD CONSTRAINT dead_letters_pkey PRIMARY KEY (turn);
ALTER TABLE ONLY turnpike.deployments
    ADD CONSTRAINT deployments_pkey PRIMARY KEY (deployment);
ALTER TABLE ONLY turnpike.events
    ADD CONSTRAINT events_pkey PRIMARY KEY (conversation_id, seq);
ALTER TABLE ONLY turnpike.markers
    ADD CONSTRAINT markers_conversation_id_key UNIQUE (conversation_id);
ALTER TABLE ONLY turnpike.markers
    ADD CONSTRAINT markers_pkey PRIMARY KEY (turn);
ALTER TABLE ONLY turnpike.migrations
    ADD CONSTRAINT migrations_pkey PRIMARY KEY (number);
ALTER TABLE ONLY turnpike.openai_turns
    ADD CONSTRAINT openai_turns_pkey PRIMARY KEY (turn);
ALTER TABLE ONLY turnpike.organizations
    ADD CONSTRAINT organizations_pkey PRIMARY KEY (org);
ALTER TABLE ONLY turnpike.outcomes
    ADD CONSTRAINT outcomes_pkey PRIMARY KEY (turn);
ALTER TABLE ONLY turnpike.parks
    ADD CONSTRAINT parks_pkey PRIMARY KEY (turn);
ALTER TABLE ONLY turnpike.quota_tokens
    ADD CONSTRAINT quota_tokens_pkey PRIMARY KEY (org, token);
ALTER TABLE ONLY turnpike.quotas
    ADD CONSTRAINT quotas_pkey PRIMARY KEY (org);
ALTER TABLE ONLY turnpike.remote_runs
    ADD CONSTRAINT remote_runs_pkey PRIMARY KEY (run);
ALTER TABLE ONLY turnpike.remote_runs
    ADD CONSTRAINT remote_runs_token_claim_key_key UNIQUE (token, claim_key);
ALTER TABLE ONLY turnpike.replicas
    ADD CONSTRAINT replicas_pkey PRIMARY KEY (replica);
ALTER TABLE ONLY turnpike.schedules
    ADD CONSTRAINT schedules_pkey PRIMARY KEY (org, schedule);
ALTER TABLE ONLY turnpike.snapshots
    ADD CONSTRAINT snapshots_conversation_id_parent_key UNIQUE (conversation_id, parent);
ALTER TABLE ONLY turnpike.snapshots
    ADD CONSTRAINT snapshots_pkey PRIMARY KEY (conversation_id, seq);
ALTER TABLE ONLY turnpike.threads
    ADD CONSTRAINT threads_pkey PRIMARY KEY (org, thread);
ALTER TABLE ONLY turnpike.tokens
    ADD CONSTRAINT tokens_hash_key UNIQUE (hash);
ALTER TABLE ONLY turnpike.tokens
    ADD CONSTRAINT tokens_pkey PRIMARY KEY (token);
ALTER TABLE ONLY turnpike.tokens
    ADD CONSTRAINT tokens_previous_hash_key UNIQUE (previous_hash);
ALTER TABLE ONLY turnpike.turns
    ADD CONSTRAINT turns_conversation_id_seq_key UNIQUE (conversation_id, seq);
ALTER TABLE ONLY turnpike.turns
    ADD CONSTRAINT turns_pkey PRIMARY KEY (turn);
CREATE INDEX account_hosts_replica ON turnpike.account_hosts USING btree (replica);
CREATE INDEX account_labels_account ON turnpike.account_labels USING btree (account);
CREATE INDEX agents_account ON turnpike.agents USING btree (org, agent) WHERE (account_provider IS NOT NULL);
CREATE INDEX agents_warm ON turnpike.agents USING btree (org, agent) WHERE ((configuration -> 'warm'::text) > '0'::jsonb);
CREATE UNIQUE INDEX approval_rules_exact ON turnpike.approval_rules USING btree (org, agent, arguments_hash) WHERE (arguments_hash IS NOT NULL);
CREATE INDEX approval_rules_org ON turnpike.approval_rules USING btree (org, rule);
CREATE INDEX approvals_conversation ON turnpike.approvals USING btree (conversation_id);
CREATE INDEX approvals_org ON turnpike.approvals USING btree (org, approval);
CREATE INDEX approvals_pending ON turnpike.approvals USING btree (org, approval) WHERE (state = 'pending'::text);
CREATE INDEX approvals_turn ON turnpike.approvals USING btree (turn, asked_at);
CREATE INDEX audit_org ON turnpike.audit USING btree (org, id);
CREATE INDEX conversations_acting ON turnpike.conversations USING btree (acting_account) WHERE ((acting_account IS NOT NULL) AND (owner_nonce IS NOT NULL));
CREATE UNIQUE INDEX conversations_key ON turnpike.conversations USING btree (org, agent, conversation);
CREATE INDEX conversations_owned ON turnpike.conversations USING btree (owner_replica) WHERE (owner_replica IS NOT NULL);
CREATE INDEX conversations_parked ON turnpike.conversations USING btree (id) WHERE (parked IS NOT NULL);
CREATE INDEX conversations_ready ON turnpike.conversations USING btree (COALESCE((org)::text, ''::text), agent, ready_at) WHERE (ready_at IS NOT NULL);
CREATE INDEX dead_letters_recent ON turnpike.dead_letters USING btree (org, died_at);
CREATE INDEX deployments_conversation ON turnpike.deployments USING btree (conversation_id, started_at);
CREATE INDEX deployments_live ON turnpike.deployments USING btree (replica) WHERE (ended_at IS NULL);
CREATE INDEX openai_turns_fingerprint ON turnpike.openai_turns USING btree (org, fingerprint, made_at) WHERE (fingerprint IS NOT NULL);
CREATE INDEX remote_runs_account ON turnpike.remote_runs USING btree (account) WHERE (ended_at IS NULL);
CREATE INDEX remote_runs_conversation ON turnpike.remote_runs USING btree (conversation_id);
CREATE INDEX remote_runs_ended ON turnpike.remote_runs USING btree (ended_at) WHERE (ended_at IS NOT NULL);
CREATE INDEX remote_runs_live ON turnpike.remote_runs USING btree (lease_until) WHERE (ended_at IS NULL);
CREATE INDEX remote_runs_turn ON turnpike.remote_runs USING btree (turn);
CREATE INDEX schedules_ready ON turnpike.schedules USING btree (ready_at) WHERE (ready_at IS NOT NULL);
CREATE INDEX snapshots_bases ON turnpike.snapshots USING btree (conversation_id, seq) WHERE ((kind = 'base'::text) AND (parent > 0));
CREATE INDEX tokens_org ON turnpike.tokens USING btree (org, created_at);
CREATE INDEX tokens_parent ON turnpike.tokens USING btree (parent) WHERE (parent IS NOT NULL);
CREATE UNIQUE INDEX turns_client_key ON turnpike.turns USING btree (org, client_key) WHERE (client_key IS NOT NULL);
CREATE INDEX turns_queued ON turnpike.turns USING btree (conversation_id, seq) WHERE (state = 'queued'::text);
CREATE TRIGGER turns_deleted AFTER DELETE ON turnpike.turns FOR EACH ROW WHEN ((old.ended_at IS NULL)) EXECUTE FUNCTION turnpike.count_turn();
CREATE TRIGGER turns_ended AFTER UPDATE OF ended_at ON turnpike.turns FOR EACH ROW WHEN (((old.ended_at IS NULL) <> (new.ended_at IS NULL))) EXECUTE FUNCTION turnpike.count_turn();
ALTER TABLE ONLY turnpike.account_hosts
    ADD CONSTRAINT account_hosts_account_fkey FOREIGN KEY (account) REFERENCES turnpike.accounts(account) ON DELETE CASCADE;
ALTER TABLE ONLY turnpike.account_hosts
    ADD CONSTRAINT account_hosts_replica_fkey FOREIGN KEY (replica) REFERENCES turnpike.replicas(replica) ON DELETE CASCADE;
ALTER TABLE ONLY turnpike.account_labels
    ADD CONSTRAINT account_labels_account_fkey FOREIGN KEY (account) REFERENCES turnpike.accounts(account) ON DELETE CASCADE;
ALTER TABLE ONLY turnpike.accounts
    ADD CONSTRAINT accounts_org_fkey FOREIGN KEY (org) REFERENCES turnpike.organizations(org);
ALTER TABLE ONLY turnpike.agents
    ADD CONSTRAINT agents_org_fkey FOREIGN KEY (org) REFERENCES turnpike.organizations(org);
ALTER TABLE ONLY turnpike.approvals
    ADD CONSTRAINT approvals_conversation_id_fkey FOREIGN KEY (conversation_id) REFERENCES turnpike.conversations(id) ON DELETE CASCADE;
ALTER TABLE ONLY turnpike.approvals
    ADD CONSTRAINT approvals_turn_fkey FOREIGN KEY (turn) REFERENCES turnpike.turns(turn) ON DELETE CASCADE;
ALTER TABLE ONLY turnpike.calls
    ADD CONSTRAINT calls_approval_fkey FOREIGN KEY (approval) REFERENCES turnpike.approvals(approval) ON DELETE CASCADE;
ALTER TABLE ONLY turnpike.calls
    ADD CONSTRAINT calls_turn_fkey FOREIGN KEY (turn) REFERENCES turnpike.turns(turn) ON DELETE CASCADE;
ALTER TABLE ONLY turnpike.dead_letters
    ADD CONSTRAINT dead_letters_turn_fkey FOREIGN KEY (turn) REFERENCES turnpike.turns(turn) ON DELETE CASCADE;
ALTER TABLE ONLY turnpike.deployments
    ADD CONSTRAINT deployments_conversation_id_fkey FOREIGN KEY (conversation_id) REFERENCES turnpike.conversations(id) ON DELETE CASCADE;
ALTER TABLE ONLY turnpike.markers
    ADD CONSTRAINT markers_conversation_id_fkey FOREIGN KEY (conversation_id) REFERENCES turnpike.conversations(id) ON DELETE CASCADE;
ALTER TABLE ONLY turnpike.markers
    ADD CONSTRAINT markers_turn_fkey FOREIGN KEY (turn) REFERENCES turnpike.turns(turn) ON DELETE CASCADE;
ALTER TABLE ONLY turnpike.openai_turns
    ADD CONSTRAINT openai_turns_turn_fkey FOREIGN KEY (turn) REFERENCES turnpike.turns(turn) ON DELETE CASCADE;
ALTER TABLE ONLY turnpike.outcomes
    ADD CONSTRAINT outcomes_turn_fkey FOREIGN KEY (turn) REFERENCES turnpike.turns(turn) ON DELETE CASCADE;
ALTER TABLE ONLY turnpike.parks
    ADD CONSTRAINT parks_conversation_id_fkey FOREIGN KEY (conversation_id) REFERENCES turnpike.conversations(id) ON DELETE CASCADE;
ALTER TABLE ONLY turnpike.parks
    ADD CONSTRAINT parks_turn_fkey FOREIGN KEY (turn) REFERENCES turnpike.turns(turn) ON DELETE CASCADE;
ALTER TABLE ONLY turnpike.quota_tokens
    ADD CONSTRAINT quota_tokens_org_fkey FOREIGN KEY (org) REFERENCES turnpike.organizations(org);
ALTER TABLE ONLY turnpike.quotas
    ADD CONSTRAINT quotas_org_fkey FOREIGN KEY (org) REFERENCES turnpike.organizations(org);
ALTER TABLE ONLY turnpike.remote_runs
    ADD CONSTRAINT remote_runs_conversation_id_fkey FOREIGN KEY (conversation_id) REFERENCES turnpike.conversations(id) ON DELETE CASCADE;
ALTER TABLE ONLY turnpike.remote_runs
    ADD CONSTRAINT remote_runs_turn_fkey FOREIGN KEY (turn) REFERENCES turnpike.turns(turn) ON DELETE CASCADE;
ALTER TABLE ONLY turnpike.schedules
    ADD CONSTRAINT schedules_org_fkey FOREIGN KEY (org) REFERENCES turnpike.organizations(org);
ALTER TABLE ONLY turnpike.snapshots
    ADD CONSTRAINT snapshots_conversation_id_fkey FOREIGN KEY (conversation_id) REFERENCES turnpike.conversations(id) ON DELETE CASCADE;
ALTER TABLE ONLY turnpike.tokens
    ADD CONSTRAINT tokens_org_fkey FOREIGN KEY (org) REFERENCES turnpike.organizations(org);
ALTER TABLE ONLY turnpike.tokens
    ADD CONSTRAINT tokens_parent_fkey FOREIGN KEY (parent) REFERENCES turnpike.tokens(token);
ALTER TABLE ONLY turnpike.turns
    ADD CONSTRAINT turns_conversation_id_fkey FOREIGN KEY (conversation_id) REFERENCES turnpike.conversations(id) ON DELETE CASCADE;
ALTER TABLE turnpike.account_hosts ENABLE ROW LEVEL SECURITY;
ALTER TABLE turnpike.account_labels ENABLE ROW LEVEL SECURITY;
ALTER TABLE turnpike.accounts ENABLE ROW LEVEL SECURITY;
ALTER TABLE turnpike.agents ENABLE ROW LEVEL SECURITY;
ALTER TABLE turnpike.approval_rules ENABLE ROW LEVEL SECURITY;
ALTER TABLE turnpike.approvals ENABLE ROW LEVEL SECURITY;
ALTER TABLE turnpike.audit ENABLE ROW LEVEL SECURITY;
ALTER TABLE turnpike.calls ENABLE ROW LEVEL SECURITY;
ALTER TABLE turnpike.conversations ENABLE ROW LEVEL SECURITY;
ALTER TABLE turnpike.dead_letters ENABLE ROW LEVEL SECURITY;
ALTER TABLE turnpike.deployments ENABLE ROW LEVEL SECURITY;
ALTER TABLE turnpike.events ENABLE ROW LEVEL SECURITY;
CREATE POLICY gateway ON turnpike.account_hosts TO turnpike_gateway USING (true);
CREATE POLICY gateway ON turnpike.account_labels TO turnpike_gateway USING (true);
CREATE POLICY gateway ON turnpike.accounts TO turnpike_gateway USING (true);
CREATE POLICY gateway ON turnpike.agents TO turnpike_gateway USING (true);
CREATE POLICY gateway ON turnpike.approval_rules TO turnpike_gateway USING (true);
CREATE POLICY gateway ON turnpike.approvals TO turnpike_gateway USING (true);
CREATE POLICY gateway ON turnpike.audit TO turnpike_gateway USING (true);
CREATE POLICY gateway ON turnpike.calls TO turnpike_gateway USING (true);
CREATE POLICY gateway ON turnpike.conversations TO turnpike_gateway USING (true);
CREATE POLICY gateway ON turnpike.dead_letters TO turnpike_gateway USING (true);
CREATE POLICY gateway ON turnpike.deployments TO turnpike_gateway USING (true);
CREATE POLICY gateway ON turnpike.events TO turnpike_gateway USING (true);
CREATE POLICY gateway ON turnpike.markers TO turnpike_gateway USING (true);
CREATE POLICY gateway ON turnpike.openai_turns TO turnpike_gateway USING (true);
CREATE POLICY gateway ON turnpike.organizations TO turnpike_gateway USING (true);
CREATE POLICY gateway ON turnpike.outcomes TO turnpike_gateway USING (true);
CREATE POLICY gateway ON turnpike.parks TO turnpike_gateway USING (true);
CREATE POLICY gateway ON turnpike.quota_tokens TO turnpike_gateway USING (true);
CREATE POLICY gateway ON turnpike.quotas TO turnpike_gateway USING (true);
CREATE POLICY gateway ON turnpike.remote_runs TO turnpike_gateway USING (true);
CREATE POLICY gateway ON turnpike.replicas TO turnpike_gateway USING (true);
CREATE POLICY gateway ON turnpike.schedules TO turnpike_gateway USING (true);
CREATE POLICY gateway ON turnpike.snapshots TO turnpike_gateway USING (true);
CREATE POLICY gateway ON turnpike.threads TO turnpike_gateway USING (true);
CREATE POLICY gateway ON turnpike.tokens TO turnpike_gateway USING (true);
CREATE POLICY gateway ON turnpike.turns TO turnpike_gateway USING (true);
ALTER TABLE turnpike.markers ENABLE ROW LEVEL SECURITY;
ALTER TABLE turnpike.openai_turns ENABLE ROW LEVEL SECURITY;
ALTER TABLE turnpike.organizations ENABLE ROW LEVEL SECURITY;
ALTER TABLE turnpike.outcomes ENABLE ROW LEVEL SECURITY;
ALTER TABLE turnpike.parks ENABLE ROW LEVEL SECURITY;
ALTER TABLE turnpike.quota_tokens ENABLE ROW LEVEL SECURITY;
ALTER TABLE turnpike.quotas ENABLE ROW LEVEL SECURITY;
ALTER TABLE turnpike.remote_runs ENABLE ROW LEVEL SECURITY;
ALTER TABLE turnpike.replicas ENABLE ROW LEVEL SECURITY;
ALTER TABLE turnpike.schedules ENABLE ROW LEVEL SECURITY;
ALTER TABLE turnpike.snapshots ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON turnpike.account_hosts TO turnpike_tenant USING (( SELECT true
   FROM turnpike.accounts a
  WHERE (a.account = account_hosts.account)));
CREATE POLICY tenant ON turnpike.account_labels TO turnpike_tenant USING (((org)::text = current_setting('turnpike.org'::text)));
CREATE POLICY tenant ON turnpike.accounts TO turnpike_tenant USING (((org)::text = current_setting('turnpike.org'::text)));
CREATE POLICY tenant ON turnpike.agents TO turnpike_tenant USING (((org)::text = current_setting('turnpike.org'::text)));
CREATE POLICY tenant ON turnpike.approval_rules TO turnpike_tenant USING (((org)::text = current_setting('turnpike.org'::text)));
CREATE POLICY tenant ON turnpike.approvals TO turnpike_tenant USING (((org)::text = current_setting('turnpike.org'::text)));
CREATE POLICY tenant ON turnpike.audit TO turnpike_tenant USING (((org)::text = current_setting('turnpike.org'::text)));
CREATE POLICY tenant ON turnpike.calls TO turnpike_tenant USING (( SELECT true
   FROM turnpike.turns t
  WHERE (t.turn = calls.turn)));
CREATE POLICY tenant ON turnpike.conversations TO turnpike_tenant USING (((org)::text = current_setting('turnpike.org'::text)));
CREATE POLICY tenant ON turnpike.dead_letters TO turnpike_tenant USING (((org)::text = current_setting('turnpike.org'::text)));
CREATE POLICY tenant ON turnpike.deployments TO turnpike_tenant USING (( SELECT true
   FROM turnpike.conversations c
  WHERE (c.id = deployments.conversation_id)));
CREATE POLICY tenant ON turnpike.events TO turnpike_tenant USING (( SELECT true
   FROM turnpike.conversations c
  WHERE (c.id = events.conversation_id)));
CREATE POLICY tenant ON turnpike.markers TO turnpike_tenant USING (( SELECT true
   FROM turnpike.conversations c
  WHERE (c.id = markers.conversation_id)));
CREATE POLICY tenant ON turnpike.openai_turns TO turnpike_tenant USING (((org)::text = current_setting('turnpike.org'::text)));
CREATE POLICY tenant ON turnpike.organizations TO turnpike_tenant USING (((org)::text = current_setting('turnpike.org'::text)));
CREATE POLICY tenant ON turnpike.outcomes TO turnpike_tenant USING (( SELECT true
   FROM turnpike.turns t
  WHERE (t.turn = outcomes.turn)));
CREATE POLICY tenant ON turnpike.parks TO turnpike_tenant USING (( SELECT true
   FROM turnpike.conversations c
  WHERE (c.id = parks.conversation_id)));
CREATE POLICY tenant ON turnpike.quota_tokens TO turnpike_tenant USING (((org)::text = current_setting('turnpike.org'::text)));
CREATE POLICY tenant ON turnpike.quotas TO turnpike_tenant USING (((org)::text = current_setting('turnpike.org'::text)));
CREATE POLICY tenant ON turnpike.remote_runs TO turnpike_tenant USING (((org)::text = current_setting('turnpike.org'::text)));
CREATE POLICY tenant ON turnpike.replicas TO turnpike_tenant USING (true);
CREATE POLICY tenant ON turnpike.schedules TO turnpike_tenant USING (((org)::text = current_setting('turnpike.org'::text)));
CREATE POLICY tenant ON turnpike.snapshots TO turnpike_tenant USING (( SELECT true
   FROM turnpike.conversations c
  WHERE (c.id = snapshots.conversation_id)));
CREATE POLICY tenant ON turnpike.threads TO turnpike_tenant USING (((org)::text = current_setting('turnpike.org'::text)));
CREATE POLICY tenant ON turnpike.tokens TO turnpike_tenant USING (((org)::text = current_setting('turnpike.org'::text)));
CREATE POLICY tenant ON turnpike.turns TO turnpike_tenant USING (((org)::text = current_setting('turnpike.org'::text)));
ALTER TABLE turnpike.threads ENABLE ROW LEVEL SECURITY;
ALTER TABLE turnpike.tokens ENABLE ROW LEVEL SECURITY;
ALTER TABLE turnpike.turns ENABLE ROW LEVEL SECURITY;
