-- Who may be somebody here, and how they show it: sign-in, sessions, invitations; and what they may use up.

-- Every look-up of this file runs as minirag_auth, which cannot log in; handing a function over to it takes CREATE on
-- the schema for this one moment, and the right to become it.
GRANT minirag_auth TO CURRENT_USER WITH INHERIT FALSE, SET TRUE;
GRANT CREATE ON SCHEMA public TO minirag_auth;

-- Signing in ------------------------------------------------------------------------------------------------------

ALTER TABLE users ADD COLUMN last_sign_in_at timestamptz;
CREATE INDEX users_listing ON users (created_at, id);

-- Who somebody is at the identity provider: its subject stays, an address may pass on to another person.
CREATE TABLE user_identities (
    issuer     text NOT NULL,
    subject    text NOT NULL,
    user_id    uuid NOT NULL REFERENCES users (id),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (issuer, subject),
    UNIQUE (user_id, issuer)
);
COMMENT ON TABLE user_identities IS 'scope: global';

-- Sign-ins whose one use of the state is over: nobody's row, reached by use_login_state alone.
CREATE TABLE used_login_states (
    state_hash bytea PRIMARY KEY,
    used_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX used_login_states_age ON used_login_states (used_at);
COMMENT ON TABLE used_login_states IS 'scope: global';

-- Sessions that were logged out of before their end.
CREATE TABLE ended_sessions (
    id      uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users (id),
    ends_at timestamptz NOT NULL
);
CREATE INDEX ended_sessions_user ON ended_sessions (user_id, ends_at);
COMMENT ON TABLE ended_sessions IS 'scope: global';

ALTER TABLE user_identities   ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE used_login_states ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE ended_sessions    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY oneself ON ended_sessions TO minirag_app
    USING      (user_id = nullif(current_setting('app.user_id', true), '')::uuid)
    WITH CHECK (user_id = nullif(current_setting('app.user_id', true), '')::uuid);
GRANT SELECT, INSERT, DELETE ON ended_sessions TO minirag_app;
-- All sessions of a user end when it grows.
GRANT UPDATE (session_epoch) ON users TO minirag_app;

CREATE POLICY lookup ON user_identities   TO minirag_auth USING (true) WITH CHECK (true);
CREATE POLICY lookup ON used_login_states TO minirag_auth USING (true) WITH CHECK (true);
CREATE POLICY lookup ON ended_sessions    TO minirag_auth USING (true);
GRANT SELECT, INSERT ON user_identities TO minirag_auth;
GRANT SELECT, INSERT, DELETE ON used_login_states TO minirag_auth;
GRANT SELECT ON ended_sessions TO minirag_auth;
GRANT INSERT ON users TO minirag_auth;
GRANT UPDATE (email, name, last_sign_in_at, role, status, session_epoch) ON users TO minirag_auth;
DROP POLICY lookup ON users;
CREATE POLICY lookup ON users TO minirag_auth USING (true) WITH CHECK (true);

-- True the first time; a state is remembered for longer than a sign-in may take.
CREATE FUNCTION use_login_state(hash bytea)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    DELETE FROM used_login_states WHERE used_at < now() - interval '1 day';
    INSERT INTO used_login_states (state_hash) VALUES (hash) ON CONFLICT DO NOTHING;
    RETURN FOUND;
END
$$;

-- The user behind a verified identity; made if `may_join`, or if somebody has invited this address. `outcome`: known,
-- new, suspended, uninvited, or taken (the address is that of somebody with another subject at this provider).
CREATE FUNCTION sign_in(new_issuer text, new_subject text, verified_email text, new_name text, may_join boolean)
RETURNS TABLE (outcome text, user_id uuid, email text, name text, role text, session_epoch integer, invited boolean)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    who        users%ROWTYPE;
    is_invited boolean;
    was        text := 'known';
BEGIN
    -- Two first sign-ins of one person at once are one after the other.
    PERFORM pg_advisory_xact_lock(hashtextextended('sign_in ' || lower(verified_email), 0));
    SELECT EXISTS (
        SELECT FROM invitations i JOIN workspaces w ON w.id = i.workspace_id AND w.deleted_at IS NULL
        WHERE lower(i.email) = lower(verified_email) AND i.ended_at IS NULL AND i.expires_at > now()
    ) INTO is_invited;
    SELECT u.* INTO who FROM user_identities d JOIN users u ON u.id = d.user_id
    WHERE d.issuer = new_issuer AND d.subject = new_subject;
    IF NOT FOUND THEN
        SELECT u.* INTO who FROM users u WHERE lower(u.email) = lower(verified_email);
        IF NOT FOUND THEN
            IF NOT may_join AND NOT is_invited THEN
                RETURN QUERY SELECT 'uninvited', NULL::uuid, NULL::text, NULL::text, NULL::text, NULL::integer, false;
                RETURN;
            END IF;
            INSERT INTO users (email, name) VALUES (verified_email, new_name) RETURNING * INTO who;
            was := 'new';
        ELSIF EXISTS (SELECT FROM user_identities d WHERE d.user_id = who.id AND d.issuer = new_issuer) THEN
            RETURN QUERY SELECT 'taken', who.id, NULL::text, NULL::text, NULL::text, NULL::integer, false;
            RETURN;
        END IF;
        INSERT INTO user_identities (issuer, subject, user_id) VALUES (new_issuer, new_subject, who.id);
    END IF;
    IF who.status <> 'active' THEN
        RETURN QUERY SELECT 'suspended', who.id, NULL::text, NULL::text, NULL::text, NULL::integer, false;
        RETURN;
    END IF;
    -- The provider's word on name and address is newer than ours, unless that address is somebody else's here.
    UPDATE users u SET
        name = new_name,
        last_sign_in_at = now(),
        email = CASE WHEN EXISTS (SELECT FROM users o WHERE lower(o.email) = lower(verified_email) AND o.id <> who.id)
                     THEN u.email ELSE verified_email END
    WHERE u.id = who.id
    RETURNING * INTO who;
    RETURN QUERY SELECT was, who.id, who.email, who.name, who.role, who.session_epoch, is_invited;
END
$$;

-- Organizations, workspaces, members --------------------------------------------------------------------------------

ALTER TABLE workspaces
    -- Nobody is in a deleted workspace; it held no documents any more.
    ADD COLUMN deleted_at timestamptz;
GRANT UPDATE (deleted_at) ON workspaces TO minirag_app;
-- A workspace is made by its organization; from inside it is only seen and changed.
DROP POLICY workspace ON workspaces;
CREATE POLICY workspace ON workspaces FOR SELECT TO minirag_app
    USING (id = nullif(current_setting('app.workspace_id', true), '')::uuid);
CREATE POLICY workspace_change ON workspaces FOR UPDATE TO minirag_app
    USING      (id = nullif(current_setting('app.workspace_id', true), '')::uuid)
    WITH CHECK (id = nullif(current_setting('app.workspace_id', true), '')::uuid);
GRANT UPDATE (name) ON organizations TO minirag_app;
GRANT INSERT ON organizations TO minirag_app;
GRANT INSERT, UPDATE (role) ON user_organizations TO minirag_app;

-- An organization takes its founder in by itself; all others come by an invitation, see accept_invitation.
DROP POLICY organization ON user_organizations;
CREATE POLICY organization ON user_organizations FOR SELECT TO minirag_app
    USING (organization_id = nullif(current_setting('app.organization_id', true), '')::uuid);
CREATE POLICY change ON user_organizations FOR UPDATE TO minirag_app
    USING      (organization_id = nullif(current_setting('app.organization_id', true), '')::uuid)
    WITH CHECK (organization_id = nullif(current_setting('app.organization_id', true), '')::uuid);
CREATE POLICY founder ON user_organizations FOR INSERT TO minirag_app
    WITH CHECK (organization_id = nullif(current_setting('app.organization_id', true), '')::uuid
                AND user_id = nullif(current_setting('app.user_id', true), '')::uuid);

-- A member of a workspace belongs to its organization, and leaves the one with the other.
ALTER TABLE workspace_members ADD COLUMN organization_id uuid;
ALTER TABLE workspace_members  NO FORCE ROW LEVEL SECURITY;
ALTER TABLE workspaces         NO FORCE ROW LEVEL SECURITY;
ALTER TABLE user_organizations NO FORCE ROW LEVEL SECURITY;
UPDATE workspace_members m SET organization_id = w.organization_id FROM workspaces w WHERE w.id = m.workspace_id;
ALTER TABLE workspace_members
    ALTER COLUMN organization_id SET NOT NULL,
    ADD FOREIGN KEY (organization_id, workspace_id) REFERENCES workspaces (organization_id, id),
    ADD FOREIGN KEY (organization_id, user_id) REFERENCES user_organizations (organization_id, user_id) ON DELETE CASCADE;
ALTER TABLE workspace_members  FORCE ROW LEVEL SECURITY;
ALTER TABLE workspaces         FORCE ROW LEVEL SECURITY;
ALTER TABLE user_organizations FORCE ROW LEVEL SECURITY;
CREATE INDEX workspace_members_organization ON workspace_members (organization_id, user_id);

CREATE TABLE invitations (
    workspace_id      uuid NOT NULL,
    id                uuid NOT NULL DEFAULT gen_random_uuid(),
    organization_id   uuid NOT NULL,
    email             text NOT NULL CHECK (length(email) <= 320),
    role              text NOT NULL CHECK (role IN ('admin', 'editor', 'reader')),
    organization_role text NOT NULL DEFAULT 'member' CHECK (organization_role IN ('admin', 'member')),
    invited_by        uuid NOT NULL REFERENCES users (id),
    created_at        timestamptz NOT NULL DEFAULT now(),
    expires_at        timestamptz NOT NULL,
    -- Accepted or withdrawn.
    ended_at          timestamptz,
    PRIMARY KEY (workspace_id, id),
    FOREIGN KEY (organization_id, workspace_id) REFERENCES workspaces (organization_id, id)
);
CREATE UNIQUE INDEX invitations_open ON invitations (workspace_id, lower(email)) WHERE ended_at IS NULL;
CREATE INDEX invitations_email ON invitations (lower(email)) WHERE ended_at IS NULL;
COMMENT ON TABLE invitations IS 'scope: workspace';
ALTER TABLE invitations ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY workspace ON invitations TO minirag_app
    USING      (workspace_id = nullif(current_setting('app.workspace_id', true), '')::uuid)
    WITH CHECK (workspace_id = nullif(current_setting('app.workspace_id', true), '')::uuid);
GRANT SELECT, INSERT ON invitations TO minirag_app;
GRANT UPDATE (role, organization_role, invited_by, expires_at, ended_at) ON invitations TO minirag_app;
CREATE POLICY lookup ON invitations TO minirag_auth USING (true) WITH CHECK (true);
GRANT SELECT, UPDATE (ended_at) ON invitations TO minirag_auth;
DROP POLICY lookup ON user_organizations;
DROP POLICY lookup ON workspace_members;
CREATE POLICY lookup ON user_organizations TO minirag_auth USING (true) WITH CHECK (true);
CREATE POLICY lookup ON workspace_members  TO minirag_auth USING (true) WITH CHECK (true);
GRANT INSERT, DELETE ON user_organizations TO minirag_auth;
GRANT INSERT ON workspace_members TO minirag_auth;

-- Everything that the user of the transaction belongs to: organizations, and the workspaces in each that are open to
-- them (a row with workspace_id NULL for an organization without one).
CREATE FUNCTION find_memberships()
RETURNS TABLE (
    organization_id uuid, organization_name text, organization_role text, organization_created_at timestamptz,
    billing_status text, workspace_id uuid, workspace_name text, workspace_role text, workspace_created_at timestamptz
)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT o.id, o.name, uo.role, o.created_at, o.billing_status, w.id, w.name, w.role, w.created_at
    FROM user_organizations uo
    JOIN organizations o ON o.id = uo.organization_id
    LEFT JOIN LATERAL (
        SELECT ws.id, ws.name, ws.created_at,
               CASE WHEN uo.role IN ('owner', 'admin') THEN 'admin' ELSE m.role END AS role
        FROM workspaces ws
        LEFT JOIN workspace_members m ON m.workspace_id = ws.id AND m.user_id = uo.user_id
        WHERE ws.organization_id = uo.organization_id AND ws.deleted_at IS NULL
          AND (m.user_id IS NOT NULL OR uo.role IN ('owner', 'admin'))
    ) w ON true
    WHERE uo.user_id = nullif(current_setting('app.user_id', true), '')::uuid
    ORDER BY o.created_at, o.id, w.created_at, w.id
$$;

-- The people of the transaction's organization: their names are in a table that shows each only themselves.
CREATE FUNCTION find_people()
RETURNS TABLE (user_id uuid, email text, name text, role text, created_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT u.id, u.email, u.name, uo.role, uo.created_at
    FROM user_organizations uo JOIN users u ON u.id = uo.user_id
    WHERE uo.organization_id = nullif(current_setting('app.organization_id', true), '')::uuid
$$;

-- The open invitations to the verified address of the transaction's user.
CREATE FUNCTION find_invitations()
RETURNS TABLE (
    id uuid, workspace_id uuid, workspace_name text, organization_name text, role text, invited_by text,
    created_at timestamptz, expires_at timestamptz
)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT i.id, i.workspace_id, w.name, o.name, i.role, b.email, i.created_at, i.expires_at
    FROM users u
    JOIN invitations i ON lower(i.email) = lower(u.email) AND i.ended_at IS NULL AND i.expires_at > now()
    JOIN workspaces w ON w.id = i.workspace_id AND w.deleted_at IS NULL
    JOIN organizations o ON o.id = w.organization_id
    JOIN users b ON b.id = i.invited_by
    WHERE u.id = nullif(current_setting('app.user_id', true), '')::uuid
    ORDER BY i.created_at, i.id
$$;

-- Makes the transaction's user a member as invited; no row: there is no such invitation for them, or who invited them may
-- not any more. What they are already they stay.
CREATE FUNCTION accept_invitation(wanted uuid, from_request text, from_ip text)
RETURNS TABLE (workspace_id uuid, organization_id uuid, role text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    me  uuid := nullif(current_setting('app.user_id', true), '')::uuid;
    got invitations%ROWTYPE;
BEGIN
    UPDATE invitations i SET ended_at = now()
    FROM users u, workspaces w, users b JOIN user_organizations bo ON bo.user_id = b.id AND bo.role IN ('owner', 'admin')
    WHERE i.id = wanted AND i.ended_at IS NULL AND i.expires_at > now()
      AND u.id = me AND lower(u.email) = lower(i.email)
      AND b.id = i.invited_by AND b.status = 'active' AND bo.organization_id = i.organization_id
      AND w.id = i.workspace_id AND w.deleted_at IS NULL
    RETURNING i.* INTO got;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    INSERT INTO user_organizations (organization_id, user_id, role)
    VALUES (got.organization_id, me, got.organization_role) ON CONFLICT DO NOTHING;
    INSERT INTO workspace_members (organization_id, workspace_id, user_id, role)
    VALUES (got.organization_id, got.workspace_id, me, got.role) ON CONFLICT DO NOTHING;
    INSERT INTO audit_log (organization_id, workspace_id, user_id, action, target, detail, request_id, ip)
    VALUES (got.organization_id, got.workspace_id, me, 'invitation.accept', got.id::text,
            jsonb_build_object('role', got.role, 'organization_role', got.organization_role), from_request, from_ip);
    RETURN QUERY SELECT m.workspace_id, m.organization_id, m.role FROM workspace_members m
                 WHERE m.workspace_id = got.workspace_id AND m.user_id = me;
END
$$;

-- Somebody leaves the transaction's organization: the open invitations to them and by them, and their keys that are tied
-- to its workspaces, end with it.
CREATE FUNCTION end_membership(wanted_user uuid)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    organization uuid := nullif(current_setting('app.organization_id', true), '')::uuid;
BEGIN
    UPDATE invitations i SET ended_at = now()
    FROM users u
    WHERE i.organization_id = organization AND i.ended_at IS NULL AND u.id = wanted_user
      AND (i.invited_by = u.id OR lower(i.email) = lower(u.email));
    UPDATE api_keys k SET revoked_at = now()
    FROM workspaces w
    WHERE w.organization_id = organization AND k.workspace_id = w.id AND k.user_id = wanted_user
      AND k.revoked_at IS NULL;
    DELETE FROM user_organizations uo WHERE uo.organization_id = organization AND uo.user_id = wanted_user;
END
$$;

-- Keys --------------------------------------------------------------------------------------------------------------

ALTER TABLE api_keys
    ADD COLUMN last_used_at timestamptz,
    -- When it was last tried though it was no longer good, which is written down once a minute.
    ADD COLUMN refused_at timestamptz;
ALTER TABLE users ADD COLUMN refused_at timestamptz;
CREATE INDEX api_keys_listing ON api_keys (created_at, id);
GRANT UPDATE (expires_at) ON api_keys TO minirag_app;
CREATE POLICY touch ON api_keys FOR UPDATE TO minirag_auth USING (true);
GRANT UPDATE (last_used_at, refused_at, revoked_at) ON api_keys TO minirag_auth;
GRANT UPDATE (refused_at) ON users TO minirag_auth;

-- A key acts as its user, so that nobody makes one for another; whoever administers a workspace sees and ends all of it.
DROP POLICY workspace ON api_keys;
DROP POLICY oneself ON api_keys;
CREATE POLICY workspace ON api_keys FOR SELECT TO minirag_app
    USING (workspace_id = nullif(current_setting('app.workspace_id', true), '')::uuid);
CREATE POLICY oneself ON api_keys FOR SELECT TO minirag_app
    USING (workspace_id IS NULL AND user_id = nullif(current_setting('app.user_id', true), '')::uuid);
CREATE POLICY change ON api_keys FOR UPDATE TO minirag_app
    USING      (workspace_id = nullif(current_setting('app.workspace_id', true), '')::uuid)
    WITH CHECK (workspace_id = nullif(current_setting('app.workspace_id', true), '')::uuid);
CREATE POLICY change_oneself ON api_keys FOR UPDATE TO minirag_app
    USING      (workspace_id IS NULL AND user_id = nullif(current_setting('app.user_id', true), '')::uuid)
    WITH CHECK (workspace_id IS NULL AND user_id = nullif(current_setting('app.user_id', true), '')::uuid);
CREATE POLICY creation ON api_keys FOR INSERT TO minirag_app
    WITH CHECK (user_id = nullif(current_setting('app.user_id', true), '')::uuid
                AND (workspace_id IS NULL
                     OR workspace_id = nullif(current_setting('app.workspace_id', true), '')::uuid));

-- To whom a form was given to send a job's file by: when the file comes, they must still be somebody who may.
ALTER TABLE jobs ADD COLUMN form_user_id uuid, ADD COLUMN form_api_key_id uuid;

-- Whether a user may write in the transaction's workspace, by this key if one is named.
CREATE FUNCTION may_write(wanted_user uuid, wanted_key uuid)
RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM users u
        JOIN workspaces w ON w.id = nullif(current_setting('app.workspace_id', true), '')::uuid AND w.deleted_at IS NULL
        JOIN user_organizations uo ON uo.organization_id = w.organization_id AND uo.user_id = u.id
        LEFT JOIN workspace_members m ON m.workspace_id = w.id AND m.user_id = u.id
        WHERE u.id = wanted_user AND u.status = 'active'
          AND (uo.role IN ('owner', 'admin') OR m.role IN ('admin', 'editor'))
    ) AND (wanted_key IS NULL OR EXISTS (
        SELECT FROM api_keys k
        WHERE k.id = wanted_key AND k.user_id = wanted_user AND 'write' = ANY (k.scopes)
          AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
    ))
$$;

-- What belongs to no organization: signing in, what operators do to the platform.
ALTER TABLE audit_log ALTER COLUMN organization_id DROP NOT NULL;
CREATE POLICY lookup ON audit_log TO minirag_auth USING (true) WITH CHECK (true);
GRANT SELECT, INSERT ON audit_log TO minirag_auth;

-- Quotas ------------------------------------------------------------------------------------------------------------

-- A row for what questions use and one for what documents do, so that neither waits for the other.
ALTER TABLE workspace_usage_counters
    ADD COLUMN kind text NOT NULL DEFAULT 'documents' CHECK (kind IN ('questions', 'documents')),
    ADD COLUMN cost_usd numeric(14, 8) NOT NULL DEFAULT 0,
    DROP CONSTRAINT workspace_usage_counters_pkey,
    ADD PRIMARY KEY (workspace_id, period_start, kind);
ALTER TABLE workspace_usage_counters ALTER COLUMN kind DROP DEFAULT;

CREATE POLICY lookup ON workspace_quota_settings TO minirag_auth USING (true);
CREATE POLICY lookup ON workspace_usage_counters TO minirag_auth USING (true) WITH CHECK (true);
GRANT SELECT ON workspace_quota_settings TO minirag_auth;
GRANT SELECT, INSERT, UPDATE ON workspace_usage_counters TO minirag_auth;

-- The caller --------------------------------------------------------------------------------------------------------

SET LOCAL ROLE minirag_auth;
DROP FUNCTION find_caller_by_api_key(bytea, uuid);
RESET ROLE;

-- Who calls, by a key or a session, in which organization and workspace, what they may do there and what is left of the
-- quota, which a question (`counted`) is taken from: all that a request must know before it begins, in one statement.
--
-- No row: the credential is unknown. `refused`: it is known and no longer good (revoked, expired, suspended, ended).
-- organization_id or workspace_id NULL: what was asked for is not the caller's, or there is none at all.
CREATE FUNCTION find_caller(
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
            WHERE u.id = find_caller.user_id AND (u.refused_at IS NULL OR u.refused_at < now() - interval '1 minute');
        END IF;
        IF FOUND THEN
            INSERT INTO audit_log (organization_id, workspace_id, user_id, api_key_id, action, target, request_id, ip)
            VALUES ((SELECT w.organization_id FROM workspaces w WHERE w.id = key_workspace_id), key_workspace_id,
                    find_caller.user_id, api_key_id, 'auth.refused', refused, from_request, from_ip);
        END IF;
        RETURN NEXT;
        RETURN;
    END IF;

    SELECT o.id, uo.role, o.billing_status, w.id, w.generation, w.languages, w.embedding_model,
           CASE WHEN w.id IS NULL THEN NULL WHEN uo.role IN ('owner', 'admin') THEN 'admin' ELSE m.role END
    INTO organization_id, organization_role, billing_status, workspace_id, generation, languages, embedding_model,
         workspace_role
    FROM user_organizations uo
    JOIN organizations o ON o.id = uo.organization_id
    LEFT JOIN (workspaces w LEFT JOIN workspace_members m ON m.workspace_id = w.id AND m.user_id = find_caller.user_id)
        ON w.organization_id = uo.organization_id AND w.deleted_at IS NULL
       AND (m.user_id IS NOT NULL OR uo.role IN ('owner', 'admin'))
    WHERE uo.user_id = find_caller.user_id
      AND (wanted_organization IS NULL OR uo.organization_id = wanted_organization)
      AND (wanted_workspace IS NULL OR w.id = wanted_workspace)
      AND (key_workspace_id IS NULL OR w.id = key_workspace_id)
    ORDER BY w.created_at NULLS LAST, w.id, o.created_at, o.id
    LIMIT 1;

    IF counted AND workspace_id IS NOT NULL AND 'read' = ANY (scopes) THEN
        SELECT q.request_limit_per_day, q.cost_limit_usd_a_month INTO request_limit, cost_limit
        FROM workspace_quota_settings q WHERE q.workspace_id = find_caller.workspace_id;
        IF cost_limit IS NOT NULL THEN
            SELECT coalesce(sum(c.cost_usd), 0) INTO cost_this_month
            FROM workspace_usage_counters c
            WHERE c.workspace_id = find_caller.workspace_id AND c.period_start >= date_trunc('month', today)::date;
        END IF;
        -- requests_today stays NULL where the limit is reached: what is refused is not counted.
        IF request_limit IS DISTINCT FROM 0 AND (cost_limit IS NULL OR cost_this_month < cost_limit) THEN
            INSERT INTO workspace_usage_counters AS c (workspace_id, period_start, kind, requests_count)
            VALUES (find_caller.workspace_id, today, 'questions', 1)
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

REVOKE ALL ON FUNCTION use_login_state(bytea) FROM PUBLIC;
REVOKE ALL ON FUNCTION sign_in(text, text, text, text, boolean) FROM PUBLIC;
REVOKE ALL ON FUNCTION find_memberships() FROM PUBLIC;
REVOKE ALL ON FUNCTION find_people() FROM PUBLIC;
REVOKE ALL ON FUNCTION find_invitations() FROM PUBLIC;
REVOKE ALL ON FUNCTION accept_invitation(uuid, text, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION may_write(uuid, uuid) FROM PUBLIC;
REVOKE ALL ON FUNCTION end_membership(uuid) FROM PUBLIC;
REVOKE ALL ON FUNCTION find_caller(bytea, uuid, integer, uuid, uuid, uuid, boolean, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION use_login_state(bytea) TO minirag_app;
GRANT EXECUTE ON FUNCTION sign_in(text, text, text, text, boolean) TO minirag_app;
GRANT EXECUTE ON FUNCTION find_memberships() TO minirag_app;
GRANT EXECUTE ON FUNCTION find_people() TO minirag_app;
GRANT EXECUTE ON FUNCTION find_invitations() TO minirag_app;
GRANT EXECUTE ON FUNCTION accept_invitation(uuid, text, text) TO minirag_app;
GRANT EXECUTE ON FUNCTION may_write(uuid, uuid) TO minirag_app;
GRANT EXECUTE ON FUNCTION end_membership(uuid) TO minirag_app;
GRANT EXECUTE ON FUNCTION find_caller(bytea, uuid, integer, uuid, uuid, uuid, boolean, text, text) TO minirag_app;
ALTER FUNCTION use_login_state(bytea) OWNER TO minirag_auth;
ALTER FUNCTION sign_in(text, text, text, text, boolean) OWNER TO minirag_auth;
ALTER FUNCTION find_memberships() OWNER TO minirag_auth;
ALTER FUNCTION find_people() OWNER TO minirag_auth;
ALTER FUNCTION find_invitations() OWNER TO minirag_auth;
ALTER FUNCTION accept_invitation(uuid, text, text) OWNER TO minirag_auth;
ALTER FUNCTION may_write(uuid, uuid) OWNER TO minirag_auth;
ALTER FUNCTION end_membership(uuid) OWNER TO minirag_auth;
ALTER FUNCTION find_caller(bytea, uuid, integer, uuid, uuid, uuid, boolean, text, text) OWNER TO minirag_auth;
REVOKE CREATE ON SCHEMA public FROM minirag_auth;
REVOKE minirag_auth FROM CURRENT_USER;
