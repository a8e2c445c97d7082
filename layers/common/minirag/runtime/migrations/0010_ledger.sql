-- The ledger of ingestion: every job has a worker that shows it is alive, or is found and taken up again.

ALTER TABLE jobs
    DROP CONSTRAINT jobs_kind_check,
    -- ingest: a document. embed: the vectors that a document lacks. dedupe and rebuild: a whole workspace.
    ADD CONSTRAINT jobs_kind_check CHECK (kind IN ('ingest', 'embed', 'dedupe', 'rebuild')),
    ALTER COLUMN source_id DROP NOT NULL,
    ALTER COLUMN object_key DROP NOT NULL,
    ADD CONSTRAINT jobs_document CHECK (kind <> 'ingest' OR (source_id IS NOT NULL AND object_key IS NOT NULL)),
    ADD CONSTRAINT jobs_source CHECK (kind <> 'embed' OR source_id IS NOT NULL),
    -- A worker holds a running job for as long as this is not past, and prolongs it. Of a queued job, when somebody
    -- should have taken it up.
    ADD COLUMN held_until timestamptz NOT NULL DEFAULT now() + interval '15 minutes',
    -- How often it was taken up: a worker that lost it to another one notices by this.
    ADD COLUMN claims integer NOT NULL DEFAULT 0,
    -- What of the document could not be read, in sentences.
    ADD COLUMN notes text[] NOT NULL DEFAULT '{}';
-- What is due to be looked at by the sweeper.
CREATE INDEX jobs_open ON jobs (held_until) WHERE status IN ('queued', 'running');
-- Of these one at a time; asking again finds the one that is under way.
CREATE UNIQUE INDEX jobs_embed ON jobs (workspace_id, source_id) WHERE kind = 'embed' AND status IN ('queued', 'running');
CREATE UNIQUE INDEX jobs_workspace ON jobs (workspace_id, kind)
    WHERE kind IN ('dedupe', 'rebuild') AND status IN ('queued', 'running');

ALTER TABLE sources
    -- The page a source is fetched from: asked for again, it is the same source. NULL for others.
    ADD COLUMN url text,
    -- SHA-256 of what its chunks were made from and how: the same again changes nothing.
    ADD COLUMN made_from bytea,
    -- SHA-256 of its canonical text, by which exact duplicates are found.
    ADD COLUMN text_hash bytea,
    -- Another source that holds this very text and is searched in its place.
    ADD COLUMN duplicate_of uuid,
    ADD FOREIGN KEY (workspace_id, duplicate_of) REFERENCES sources (workspace_id, id);
CREATE UNIQUE INDEX sources_url ON sources (workspace_id, url) WHERE url IS NOT NULL;
CREATE INDEX sources_duplicates ON sources (workspace_id, duplicate_of) WHERE duplicate_of IS NOT NULL;

-- Vectors are taken over from the version before, and from an attempt that ended early, by what was embedded.
ALTER TABLE chunk_vectors ADD COLUMN hash bytea;
CREATE TABLE staged_vectors (
    workspace_id uuid NOT NULL,
    source_id    uuid NOT NULL,
    model        text NOT NULL,
    -- The first half of the SHA-256 of the text that was embedded.
    hash         bytea NOT NULL,
    embedding    halfvec NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, source_id, model, hash),
    FOREIGN KEY (workspace_id, source_id) REFERENCES sources (workspace_id, id)
);
COMMENT ON TABLE staged_vectors IS 'scope: workspace';
ALTER TABLE staged_vectors ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY workspace ON staged_vectors TO minirag_app
    USING      (workspace_id = nullif(current_setting('app.workspace_id', true), '')::uuid)
    WITH CHECK (workspace_id = nullif(current_setting('app.workspace_id', true), '')::uuid);
GRANT SELECT, INSERT, DELETE ON staged_vectors TO minirag_app;

-- What a workspace holds, beside the daily counters: equal to the count of its chunks and the bytes of its sources.
CREATE TABLE workspace_totals (
    workspace_id uuid PRIMARY KEY REFERENCES workspaces (id),
    chunks       bigint NOT NULL DEFAULT 0 CHECK (chunks >= 0),
    bytes        bigint NOT NULL DEFAULT 0 CHECK (bytes >= 0)
);
COMMENT ON TABLE workspace_totals IS 'scope: workspace';
-- The owner is bound by the policies as well, and has none: it counts before they are in force.
ALTER TABLE sources NO FORCE ROW LEVEL SECURITY;
ALTER TABLE workspaces NO FORCE ROW LEVEL SECURITY;
INSERT INTO workspace_totals (workspace_id, chunks, bytes)
SELECT w.id, coalesce(sum(s.chunks), 0), coalesce(sum(s.bytes) FILTER (WHERE s.chunks > 0), 0)
FROM workspaces w
LEFT JOIN sources s ON s.workspace_id = w.id AND s.deleted_at IS NULL
GROUP BY w.id;
ALTER TABLE sources FORCE ROW LEVEL SECURITY;
ALTER TABLE workspaces FORCE ROW LEVEL SECURITY;
ALTER TABLE workspace_totals ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY workspace ON workspace_totals TO minirag_app
    USING      (workspace_id = nullif(current_setting('app.workspace_id', true), '')::uuid)
    WITH CHECK (workspace_id = nullif(current_setting('app.workspace_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE ON workspace_totals TO minirag_app;

-- Jobs of all tenants that nobody is at, for the sweeper: it then looks at each again as its tenant.
CREATE POLICY lookup ON jobs TO minirag_auth USING (true);
GRANT SELECT ON jobs TO minirag_auth;
CREATE FUNCTION find_lost_jobs(most integer)
RETURNS TABLE (workspace_id uuid, job_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT j.workspace_id, j.id
    FROM jobs j
    WHERE j.status IN ('queued', 'running') AND j.held_until < now()
    ORDER BY j.held_until
    LIMIT most
$$;

-- Workspaces of all tenants whose index still holds the postings of what was removed most of a day ago.
CREATE POLICY lookup ON lexical_tombstones TO minirag_auth USING (true);
GRANT SELECT ON lexical_tombstones TO minirag_auth;
CREATE INDEX lexical_tombstones_age ON lexical_tombstones (created_at);
CREATE FUNCTION find_index_garbage(most integer)
RETURNS TABLE (workspace_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT DISTINCT t.workspace_id
    FROM (
        SELECT o.workspace_id FROM lexical_tombstones o WHERE o.created_at < now() - interval '20 hours'
        ORDER BY o.created_at LIMIT 50 * most
    ) t
    LIMIT most
$$;

REVOKE ALL ON FUNCTION find_lost_jobs(integer) FROM PUBLIC;
REVOKE ALL ON FUNCTION find_index_garbage(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION find_lost_jobs(integer) TO minirag_app;
GRANT EXECUTE ON FUNCTION find_index_garbage(integer) TO minirag_app;
GRANT minirag_auth TO CURRENT_USER WITH INHERIT FALSE, SET TRUE;
GRANT CREATE ON SCHEMA public TO minirag_auth;
ALTER FUNCTION find_lost_jobs(integer) OWNER TO minirag_auth;
ALTER FUNCTION find_index_garbage(integer) OWNER TO minirag_auth;
REVOKE CREATE ON SCHEMA public FROM minirag_auth;
REVOKE minirag_auth FROM CURRENT_USER;
