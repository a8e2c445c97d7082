-- What an answer took, how it came about and for how long it is kept; and a version of each workspace's list of
-- documents, under which the list is cached.

GRANT minirag_auth TO CURRENT_USER WITH INHERIT FALSE, SET TRUE;
GRANT CREATE ON SCHEMA public TO minirag_auth;

-- The receipt of an answer ------------------------------------------------------------------------------------------

ALTER TABLE answers
    -- Made for who asked, for somebody at the same time, or before.
    ADD COLUMN cached text NOT NULL DEFAULT 'miss' CHECK (cached IN ('hit', 'miss', 'shared')),
    -- How well what was found could answer; NULL in what was kept before this was.
    ADD COLUMN answerability real,
    ADD COLUMN prompt_version text,
    -- The version of the price table.
    ADD COLUMN prices text,
    -- The function's time, which is part of cost_usd.
    ADD COLUMN function_usd numeric(14, 10),
    -- What it would have cost again, had it not been there.
    ADD COLUMN saved_usd numeric(14, 8),
    -- Milliseconds, by step.
    ADD COLUMN timings jsonb NOT NULL DEFAULT '{}',
    -- The sentences of the answer that no passage supports; they go with it.
    ADD COLUMN unsupported jsonb NOT NULL DEFAULT '[]',
    -- What the caller named; NULL where they left the choice to us.
    ADD COLUMN asked_provider text,
    ADD COLUMN asked_model text,
    -- Why the model stopped.
    ADD COLUMN finish text;
CREATE INDEX answers_age ON answers (created_at);

GRANT UPDATE (unsupported), DELETE ON answers TO minirag_auth;
SET LOCAL ROLE minirag_auth;
CREATE OR REPLACE FUNCTION empty_answers(wanted_source uuid)
RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    emptied integer;
BEGIN
    UPDATE answers SET answer = NULL, citations = '[]', unsupported = '[]'
    WHERE workspace_id = nullif(current_setting('app.workspace_id', true), '')::uuid
      AND source_ids @> ARRAY[wanted_source] AND answer IS NOT NULL;
    GET DIAGNOSTICS emptied = ROW_COUNT;
    RETURN emptied;
END
$$;
RESET ROLE;

-- Deletes the oldest answers of all tenants, with what people thought of them; returns how many, so many at most.
CREATE FUNCTION forget_answers(before timestamptz, most integer)
RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    forgotten integer;
BEGIN
    DELETE FROM answers a
    USING (
        SELECT o.workspace_id, o.id FROM answers o WHERE o.created_at < before ORDER BY o.created_at LIMIT most
    ) old
    WHERE a.workspace_id = old.workspace_id AND a.id = old.id;
    GET DIAGNOSTICS forgotten = ROW_COUNT;
    RETURN forgotten;
END
$$;
REVOKE ALL ON FUNCTION forget_answers(timestamptz, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION forget_answers(timestamptz, integer) TO minirag_app;
ALTER FUNCTION forget_answers(timestamptz, integer) OWNER TO minirag_auth;

-- The list of documents ---------------------------------------------------------------------------------------------

-- Grows in the transaction of whatever changes the list: who reads the list later than its version, and keeps it under
-- that version, keeps nothing that is older.
ALTER TABLE workspaces ADD COLUMN sources_version bigint NOT NULL DEFAULT 0;
GRANT UPDATE (sources_version) ON workspaces TO minirag_app, minirag_auth;

CREATE FUNCTION next_sources_version()
RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    changed uuid := CASE TG_OP WHEN 'DELETE' THEN OLD.workspace_id ELSE NEW.workspace_id END;
BEGIN
    -- Once a transaction, however many documents it changes: the setting ends with it.
    IF current_setting('app.sources_changed', true) IS DISTINCT FROM changed::text THEN
        UPDATE workspaces w SET sources_version = w.sources_version + 1 WHERE w.id = changed;
        PERFORM set_config('app.sources_changed', changed::text, true);
    END IF;
    RETURN NULL;
END
$$;
-- Deferred to the end of the transaction: the workspace's row is the last that it locks, and for that moment alone.
-- Whatever column changes counts, so that one which is shown from tomorrow on is not forgotten; tombstones do not.
CREATE CONSTRAINT TRIGGER sources_come_and_go AFTER INSERT OR DELETE ON sources
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION next_sources_version();
CREATE CONSTRAINT TRIGGER sources_change AFTER UPDATE ON sources
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN ((OLD.deleted_at IS NULL OR NEW.deleted_at IS NULL) AND OLD.* IS DISTINCT FROM NEW.*)
    EXECUTE FUNCTION next_sources_version();
REVOKE ALL ON FUNCTION next_sources_version() FROM PUBLIC;
ALTER FUNCTION next_sources_version() OWNER TO minirag_auth;

SET LOCAL ROLE minirag_auth;
-- Nothing that was cached for any workspace is found any more; returns how many there are.
CREATE OR REPLACE FUNCTION next_generations()
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    changed bigint;
BEGIN
    PERFORM operators_only();
    UPDATE workspaces SET generation = generation + 1, sources_version = sources_version + 1 WHERE deleted_at IS NULL;
    GET DIAGNOSTICS changed = ROW_COUNT;
    RETURN changed;
END
$$;
RESET ROLE;

-- The caller --------------------------------------------------------------------------------------------------------

-- Who calls, by a key or a session, in which organization and workspace, what they may do there and what is left of the
-- quota, which a question (`counted`) is taken from: all that a request must know before it begins, in one statement.
--
-- No row: the credential is unknown. `refused`: it is known and no longer good (revoked, expired, suspended, ended).
-- organization_id or workspace_id NULL: what was asked for is not the caller's, or there is none at all.
CREATE FUNCTION identify_caller(
    wanted_key bytea, wanted_user uuid, wanted_epoch integer, wanted_session uuid,
    wanted_workspace uuid, wanted_organization uuid, counted boolean, from_request text, from_ip text
)
RETURNS TABLE (
    refused text, api_key_id uuid, key_workspace_id uuid, key_expires_at timestamptz, scopes text[],
    user_id uuid, email text, platform_admin boolean,
    organization_id uuid, organization_role text, billing_status text,
    workspace_id uuid, workspace_role text, generation bigint, sources_version bigint,
    languages text[], embedding_model text,
    requests_today bigint, request_limit bigint, cost_this_month numeric, cost_limit numeric
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    today date := (now() AT TIME ZONE 'UTC')::date;
    stale boolean;
BEGIN
    IF wanted_key IS NOT NULL THEN
        SELECT k.id, k.workspace_id, k.expires_at, k.scopes, k.user_id,
               CASE WHEN k.revoked_at IS NOT NULL THEN 'revoked' WHEN k.expires_at <= now() THEN 'expired' END,
               k.last_used_at IS NULL OR k.last_used_at < now() - interval '1 minute'
        INTO api_key_id, key_workspace_id, key_expires_at, scopes, user_id, refused, stale
        FROM api_keys k WHERE k.key_hash = wanted_key;
        IF NOT FOUND THEN
            RETURN;
        END IF;
    ELSE
        scopes := ARRAY['read', 'write', 'admin'];
        IF EXISTS (SELECT FROM ended_sessions e WHERE e.id = wanted_session) THEN
            refused := 'ended';
        END IF;
        user_id := wanted_user;
    END IF;
    SELECT u.email, u.role = 'admin',
           CASE WHEN refused IS NOT NULL THEN refused
                WHEN u.status <> 'active' THEN 'suspended'
                WHEN wanted_key IS NULL AND u.session_epoch <> wanted_epoch THEN 'ended' END
    INTO email, platform_admin, refused
    FROM users u WHERE u.id = user_id;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF refused IS NOT NULL THEN
        IF wanted_key IS NOT NULL THEN
            UPDATE api_keys k SET refused_at = now()
            WHERE k.id = api_key_id AND (k.refused_at IS NULL OR k.refused_at < now() - interval '1 minute');
        ELSE
            UPDATE users u SET refused_at = now()
            WHERE u.id = identify_caller.user_id
              AND (u.refused_at IS NULL OR u.refused_at < now() - interval '1 minute');
        END IF;
        IF FOUND THEN
            INSERT INTO audit_log (organization_id, workspace_id, user_id, api_key_id, action, target, request_id, ip)
            VALUES ((SELECT w.organization_id FROM workspaces w WHERE w.id = key_workspace_id), key_workspace_id,
                    identify_caller.user_id, api_key_id, 'auth.refused', refused, from_request, from_ip);
        END IF;
        RETURN NEXT;
        RETURN;
    END IF;

    SELECT o.id, uo.role, o.billing_status, w.id, w.generation, w.sources_version, w.languages, w.embedding_model,
           CASE WHEN w.id IS NULL THEN NULL WHEN uo.role IN ('owner', 'admin') THEN 'admin' ELSE m.role END
    INTO organization_id, organization_role, billing_status, workspace_id, generation, sources_version, languages,
         embedding_model, workspace_role
    FROM user_organizations uo
    JOIN organizations o ON o.id = uo.organization_id
    LEFT JOIN (
        workspaces w LEFT JOIN workspace_members m ON m.workspace_id = w.id AND m.user_id = identify_caller.user_id
    )
        ON w.organization_id = uo.organization_id AND w.deleted_at IS NULL
       AND (m.user_id IS NOT NULL OR uo.role IN ('owner', 'admin'))
    WHERE uo.user_id = identify_caller.user_id
      AND (wanted_organization IS NULL OR uo.organization_id = wanted_organization)
      AND (wanted_workspace IS NULL OR w.id = wanted_workspace)
      AND (key_workspace_id IS NULL OR w.id = key_workspace_id)
    ORDER BY w.created_at NULLS LAST, w.id, o.created_at, o.id
    LIMIT 1;

    IF counted AND workspace_id IS NOT NULL AND 'read' = ANY (scopes) THEN
        SELECT q.request_limit_per_day, q.cost_limit_usd_a_month INTO request_limit, cost_limit
        FROM workspace_quota_settings q WHERE q.workspace_id = identify_caller.workspace_id;
        IF cost_limit IS NOT NULL THEN
            SELECT coalesce(sum(c.cost_usd), 0) INTO cost_this_month
            FROM workspace_usage_counters c
            WHERE c.workspace_id = identify_caller.workspace_id AND c.period_start >= date_trunc('month', today)::date;
        END IF;
        -- requests_today stays NULL where the limit is reached: what is refused is not counted.
        IF request_limit IS DISTINCT FROM 0 AND (cost_limit IS NULL OR cost_this_month < cost_limit) THEN
            INSERT INTO workspace_usage_counters AS c (workspace_id, period_start, kind, requests_count)
            VALUES (identify_caller.workspace_id, today, 'questions', 1)
            ON CONFLICT (workspace_id, period_start, kind) DO UPDATE SET requests_count = c.requests_count + 1
                WHERE request_limit IS NULL OR c.requests_count < request_limit
            RETURNING c.requests_count INTO requests_today;
        END IF;
        -- A count lost in a crash of the server is no harm; waiting for the disk at every question would be.
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;
    IF stale THEN
        UPDATE api_keys k SET last_used_at = now()
        WHERE k.id = api_key_id AND (k.last_used_at IS NULL OR k.last_used_at < now() - interval '1 minute');
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;
    RETURN NEXT;
END
$$;

REVOKE ALL ON FUNCTION identify_caller(bytea, uuid, integer, uuid, uuid, uuid, boolean, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION identify_caller(bytea, uuid, integer, uuid, uuid, uuid, boolean, text, text) TO minirag_app;
ALTER FUNCTION identify_caller(bytea, uuid, integer, uuid, uuid, uuid, boolean, text, text) OWNER TO minirag_auth;

-- Functions of the version before are still running, whose statements are prepared: for them it gives what it gave.
SET LOCAL ROLE minirag_auth;
CREATE OR REPLACE FUNCTION find_caller(
    wanted_key bytea, wanted_user uuid, wanted_epoch integer, wanted_session uuid,
    wanted_workspace uuid, wanted_organization uuid, counted boolean, from_request text, from_ip text
)
RETURNS TABLE (
    refused text, api_key_id uuid, key_workspace_id uuid, key_expires_at timestamptz, scopes text[],
    user_id uuid, email text, platform_admin boolean,
    organization_id uuid, organization_role text, billing_status text,
    workspace_id uuid, workspace_role text, generation bigint, languages text[], embedding_model text,
    requests_today bigint, request_limit bigint, cost_this_month numeric, cost_limit numeric
)
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT i.refused, i.api_key_id, i.key_workspace_id, i.key_expires_at, i.scopes, i.user_id, i.email,
           i.platform_admin, i.organization_id, i.organization_role, i.billing_status, i.workspace_id, i.workspace_role,
           i.generation, i.languages, i.embedding_model, i.requests_today, i.request_limit, i.cost_this_month,
           i.cost_limit
    FROM identify_caller(wanted_key, wanted_user, wanted_epoch, wanted_session, wanted_workspace, wanted_organization,
                         counted, from_request, from_ip) i
$$;
RESET ROLE;
REVOKE CREATE ON SCHEMA public FROM minirag_auth;
REVOKE minirag_auth FROM CURRENT_USER;
