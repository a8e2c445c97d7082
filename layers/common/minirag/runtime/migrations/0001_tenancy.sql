-- Roles, tenants and who belongs to them.
--
-- Every table names its scope in its comment and has the row-level policy of that scope:
--   global        readable by all (schema_migrations), or only as oneself (users)
--   organization  organization_id = app.organization_id
--   workspace     workspace_id    = app.workspace_id
-- The settings are local to a transaction (runtime/db.py). After a transaction an unset setting reads as '',
-- hence nullif. The condition stays inline: behind a sub-select the planner loses its selectivity.

DO $roles$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'minirag_app') THEN
        -- What the functions connect as: owns nothing, bypasses nothing. Its password is set by migrate().
        CREATE ROLE minirag_app LOGIN NOINHERIT;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'minirag_auth') THEN
        -- Owner of the few look-ups that must happen before a tenant is known (0003_lookups.sql).
        CREATE ROLE minirag_auth NOLOGIN NOINHERIT;
    END IF;
END
$roles$;

CREATE TABLE users (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    email         text NOT NULL,
    name          text NOT NULL DEFAULT '',
    role          text NOT NULL DEFAULT 'user' CHECK (role IN ('user', 'admin')),
    status        text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended')),
    session_epoch integer NOT NULL DEFAULT 0,
    created_at    timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX users_email ON users (lower(email));
COMMENT ON TABLE users IS 'scope: global';

CREATE TABLE organizations (
    id                     uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name                   text NOT NULL,
    slug                   text NOT NULL UNIQUE,
    plan                   text NOT NULL DEFAULT 'free',
    billing_status         text NOT NULL DEFAULT 'trialing'
                           CHECK (billing_status IN ('trialing', 'active', 'past_due', 'canceled', 'unpaid', 'incomplete')),
    stripe_customer_id     text UNIQUE,
    stripe_subscription_id text UNIQUE,
    current_period_end     timestamptz,
    created_at             timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE organizations IS 'scope: organization';

CREATE TABLE workspaces (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id uuid NOT NULL REFERENCES organizations (id),
    name            text NOT NULL,
    -- Grows in the same transaction as anything that can change what a question finds or shows.
    generation      bigint NOT NULL DEFAULT 0,
    created_at      timestamptz NOT NULL DEFAULT now(),
    UNIQUE (organization_id, id)
);
COMMENT ON TABLE workspaces IS 'scope: workspace';

CREATE TABLE user_organizations (
    organization_id uuid NOT NULL REFERENCES organizations (id),
    user_id         uuid NOT NULL REFERENCES users (id),
    role            text NOT NULL CHECK (role IN ('owner', 'admin', 'member')),
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, user_id)
);
CREATE INDEX user_organizations_user ON user_organizations (user_id);
COMMENT ON TABLE user_organizations IS 'scope: organization';

CREATE TABLE workspace_members (
    workspace_id uuid NOT NULL REFERENCES workspaces (id),
    user_id      uuid NOT NULL REFERENCES users (id),
    role         text NOT NULL CHECK (role IN ('admin', 'editor', 'reader')),
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, user_id)
);
CREATE INDEX workspace_members_user ON workspace_members (user_id);
COMMENT ON TABLE workspace_members IS 'scope: workspace';

CREATE TABLE api_keys (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    key_hash     bytea NOT NULL UNIQUE CHECK (length(key_hash) = 32),
    prefix       text NOT NULL,
    user_id      uuid NOT NULL REFERENCES users (id),
    -- NULL: the key may choose among its user's workspaces.
    workspace_id uuid REFERENCES workspaces (id),
    scopes       text[] NOT NULL CHECK (scopes <@ ARRAY['read', 'write', 'admin'] AND cardinality(scopes) > 0),
    description  text NOT NULL DEFAULT '',
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz,
    revoked_at   timestamptz
);
CREATE INDEX api_keys_workspace ON api_keys (workspace_id, user_id);
COMMENT ON TABLE api_keys IS 'scope: workspace';

CREATE TABLE workspace_quota_settings (
    workspace_id           uuid PRIMARY KEY REFERENCES workspaces (id),
    chunk_limit            bigint CHECK (chunk_limit >= 0),
    request_limit_per_day  bigint CHECK (request_limit_per_day >= 0),
    storage_bytes_limit    bigint CHECK (storage_bytes_limit >= 0),
    cost_limit_usd_a_month numeric(12, 4) CHECK (cost_limit_usd_a_month >= 0)
);
COMMENT ON TABLE workspace_quota_settings IS 'scope: workspace';

CREATE TABLE workspace_usage_counters (
    workspace_id   uuid NOT NULL REFERENCES workspaces (id),
    period_start   date NOT NULL,
    requests_count bigint NOT NULL DEFAULT 0,
    chunks_count   bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (workspace_id, period_start)
);
COMMENT ON TABLE workspace_usage_counters IS 'scope: workspace';

CREATE TABLE organization_billing_events (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    -- NULL until the customer of the event is known to belong to an organization.
    organization_id uuid REFERENCES organizations (id),
    event_id        text NOT NULL UNIQUE,
    event_type      text NOT NULL,
    payload         jsonb NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX organization_billing_events_organization ON organization_billing_events (organization_id, created_at);
COMMENT ON TABLE organization_billing_events IS 'scope: organization';

CREATE TABLE audit_log (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id uuid NOT NULL REFERENCES organizations (id),
    workspace_id    uuid,
    user_id         uuid,
    api_key_id      uuid,
    action          text NOT NULL,
    target          text NOT NULL,
    request_id      text NOT NULL,
    ip              text,
    created_at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX audit_log_organization ON audit_log (organization_id, created_at);
COMMENT ON TABLE audit_log IS 'scope: organization';

ALTER TABLE users                       ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE organizations               ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE workspaces                  ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE user_organizations          ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE workspace_members           ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE api_keys                    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE workspace_quota_settings    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE workspace_usage_counters    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE organization_billing_events ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE audit_log                   ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

CREATE POLICY oneself ON users TO minirag_app
    USING      (id = nullif(current_setting('app.user_id', true), '')::uuid)
    WITH CHECK (id = nullif(current_setting('app.user_id', true), '')::uuid);

CREATE POLICY organization ON organizations TO minirag_app
    USING      (id = nullif(current_setting('app.organization_id', true), '')::uuid)
    WITH CHECK (id = nullif(current_setting('app.organization_id', true), '')::uuid);

-- A workspace is seen from inside, and by its organization (which makes and lists them).
CREATE POLICY workspace ON workspaces TO minirag_app
    USING      (id = nullif(current_setting('app.workspace_id', true), '')::uuid)
    WITH CHECK (id = nullif(current_setting('app.workspace_id', true), '')::uuid);
CREATE POLICY organization ON workspaces TO minirag_app
    USING      (organization_id = nullif(current_setting('app.organization_id', true), '')::uuid)
    WITH CHECK (organization_id = nullif(current_setting('app.organization_id', true), '')::uuid);

CREATE POLICY organization ON user_organizations TO minirag_app
    USING      (organization_id = nullif(current_setting('app.organization_id', true), '')::uuid)
    WITH CHECK (organization_id = nullif(current_setting('app.organization_id', true), '')::uuid);

CREATE POLICY workspace ON workspace_members TO minirag_app
    USING      (workspace_id = nullif(current_setting('app.workspace_id', true), '')::uuid)
    WITH CHECK (workspace_id = nullif(current_setting('app.workspace_id', true), '')::uuid);

-- A key tied to no workspace is its user's alone.
CREATE POLICY workspace ON api_keys TO minirag_app
    USING      (workspace_id = nullif(current_setting('app.workspace_id', true), '')::uuid)
    WITH CHECK (workspace_id = nullif(current_setting('app.workspace_id', true), '')::uuid);
CREATE POLICY oneself ON api_keys TO minirag_app
    USING      (workspace_id IS NULL AND user_id = nullif(current_setting('app.user_id', true), '')::uuid)
    WITH CHECK (workspace_id IS NULL AND user_id = nullif(current_setting('app.user_id', true), '')::uuid);

CREATE POLICY workspace ON workspace_quota_settings TO minirag_app
    USING      (workspace_id = nullif(current_setting('app.workspace_id', true), '')::uuid)
    WITH CHECK (workspace_id = nullif(current_setting('app.workspace_id', true), '')::uuid);

CREATE POLICY workspace ON workspace_usage_counters TO minirag_app
    USING      (workspace_id = nullif(current_setting('app.workspace_id', true), '')::uuid)
    WITH CHECK (workspace_id = nullif(current_setting('app.workspace_id', true), '')::uuid);

CREATE POLICY organization ON organization_billing_events TO minirag_app
    USING      (organization_id = nullif(current_setting('app.organization_id', true), '')::uuid)
    WITH CHECK (organization_id = nullif(current_setting('app.organization_id', true), '')::uuid);

CREATE POLICY organization ON audit_log TO minirag_app
    USING      (organization_id = nullif(current_setting('app.organization_id', true), '')::uuid)
    WITH CHECK (organization_id = nullif(current_setting('app.organization_id', true), '')::uuid);

-- Temporary tables would be the one thing the application could make.
DO $temporary$
BEGIN
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
END
$temporary$;

GRANT USAGE ON SCHEMA public TO minirag_app, minirag_auth;
GRANT SELECT ON users, organizations, user_organizations, organization_billing_events TO minirag_app;
GRANT SELECT, INSERT ON workspaces, api_keys TO minirag_app;
GRANT UPDATE (name, generation) ON workspaces TO minirag_app;
GRANT UPDATE (description, revoked_at) ON api_keys TO minirag_app;
GRANT SELECT, INSERT, UPDATE ON workspace_quota_settings, workspace_usage_counters TO minirag_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON workspace_members TO minirag_app;
-- Append-only: the audit log is neither changed nor shortened by the application.
GRANT SELECT, INSERT ON audit_log TO minirag_app;
