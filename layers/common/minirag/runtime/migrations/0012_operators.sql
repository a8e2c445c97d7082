-- What operators see and do across tenants, and the audit log that says so.
--
-- These functions refuse unless the transaction says app.operator = 'on', which is set for platform admins and for
-- scripts alone: tenant code that called one by mistake would get an error instead of another tenant's rows.

GRANT minirag_auth TO CURRENT_USER WITH INHERIT FALSE, SET TRUE;
GRANT CREATE ON SCHEMA public TO minirag_auth;

CREATE FUNCTION operators_only()
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    IF current_setting('app.operator', true) IS DISTINCT FROM 'on' THEN
        RAISE EXCEPTION 'only operators see across tenants' USING ERRCODE = 'insufficient_privilege';
    END IF;
END
$$;

-- The audit log -----------------------------------------------------------------------------------------------------

ALTER TABLE audit_log
    -- What an action changed, in a few words or numbers; never a secret, never document text.
    ADD COLUMN detail jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN user_agent text;
-- Number and time of a row are the database's.
REVOKE INSERT ON audit_log FROM minirag_app;
GRANT INSERT (organization_id, workspace_id, user_id, api_key_id, action, target, request_id, ip, user_agent, detail)
    ON audit_log TO minirag_app;
CREATE INDEX audit_log_listing ON audit_log (created_at, id);
DROP POLICY organization ON audit_log;
CREATE POLICY organization ON audit_log FOR SELECT TO minirag_app
    USING (organization_id = nullif(current_setting('app.organization_id', true), '')::uuid);
CREATE POLICY append ON audit_log FOR INSERT TO minirag_app
    WITH CHECK (organization_id IS NULL
                OR organization_id = nullif(current_setting('app.organization_id', true), '')::uuid);

-- One link a sealed row: SHA-256 of the link before and the row. A row that is changed, taken out or slipped in later
-- no longer fits, and who rewrites all links meets the heads that were logged outside the database.
CREATE TABLE audit_chain (
    position  bigint PRIMARY KEY,
    audit_id  bigint NOT NULL UNIQUE,
    hash      bytea NOT NULL CHECK (length(hash) = 32),
    sealed_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE audit_chain IS 'scope: global';
ALTER TABLE audit_chain ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY lookup ON audit_chain TO minirag_auth USING (true) WITH CHECK (true);
GRANT SELECT, INSERT ON audit_chain TO minirag_auth;

-- What of a row is sealed: all of it, in one spelling.
CREATE FUNCTION audit_link(before bytea, entry audit_log)
RETURNS bytea
LANGUAGE sql STABLE
SET search_path = pg_catalog, public, pg_temp
SET timezone = 'UTC'
AS $$
    SELECT sha256(before || convert_to(jsonb_build_array(
        entry.id, entry.organization_id, entry.workspace_id, entry.user_id, entry.api_key_id, entry.action, entry.target,
        entry.request_id, entry.ip, entry.user_agent, entry.detail,
        to_char(entry.created_at, 'YYYY-MM-DD"T"HH24:MI:SS.US')
    )::text, 'UTF8'))
$$;

-- Seals what is not sealed yet, oldest first, at most so many rows; returns how many and the newest link. Writers are
-- not held up, and what they commit meanwhile is sealed the next time. A row is written within minutes of its time, so
-- only those since an hour before the last seal are looked at.
CREATE FUNCTION seal_audit_log(most integer)
RETURNS TABLE (sealed integer, head_position bigint, head bytea)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    entry audit_log;
    since timestamptz;
BEGIN
    -- One sealer at a time.
    PERFORM pg_advisory_xact_lock(hashtextextended('seal_audit_log', 0));
    sealed := 0;
    SELECT c.position, c.hash, c.sealed_at - interval '1 hour' INTO head_position, head, since
    FROM audit_chain c ORDER BY c.position DESC LIMIT 1;
    IF NOT FOUND THEN
        head_position := 0;
        head := '\x'::bytea;
        since := '-infinity';
    ELSE
        -- What an earlier run left over is older than its seal.
        since := least(since, (SELECT l.created_at FROM audit_chain c JOIN audit_log l ON l.id = c.audit_id
                               WHERE c.position = head_position) - interval '1 hour');
    END IF;
    FOR entry IN
        SELECT l.* FROM audit_log l
        WHERE l.created_at > coalesce(since, '-infinity') AND NOT EXISTS (SELECT FROM audit_chain c WHERE c.audit_id = l.id)
        ORDER BY l.created_at, l.id LIMIT most
    LOOP
        head_position := head_position + 1;
        head := audit_link(head, entry);
        INSERT INTO audit_chain (position, audit_id, hash) VALUES (head_position, entry.id, head);
        sealed := sealed + 1;
    END LOOP;
    RETURN NEXT;
END
$$;

-- Walks the chain and tells what does not fit: a row that was changed, one that is missing, one that was never sealed
-- though it claims to be older than the chain's end by an hour. No row: nothing was tampered with.
CREATE FUNCTION verify_audit_log()
RETURNS TABLE (audit_id bigint, problem text)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    link     record;
    before   bytea := '\x';
    expected bigint := 0;
BEGIN
    PERFORM operators_only();
    FOR link IN
        SELECT c.position, c.audit_id, c.hash, l AS entry, l.id IS NOT NULL AS present
        FROM audit_chain c LEFT JOIN audit_log l ON l.id = c.audit_id ORDER BY c.position
    LOOP
        expected := expected + 1;
        IF link.position <> expected THEN
            audit_id := link.audit_id; problem := 'links before this one are missing';
            expected := link.position;
            RETURN NEXT;
        END IF;
        IF NOT link.present THEN
            audit_id := link.audit_id; problem := 'the row is missing';
            RETURN NEXT;
        ELSIF audit_link(before, link.entry) <> link.hash THEN
            audit_id := link.audit_id; problem := 'the row or its link was changed';
            RETURN NEXT;
        END IF;
        before := link.hash;
    END LOOP;
    RETURN QUERY
        SELECT l.id, 'the row was slipped in'
        FROM audit_log l
        WHERE l.created_at < (SELECT max(c.sealed_at) FROM audit_chain c) - interval '1 hour'
          AND NOT EXISTS (SELECT FROM audit_chain c WHERE c.audit_id = l.id)
          -- A run seals so many rows at most: what is newer than its newest row waits for the next run.
          AND l.created_at < (SELECT p.created_at FROM audit_chain c JOIN audit_log p ON p.id = c.audit_id
                              ORDER BY c.position DESC LIMIT 1) - interval '1 hour';
END
$$;

CREATE FUNCTION find_audit_head()
RETURNS TABLE ("position" bigint, head bytea, unsealed bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM operators_only();
    RETURN QUERY
        SELECT coalesce(max(c.position), 0), coalesce((SELECT e.hash FROM audit_chain e ORDER BY e.position DESC LIMIT 1), ''),
               (SELECT count(*) FROM audit_log) - count(*)
        FROM audit_chain c;
END
$$;

CREATE FUNCTION find_audit(
    wanted_organization uuid, wanted_user uuid, wanted_action text, since timestamptz, until timestamptz,
    before_at timestamptz, before_id bigint, most integer
)
RETURNS TABLE (
    id bigint, organization_id uuid, workspace_id uuid, user_id uuid, api_key_id uuid, action text, target text,
    detail jsonb, request_id text, ip text, user_agent text, created_at timestamptz, link bytea
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM operators_only();
    RETURN QUERY
        SELECT l.id, l.organization_id, l.workspace_id, l.user_id, l.api_key_id, l.action, l.target, l.detail,
               l.request_id, l.ip, l.user_agent, l.created_at, c.hash
        FROM audit_log l LEFT JOIN audit_chain c ON c.audit_id = l.id
        WHERE (wanted_organization IS NULL OR l.organization_id = wanted_organization)
          AND (wanted_user IS NULL OR l.user_id = wanted_user)
          -- Whole, or by its family: `api_key` finds `api_key.create`.
          AND (wanted_action IS NULL OR l.action = wanted_action OR starts_with(l.action, wanted_action || '.'))
          AND (since IS NULL OR l.created_at >= since)
          AND (until IS NULL OR l.created_at < until)
          AND (before_at IS NULL OR (l.created_at, l.id) < (before_at, before_id))
        ORDER BY l.created_at DESC, l.id DESC
        LIMIT most;
END
$$;

SET LOCAL ROLE minirag_auth;
DROP FUNCTION record_billing_event(text, text, text, jsonb);
RESET ROLE;

-- Stripe event -> organization, recorded once, in the audit log too. True if it was new.
CREATE FUNCTION record_billing_event(
    new_event_id text, new_event_type text, customer_id text, new_payload jsonb, from_request text, from_ip text
)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    organization uuid := (SELECT o.id FROM organizations o WHERE o.stripe_customer_id = customer_id);
BEGIN
    INSERT INTO organization_billing_events (organization_id, event_id, event_type, payload)
    VALUES (organization, new_event_id, new_event_type, new_payload)
    ON CONFLICT (event_id) DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO audit_log (organization_id, action, target, detail, request_id, ip)
    VALUES (organization, 'billing.event', new_event_id, jsonb_build_object('type', new_event_type), from_request,
            from_ip);
    RETURN true;
END
$$;

-- Tenants, seen from above ------------------------------------------------------------------------------------------

CREATE POLICY lookup ON workspace_totals TO minirag_auth USING (true);
GRANT SELECT ON workspace_totals TO minirag_auth;
DROP POLICY lookup ON organizations;
CREATE POLICY lookup ON organizations TO minirag_auth USING (true) WITH CHECK (true);
GRANT UPDATE (name, plan, billing_status) ON organizations TO minirag_auth;
CREATE POLICY touch ON workspaces FOR UPDATE TO minirag_auth USING (true);
GRANT UPDATE (generation) ON workspaces TO minirag_auth;
CREATE INDEX organizations_listing ON organizations (created_at, id);
CREATE INDEX workspaces_listing ON workspaces (created_at, id);

CREATE FUNCTION find_users(
    wanted uuid, wanted_email text, wanted_status text, before_at timestamptz, before_id uuid, most integer
)
RETURNS TABLE (
    id uuid, email text, name text, role text, status text, created_at timestamptz, last_sign_in_at timestamptz
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM operators_only();
    RETURN QUERY
        SELECT u.id, u.email, u.name, u.role, u.status, u.created_at, u.last_sign_in_at
        FROM users u
        WHERE (wanted IS NULL OR u.id = wanted)
          AND (wanted_email IS NULL OR lower(u.email) = lower(wanted_email))
          AND (wanted_status IS NULL OR u.status = wanted_status)
          AND (before_at IS NULL OR (u.created_at, u.id) < (before_at, before_id))
        ORDER BY u.created_at DESC, u.id DESC
        LIMIT most;
END
$$;

-- No row: somebody has this address already.
CREATE FUNCTION create_user(new_email text, new_name text)
RETURNS SETOF uuid
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    PERFORM operators_only();
    RETURN QUERY INSERT INTO users (email, name) VALUES (new_email, new_name) ON CONFLICT DO NOTHING RETURNING id;
END
$$;

-- Changes what is not NULL. What a user may do changes at once, so all their sessions end. Says `changed`, `unknown` if
-- there is no such user, or `last` if no active operator would be left.
CREATE FUNCTION change_user(wanted uuid, new_role text, new_status text)
RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    PERFORM operators_only();
    -- Two who demote each other do so one after the other.
    PERFORM pg_advisory_xact_lock(hashtextextended('change_user', 0));
    IF (new_role = 'user' OR new_status = 'suspended')
       AND EXISTS (SELECT FROM users u WHERE u.id = wanted AND u.role = 'admin' AND u.status = 'active')
       AND NOT EXISTS (SELECT FROM users u WHERE u.id <> wanted AND u.role = 'admin' AND u.status = 'active') THEN
        RETURN 'last';
    END IF;
    UPDATE users u
    SET role = coalesce(new_role, u.role), status = coalesce(new_status, u.status), session_epoch = u.session_epoch + 1
    WHERE u.id = wanted;
    RETURN CASE WHEN FOUND THEN 'changed' ELSE 'unknown' END;
END
$$;

CREATE FUNCTION find_organizations(wanted uuid, before_at timestamptz, before_id uuid, most integer)
RETURNS TABLE (
    id uuid, name text, slug text, plan text, billing_status text, stripe_customer_id text,
    current_period_end timestamptz, created_at timestamptz, members bigint, workspaces bigint
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM operators_only();
    RETURN QUERY
        SELECT o.id, o.name, o.slug, o.plan, o.billing_status, o.stripe_customer_id, o.current_period_end, o.created_at,
               (SELECT count(*) FROM user_organizations uo WHERE uo.organization_id = o.id),
               (SELECT count(*) FROM workspaces w WHERE w.organization_id = o.id AND w.deleted_at IS NULL)
        FROM organizations o
        WHERE (wanted IS NULL OR o.id = wanted)
          AND (before_at IS NULL OR (o.created_at, o.id) < (before_at, before_id))
        ORDER BY o.created_at DESC, o.id DESC
        LIMIT most;
END
$$;

-- Changes what is not NULL. False: no such organization.
CREATE FUNCTION change_organization(wanted uuid, new_name text, new_plan text, new_billing_status text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    PERFORM operators_only();
    UPDATE organizations o
    SET name = coalesce(new_name, o.name), plan = coalesce(new_plan, o.plan),
        billing_status = coalesce(new_billing_status, o.billing_status)
    WHERE o.id = wanted;
    RETURN FOUND;
END
$$;

CREATE FUNCTION find_workspaces(
    wanted uuid, wanted_organization uuid, before_at timestamptz, before_id uuid, most integer
)
RETURNS TABLE (
    id uuid, organization_id uuid, name text, generation bigint, chunks bigint, bytes bigint, created_at timestamptz,
    deleted_at timestamptz
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM operators_only();
    RETURN QUERY
        SELECT w.id, w.organization_id, w.name, w.generation, coalesce(t.chunks, 0), coalesce(t.bytes, 0), w.created_at,
               w.deleted_at
        FROM workspaces w LEFT JOIN workspace_totals t ON t.workspace_id = w.id
        WHERE (wanted IS NULL OR w.id = wanted)
          AND (wanted_organization IS NULL OR w.organization_id = wanted_organization)
          AND (before_at IS NULL OR (w.created_at, w.id) < (before_at, before_id))
        ORDER BY w.created_at DESC, w.id DESC
        LIMIT most;
END
$$;

CREATE FUNCTION find_api_keys(
    wanted uuid, wanted_user uuid, wanted_workspace uuid, before_at timestamptz, before_id uuid, most integer
)
RETURNS TABLE (
    id uuid, prefix text, user_id uuid, workspace_id uuid, scopes text[], description text, created_at timestamptz,
    expires_at timestamptz, revoked_at timestamptz, last_used_at timestamptz
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM operators_only();
    RETURN QUERY
        SELECT k.id, k.prefix, k.user_id, k.workspace_id, k.scopes, k.description, k.created_at, k.expires_at,
               k.revoked_at, k.last_used_at
        FROM api_keys k
        WHERE (wanted IS NULL OR k.id = wanted)
          AND (wanted_user IS NULL OR k.user_id = wanted_user)
          AND (wanted_workspace IS NULL OR k.workspace_id = wanted_workspace)
          AND (before_at IS NULL OR (k.created_at, k.id) < (before_at, before_id))
        ORDER BY k.created_at DESC, k.id DESC
        LIMIT most;
END
$$;

-- False: no such key. Revoking twice leaves the first time.
CREATE FUNCTION revoke_api_key(wanted uuid)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    PERFORM operators_only();
    UPDATE api_keys k SET revoked_at = coalesce(k.revoked_at, now()) WHERE k.id = wanted;
    RETURN FOUND;
END
$$;

CREATE FUNCTION count_everything()
RETURNS TABLE (
    users bigint, organizations bigint, workspaces bigint, api_keys bigint, chunks numeric, bytes numeric,
    open_jobs bigint, requests_today numeric, cost_this_month numeric
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    today date := (now() AT TIME ZONE 'UTC')::date;
BEGIN
    PERFORM operators_only();
    RETURN QUERY SELECT
        (SELECT count(*) FROM users u WHERE u.status = 'active'),
        (SELECT count(*) FROM organizations),
        (SELECT count(*) FROM workspaces w WHERE w.deleted_at IS NULL),
        (SELECT count(*) FROM api_keys k WHERE k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())),
        (SELECT coalesce(sum(t.chunks), 0) FROM workspace_totals t),
        (SELECT coalesce(sum(t.bytes), 0) FROM workspace_totals t),
        (SELECT count(*) FROM jobs j WHERE j.status IN ('queued', 'running')),
        (SELECT coalesce(sum(c.requests_count), 0) FROM workspace_usage_counters c WHERE c.period_start = today),
        (SELECT coalesce(sum(c.cost_usd), 0) FROM workspace_usage_counters c
         WHERE c.period_start >= date_trunc('month', today)::date);
END
$$;
CREATE INDEX workspace_usage_counters_day ON workspace_usage_counters (period_start);

-- Nothing that was cached for any workspace is found any more; returns how many there are.
CREATE FUNCTION next_generations()
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    changed bigint;
BEGIN
    PERFORM operators_only();
    UPDATE workspaces SET generation = generation + 1 WHERE deleted_at IS NULL;
    GET DIAGNOSTICS changed = ROW_COUNT;
    RETURN changed;
END
$$;

DO $hand_over$
DECLARE
    one regprocedure;
BEGIN
    FOREACH one IN ARRAY ARRAY[
        'operators_only()', 'find_audit_head()', 'audit_link(bytea, audit_log)', 'seal_audit_log(integer)', 'verify_audit_log()',
        'find_audit(uuid, uuid, text, timestamptz, timestamptz, timestamptz, bigint, integer)',
        'find_users(uuid, text, text, timestamptz, uuid, integer)', 'create_user(text, text)',
        'change_user(uuid, text, text)', 'find_organizations(uuid, timestamptz, uuid, integer)',
        'change_organization(uuid, text, text, text)',
        'find_workspaces(uuid, uuid, timestamptz, uuid, integer)',
        'find_api_keys(uuid, uuid, uuid, timestamptz, uuid, integer)', 'revoke_api_key(uuid)',
        'count_everything()', 'next_generations()',
        'record_billing_event(text, text, text, jsonb, text, text)'
    ]::regprocedure[]
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', one);
        IF one NOT IN ('operators_only()'::regprocedure, 'audit_link(bytea, audit_log)'::regprocedure) THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO minirag_app', one);
        END IF;
        EXECUTE format('ALTER FUNCTION %s OWNER TO minirag_auth', one);
    END LOOP;
END
$hand_over$;
REVOKE CREATE ON SCHEMA public FROM minirag_auth;
REVOKE minirag_auth FROM CURRENT_USER;
