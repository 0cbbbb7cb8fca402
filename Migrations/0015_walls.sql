-- Row-level security: the wall behind the name of the organization in every look-up.
--
-- turnpike_tenant is what a tenant's statements run as (SET LOCAL ROLE): it sees the rows of the organization that the
-- setting turnpike.org names, and no others. turnpike_gateway sees all rows and may change no table: whoever a gateway
-- logs in as is a member of it. Roles belong to the whole server, so they may be there already.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['turnpike_tenant', 'turnpike_gateway'] LOOP
        IF to_regrole(name) IS NULL THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', name);
            EXCEPTION
                -- Another database of this server is being migrated at the same moment.
                WHEN duplicate_object OR unique_violation THEN NULL;
                WHEN insufficient_privilege THEN
                    RAISE EXCEPTION 'the role % is missing, and % may not create roles', name, current_user
                        USING HINT = format(
                            'Once, as an administrator: CREATE ROLE turnpike_tenant NOLOGIN; '
                            'CREATE ROLE turnpike_gateway NOLOGIN IN ROLE turnpike_tenant; '
                            'GRANT turnpike_gateway TO %I', current_user);
            END;
        END IF;
    END LOOP;
    BEGIN
        IF NOT pg_has_role('turnpike_gateway', 'turnpike_tenant', 'MEMBER') THEN
            GRANT turnpike_tenant TO turnpike_gateway;
        END IF;
        -- The tables' owner is behind the walls like everybody else, and gets through as the gateway does.
        IF NOT pg_has_role('turnpike_gateway', 'USAGE') THEN
            GRANT turnpike_gateway TO CURRENT_USER;
        END IF;
    EXCEPTION
        WHEN unique_violation THEN NULL;
        WHEN insufficient_privilege THEN
            RAISE EXCEPTION '% may not join the role turnpike_gateway', current_user
                USING HINT = format('Once, as an administrator: GRANT turnpike_gateway TO %I', current_user);
    END;
END
$$;

GRANT USAGE ON SCHEMA turnpike TO turnpike_tenant, turnpike_gateway;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA turnpike TO turnpike_gateway;
ALTER DEFAULT PRIVILEGES IN SCHEMA turnpike GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO turnpike_gateway;

-- Puts a table of tenants' data behind the wall. p_mine says of a row whether it is the organization's; what it looks
-- at in another table is behind that table's wall. Without the setting, nothing is anybody's.
CREATE PROCEDURE turnpike.wall_off(
    p_table regclass,
    p_mine text DEFAULT $$org = current_setting('turnpike.org')$$
) LANGUAGE plpgsql AS $body$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', p_table);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', p_table);
    EXECUTE format('CREATE POLICY tenant ON %s TO turnpike_tenant USING (%s)', p_table, p_mine);
    EXECUTE format('CREATE POLICY gateway ON %s TO turnpike_gateway USING (true)', p_table);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO turnpike_tenant', p_table);
END
$body$;
REVOKE EXECUTE ON PROCEDURE turnpike.wall_off FROM PUBLIC;

CALL turnpike.wall_off('turnpike.organizations');
CALL turnpike.wall_off('turnpike.tokens');
CALL turnpike.wall_off('turnpike.agents');
CALL turnpike.wall_off('turnpike.conversations');
CALL turnpike.wall_off('turnpike.turns');
CALL turnpike.wall_off('turnpike.dead_letters');
CALL turnpike.wall_off('turnpike.approvals');
CALL turnpike.wall_off('turnpike.approval_rules');
CALL turnpike.wall_off('turnpike.openai_turns');
CALL turnpike.wall_off('turnpike.threads');
CALL turnpike.wall_off('turnpike.accounts');
CALL turnpike.wall_off('turnpike.account_labels');
CALL turnpike.wall_off(
    'turnpike.account_hosts', '(SELECT true FROM turnpike.accounts a WHERE a.account = account_hosts.account)');
-- Which replicas there are and which of them take work may be read by everybody; whose workers fail on them may not.
CALL turnpike.wall_off('turnpike.replicas', 'true');
REVOKE ALL ON turnpike.replicas FROM turnpike_tenant;
GRANT SELECT (replica, label, draining) ON turnpike.replicas TO turnpike_tenant;
-- A scalar look-up, not EXISTS: that might be planned as a hash of all conversations that the organization has.
CALL turnpike.wall_off('turnpike.outcomes', '(SELECT true FROM turnpike.turns t WHERE t.turn = outcomes.turn)');
CALL turnpike.wall_off('turnpike.calls', '(SELECT true FROM turnpike.turns t WHERE t.turn = calls.turn)');
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['events', 'snapshots', 'markers', 'deployments', 'parks'] LOOP
        CALL turnpike.wall_off(
            format('turnpike.%I', name)::regclass,
            '(SELECT true FROM turnpike.conversations c WHERE c.id = conversation_id)');
    END LOOP;
END
$$;
