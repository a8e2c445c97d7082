-- Which model's vectors the questions to a workspace are compared with. Vectors of others may lie beside them; NULL
-- until the first are stored.
ALTER TABLE workspaces ADD COLUMN embedding_model text;
GRANT UPDATE (embedding_model) ON workspaces TO minirag_app;

-- So far there was one model a deployment; where it has changed, the one with the most vectors.
ALTER TABLE workspaces NO FORCE ROW LEVEL SECURITY;
ALTER TABLE chunk_vectors NO FORCE ROW LEVEL SECURITY;
UPDATE workspaces w
SET embedding_model = (
    SELECT v.model
    FROM chunk_vectors v
    WHERE v.workspace_id = w.id
    GROUP BY v.model
    ORDER BY count(*) DESC, v.model
    LIMIT 1
);
ALTER TABLE workspaces FORCE ROW LEVEL SECURITY;
ALTER TABLE chunk_vectors FORCE ROW LEVEL SECURITY;

GRANT minirag_auth TO CURRENT_USER WITH INHERIT FALSE, SET TRUE;
SET LOCAL ROLE minirag_auth;
DROP FUNCTION find_caller_by_api_key(bytea, uuid);
RESET ROLE;

-- As before, and with the model.
CREATE FUNCTION find_caller_by_api_key(wanted_hash bytea, wanted_workspace uuid)
RETURNS TABLE (
    api_key_id uuid, key_workspace_id uuid, key_expires_at timestamptz, user_id uuid, platform_admin boolean, scopes text[],
    workspace_id uuid, workspace_role text, organization_id uuid, organization_role text,
    billing_status text, generation bigint, languages text[], embedding_model text
)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT k.id, k.workspace_id, k.expires_at, u.id, u.role = 'admin', k.scopes,
           w.id, w.workspace_role, w.organization_id, w.organization_role, w.billing_status, w.generation,
           w.languages, w.embedding_model
    FROM api_keys k
    JOIN users u ON u.id = k.user_id AND u.status = 'active'
    LEFT JOIN LATERAL (
        SELECT ws.id, ws.organization_id, ws.generation, ws.languages, ws.embedding_model, o.billing_status,
               uo.role AS organization_role,
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
