-- What a question must know of its workspace before it is searched comes with the caller's identity.

-- The languages of the documents: a question is analyzed in each of them.
ALTER TABLE workspaces ADD COLUMN languages text[] NOT NULL DEFAULT '{}';
GRANT UPDATE (languages) ON workspaces TO minirag_app;

GRANT minirag_auth TO CURRENT_USER WITH INHERIT FALSE, SET TRUE;
SET LOCAL ROLE minirag_auth;
DROP FUNCTION find_caller_by_api_key(bytea, uuid);
RESET ROLE;

-- As before, and with the languages.
CREATE FUNCTION find_caller_by_api_key(wanted_hash bytea, wanted_workspace uuid)
RETURNS TABLE (
    api_key_id uuid, key_workspace_id uuid, key_expires_at timestamptz, user_id uuid, platform_admin boolean, scopes text[],
    workspace_id uuid, workspace_role text, organization_id uuid, organization_role text,
    billing_status text, generation bigint, languages text[]
)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT k.id, k.workspace_id, k.expires_at, u.id, u.role = 'admin', k.scopes,
           w.id, w.workspace_role, w.organization_id, w.organization_role, w.billing_status, w.generation, w.languages
    FROM api_keys k
    JOIN users u ON u.id = k.user_id AND u.status = 'active'
    LEFT JOIN LATERAL (
        SELECT ws.id, ws.organization_id, ws.generation, ws.languages, o.billing_status, uo.role AS organization_role,
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

REVOKE ALL ON FUNCTION find_caller_by_api_key(bytea, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION find_caller_by_api_key(bytea, uuid) TO minirag_app;
GRANT CREATE ON SCHEMA public TO minirag_auth;
ALTER FUNCTION find_caller_by_api_key(bytea, uuid) OWNER TO minirag_auth;
REVOKE CREATE ON SCHEMA public FROM minirag_auth;
REVOKE minirag_auth FROM CURRENT_USER;
