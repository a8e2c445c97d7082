-- What must be found before a tenant is known. These functions, and nothing else, cross tenants: they run as
-- minirag_auth, which cannot log in and sees, by the policies below, just the tables they read.

CREATE POLICY lookup ON users                       TO minirag_auth USING (true);
CREATE POLICY lookup ON organizations               TO minirag_auth USING (true);
CREATE POLICY lookup ON workspaces                  TO minirag_auth USING (true);
CREATE POLICY lookup ON user_organizations          TO minirag_auth USING (true);
CREATE POLICY lookup ON workspace_members           TO minirag_auth USING (true);
CREATE POLICY lookup ON api_keys                    TO minirag_auth USING (true);
CREATE POLICY lookup ON organization_billing_events TO minirag_auth USING (true) WITH CHECK (true);

GRANT SELECT ON users, organizations, workspaces, user_organizations, workspace_members, api_keys TO minirag_auth;
GRANT SELECT, INSERT ON organization_billing_events TO minirag_auth;

-- Key hash -> caller. No row: the key is unknown, revoked or expired, or its user is suspended. A row without a
-- workspace: the key is good, but the workspace asked for is not the caller's (or there is none at all).
CREATE FUNCTION find_caller_by_api_key(wanted_hash bytea, wanted_workspace uuid)
RETURNS TABLE (
    api_key_id uuid, key_workspace_id uuid, key_expires_at timestamptz, user_id uuid, platform_admin boolean, scopes text[],
    workspace_id uuid, workspace_role text, organization_id uuid, organization_role text,
    billing_status text, generation bigint
)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT k.id, k.workspace_id, k.expires_at, u.id, u.role = 'admin', k.scopes,
           w.id, w.workspace_role, w.organization_id, w.organization_role, w.billing_status, w.generation
    FROM api_keys k
    JOIN users u ON u.id = k.user_id AND u.status = 'active'
    LEFT JOIN LATERAL (
        SELECT ws.id, ws.organization_id, ws.generation, o.billing_status, uo.role AS organization_role,
               CASE WHEN uo.role IN ('owner', 'admin') THEN 'admin' ELSE m.role END AS workspace_role
        FROM workspaces ws
        JOIN organizations o ON o.id = ws.organization_id
        JOIN user_organizations uo ON uo.organization_id = ws.organization_id AND uo.user_id = k.user_id
        LEFT JOIN workspace_members m ON m.workspace_id = ws.id AND m.user_id = k.user_id
        WHERE (m.user_id IS NOT NULL OR uo.role IN ('owner', 'admin'))
          AND (k.workspace_id IS NULL OR ws.id = k.workspace_id)
          AND (wanted_workspace IS NULL OR ws.id = wanted_workspace)
        ORDER BY ws.created_at, ws.id
        LIMIT 1
    ) w ON true
    WHERE k.key_hash = wanted_hash
      AND k.revoked_at IS NULL
      AND (k.expires_at IS NULL OR k.expires_at > now())
$$;

-- Stripe event -> organization, recorded once. True if it was new.
CREATE FUNCTION record_billing_event(new_event_id text, new_event_type text, customer_id text, new_payload jsonb)
RETURNS boolean
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
    WITH recorded AS (
        INSERT INTO organization_billing_events (organization_id, event_id, event_type, payload)
        VALUES (
            (SELECT o.id FROM organizations o WHERE o.stripe_customer_id = customer_id),
            new_event_id, new_event_type, new_payload
        )
        ON CONFLICT (event_id) DO NOTHING
        RETURNING 1
    )
    SELECT EXISTS (SELECT FROM recorded)
$$;

REVOKE ALL ON FUNCTION find_caller_by_api_key(bytea, uuid) FROM PUBLIC;
REVOKE ALL ON FUNCTION record_billing_event(text, text, text, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION find_caller_by_api_key(bytea, uuid) TO minirag_app;
GRANT EXECUTE ON FUNCTION record_billing_event(text, text, text, jsonb) TO minirag_app;

-- Handing a function over takes CREATE on the schema for the new owner, for this one moment, and the right to
-- become it.
GRANT minirag_auth TO CURRENT_USER WITH INHERIT FALSE, SET TRUE;
GRANT CREATE ON SCHEMA public TO minirag_auth;
ALTER FUNCTION find_caller_by_api_key(bytea, uuid) OWNER TO minirag_auth;
ALTER FUNCTION record_billing_event(text, text, text, jsonb) OWNER TO minirag_auth;
REVOKE CREATE ON SCHEMA public FROM minirag_auth;
REVOKE minirag_auth FROM CURRENT_USER;
