-- Documents, their chunks and what finds them. Keys start with workspace_id, so that no foreign key and no
-- unique constraint reaches, or tells of, another tenant's row. user_id is NULL for what came by the drop folder.

CREATE TABLE sources (
    workspace_id uuid NOT NULL REFERENCES workspaces (id),
    id           uuid NOT NULL,
    user_id      uuid REFERENCES users (id),
    name         text NOT NULL,
    type         text,
    uri          text NOT NULL,
    -- The path below drop/<workspace_id>/; NULL for uploads and pasted text.
    drop_key     text,
    -- The object that was last sent for this source; NULL once it has been removed with the source.
    object_key   text,
    status       text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'ready', 'failed')),
    error_code   text,
    error_detail text,
    bytes        bigint NOT NULL DEFAULT 0,
    pages        integer,
    chunks       integer NOT NULL DEFAULT 0,
    language     text,
    tags         text[] NOT NULL DEFAULT '{}',
    -- Order of what has been applied: an event with a lower one is stale. Compared as text (S3's rule).
    sequencer    text COLLATE "C" NOT NULL DEFAULT '',
    -- The newest version heard of, applied or not: what is older changes nothing any more.
    seen         text COLLATE "C" NOT NULL DEFAULT '',
    created_at   timestamptz NOT NULL DEFAULT now(),
    -- Tombstone: a late event must not bring a deleted document back.
    deleted_at   timestamptz,
    PRIMARY KEY (workspace_id, id)
);
CREATE UNIQUE INDEX sources_drop_key ON sources (workspace_id, drop_key) WHERE drop_key IS NOT NULL;
CREATE INDEX sources_listing ON sources (workspace_id, created_at, id) WHERE deleted_at IS NULL;
COMMENT ON TABLE sources IS 'scope: workspace';

-- The canonical text in parts: a page each, or runs of bounded length where a format has no pages. Offsets are
-- code points of the whole text; every start and end in the product refers to it.
CREATE TABLE source_texts (
    workspace_id uuid NOT NULL,
    source_id    uuid NOT NULL,
    part         integer NOT NULL,
    page         integer,
    start_offset integer NOT NULL,
    end_offset   integer NOT NULL,
    content      text NOT NULL,
    PRIMARY KEY (workspace_id, source_id, part),
    FOREIGN KEY (workspace_id, source_id) REFERENCES sources (workspace_id, id),
    CHECK (end_offset - start_offset = char_length(content))
);
COMMENT ON TABLE source_texts IS 'scope: workspace';

CREATE TABLE chunks (
    workspace_id uuid NOT NULL,
    id           uuid NOT NULL,
    source_id    uuid NOT NULL,
    user_id      uuid REFERENCES users (id),
    ordinal      integer NOT NULL,
    start_offset integer NOT NULL,
    end_offset   integer NOT NULL,
    page         integer,
    section      text,
    content      text NOT NULL,
    content_hash bytea NOT NULL,
    tokens       integer NOT NULL,
    -- Length in analyzed terms: the document length of BM25.
    terms        integer NOT NULL,
    PRIMARY KEY (workspace_id, id),
    UNIQUE (workspace_id, source_id, ordinal),
    FOREIGN KEY (workspace_id, source_id) REFERENCES sources (workspace_id, id)
);
COMMENT ON TABLE chunks IS 'scope: workspace';

-- One row a term and chunk: the plainest exact BM25.
CREATE TABLE chunk_postings (
    workspace_id uuid NOT NULL,
    term         text COLLATE "C" NOT NULL,
    chunk_id     uuid NOT NULL,
    frequency    integer NOT NULL,
    PRIMARY KEY (workspace_id, term, chunk_id),
    FOREIGN KEY (workspace_id, chunk_id) REFERENCES chunks (workspace_id, id)
);
CREATE INDEX chunk_postings_chunk ON chunk_postings (workspace_id, chunk_id);
COMMENT ON TABLE chunk_postings IS 'scope: workspace';

-- Several vectors a chunk where the model reads less than a chunk: the nearest window counts.
CREATE TABLE chunk_vectors (
    workspace_id uuid NOT NULL,
    chunk_id     uuid NOT NULL,
    model        text NOT NULL,
    window_no    smallint NOT NULL,
    embedding    halfvec NOT NULL,
    PRIMARY KEY (workspace_id, chunk_id, model, window_no),
    FOREIGN KEY (workspace_id, chunk_id) REFERENCES chunks (workspace_id, id)
);
-- Read whole by the exact scan: out-of-line storage would cost a look-up a row.
ALTER TABLE chunk_vectors ALTER COLUMN embedding SET STORAGE PLAIN;
COMMENT ON TABLE chunk_vectors IS 'scope: workspace';

CREATE TABLE jobs (
    workspace_id uuid NOT NULL REFERENCES workspaces (id),
    id           uuid NOT NULL,
    kind         text NOT NULL CHECK (kind IN ('ingest')),
    status       text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'running', 'done', 'failed')),
    stage        text NOT NULL DEFAULT 'queued',
    progress     real NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 1),
    source_id    uuid NOT NULL,
    object_key   text NOT NULL,
    sequencer    text COLLATE "C" NOT NULL,
    -- What the source will be called once this version is in; null language and tags leave the source's.
    name         text NOT NULL,
    uri          text NOT NULL,
    bytes        bigint NOT NULL,
    language     text,
    tags         text[],
    chunks_added integer NOT NULL DEFAULT 0,
    -- Where the time went, milliseconds a stage.
    timings      jsonb NOT NULL DEFAULT '{}',
    error_code   text,
    error_detail text,
    attempts     integer NOT NULL DEFAULT 0,
    created_at   timestamptz NOT NULL DEFAULT now(),
    started_at   timestamptz,
    finished_at  timestamptz,
    PRIMARY KEY (workspace_id, id),
    FOREIGN KEY (workspace_id, source_id) REFERENCES sources (workspace_id, id),
    CHECK ((status IN ('done', 'failed')) = (finished_at IS NOT NULL)),
    CHECK (status <> 'failed' OR (error_code IS NOT NULL AND error_detail IS NOT NULL))
);
CREATE INDEX jobs_listing ON jobs (workspace_id, created_at, id);
-- One job for one version of one object, however often its event arrives.
CREATE UNIQUE INDEX jobs_event ON jobs (workspace_id, object_key, sequencer);
COMMENT ON TABLE jobs IS 'scope: workspace';

ALTER TABLE sources        ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE source_texts   ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE chunks         ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE chunk_postings ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE chunk_vectors  ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE jobs           ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

CREATE POLICY workspace ON sources TO minirag_app
    USING      (workspace_id = nullif(current_setting('app.workspace_id', true), '')::uuid)
    WITH CHECK (workspace_id = nullif(current_setting('app.workspace_id', true), '')::uuid);
CREATE POLICY workspace ON source_texts TO minirag_app
    USING      (workspace_id = nullif(current_setting('app.workspace_id', true), '')::uuid)
    WITH CHECK (workspace_id = nullif(current_setting('app.workspace_id', true), '')::uuid);
CREATE POLICY workspace ON chunks TO minirag_app
    USING      (workspace_id = nullif(current_setting('app.workspace_id', true), '')::uuid)
    WITH CHECK (workspace_id = nullif(current_setting('app.workspace_id', true), '')::uuid);
CREATE POLICY workspace ON chunk_postings TO minirag_app
    USING      (workspace_id = nullif(current_setting('app.workspace_id', true), '')::uuid)
    WITH CHECK (workspace_id = nullif(current_setting('app.workspace_id', true), '')::uuid);
CREATE POLICY workspace ON chunk_vectors TO minirag_app
    USING      (workspace_id = nullif(current_setting('app.workspace_id', true), '')::uuid)
    WITH CHECK (workspace_id = nullif(current_setting('app.workspace_id', true), '')::uuid);
CREATE POLICY workspace ON jobs TO minirag_app
    USING      (workspace_id = nullif(current_setting('app.workspace_id', true), '')::uuid)
    WITH CHECK (workspace_id = nullif(current_setting('app.workspace_id', true), '')::uuid);

GRANT SELECT, INSERT, UPDATE ON sources, jobs TO minirag_app;
GRANT SELECT, INSERT, DELETE ON source_texts, chunks, chunk_postings, chunk_vectors TO minirag_app;
