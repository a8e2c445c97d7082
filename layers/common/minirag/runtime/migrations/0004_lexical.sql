-- Exact BM25 over packed, immutable segments (knowledge/lexical). It takes the place of chunk_postings, one row a
-- term and chunk, which was exact as well but ten to twenty times slower and larger.

-- The chunks of one or more sources, packed as they were written. Chunks are numbered within the segment from 0.
CREATE TABLE lexical_segments (
    workspace_id uuid NOT NULL REFERENCES workspaces (id),
    -- Random: a segment that is gone leaves nothing behind that could be taken for another.
    id           bigint NOT NULL,
    -- Order of magnitude of `chunks`: segments of one level are merged into one of the next.
    level        smallint NOT NULL,
    chunks       integer NOT NULL CHECK (chunks BETWEEN 1 AND 65536),
    -- Terms in all chunks together, and of each: little-endian u16, or u32 if one has more than 65535.
    length       bigint NOT NULL,
    lengths      bytea NOT NULL,
    -- Version of the analyzer that made the terms.
    analyzer     smallint NOT NULL,
    PRIMARY KEY (workspace_id, id)
);
COMMENT ON TABLE lexical_segments IS 'scope: workspace';

-- The sorted terms of a segment and their postings, in runs of neighbouring terms. `dictionary` is
-- '\n' term '\t' start, again and again, and '\n\t' end: byte offsets into `postings`.
CREATE TABLE lexical_pages (
    workspace_id uuid NOT NULL,
    segment_id   bigint NOT NULL,
    first_term   bytea NOT NULL,
    dictionary   bytea NOT NULL,
    postings     bytea NOT NULL,
    PRIMARY KEY (workspace_id, segment_id, first_term),
    FOREIGN KEY (workspace_id, segment_id) REFERENCES lexical_segments (workspace_id, id) ON DELETE CASCADE
);
COMMENT ON TABLE lexical_pages IS 'scope: workspace';

-- Which chunks of a segment are which chunks of a source: `size` of them, from `start` in the segment and from
-- `first_ordinal` in the source.
CREATE TABLE lexical_runs (
    workspace_id  uuid NOT NULL,
    source_id     uuid NOT NULL,
    first_ordinal integer NOT NULL,
    segment_id    bigint NOT NULL,
    start         integer NOT NULL,
    size          integer NOT NULL CHECK (size > 0),
    length        bigint NOT NULL,
    PRIMARY KEY (workspace_id, source_id, first_ordinal),
    FOREIGN KEY (workspace_id, source_id) REFERENCES sources (workspace_id, id),
    FOREIGN KEY (workspace_id, segment_id) REFERENCES lexical_segments (workspace_id, id)
);
CREATE UNIQUE INDEX lexical_runs_segment ON lexical_runs (workspace_id, segment_id, start);
COMMENT ON TABLE lexical_runs IS 'scope: workspace';

-- Runs that are gone; their postings are skipped until a merge leaves them out.
CREATE TABLE lexical_tombstones (
    workspace_id uuid NOT NULL,
    segment_id   bigint NOT NULL,
    start        integer NOT NULL,
    size         integer NOT NULL,
    length       bigint NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, segment_id, start),
    FOREIGN KEY (workspace_id, segment_id) REFERENCES lexical_segments (workspace_id, id) ON DELETE CASCADE
);
COMMENT ON TABLE lexical_tombstones IS 'scope: workspace';

-- Postings are read in slices: uncompressed, so that a slice is found without unpacking the whole.
ALTER TABLE lexical_pages
    ALTER COLUMN postings SET STORAGE EXTERNAL,
    ALTER COLUMN dictionary SET STORAGE MAIN;
ALTER TABLE lexical_segments ALTER COLUMN lengths SET STORAGE EXTERNAL;
-- A dictionary stays in the row, beside short postings.
ALTER TABLE lexical_pages SET (toast_tuple_target = 4080);

-- Merges replace whole segments: without eager vacuuming the tables would grow by what they left behind.
ALTER TABLE lexical_pages SET (
    autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 200, autovacuum_vacuum_cost_delay = 0,
    autovacuum_vacuum_insert_scale_factor = 0.1, autovacuum_analyze_scale_factor = 0.1,
    toast.autovacuum_vacuum_scale_factor = 0.05, toast.autovacuum_vacuum_threshold = 1000,
    toast.autovacuum_vacuum_cost_delay = 0, toast.autovacuum_vacuum_insert_scale_factor = 0.1
);
ALTER TABLE lexical_segments SET (
    autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 50, autovacuum_vacuum_cost_delay = 0
);
ALTER TABLE lexical_runs SET (
    autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 200, autovacuum_vacuum_cost_delay = 0
);
ALTER TABLE lexical_tombstones SET (
    autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 50, autovacuum_vacuum_cost_delay = 0
);

ALTER TABLE lexical_segments   ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE lexical_pages      ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE lexical_runs       ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE lexical_tombstones ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

CREATE POLICY workspace ON lexical_segments TO minirag_app
    USING      (workspace_id = nullif(current_setting('app.workspace_id', true), '')::uuid)
    WITH CHECK (workspace_id = nullif(current_setting('app.workspace_id', true), '')::uuid);
CREATE POLICY workspace ON lexical_pages TO minirag_app
    USING      (workspace_id = nullif(current_setting('app.workspace_id', true), '')::uuid)
    WITH CHECK (workspace_id = nullif(current_setting('app.workspace_id', true), '')::uuid);
CREATE POLICY workspace ON lexical_runs TO minirag_app
    USING      (workspace_id = nullif(current_setting('app.workspace_id', true), '')::uuid)
    WITH CHECK (workspace_id = nullif(current_setting('app.workspace_id', true), '')::uuid);
CREATE POLICY workspace ON lexical_tombstones TO minirag_app
    USING      (workspace_id = nullif(current_setting('app.workspace_id', true), '')::uuid)
    WITH CHECK (workspace_id = nullif(current_setting('app.workspace_id', true), '')::uuid);

GRANT SELECT, INSERT, DELETE ON lexical_segments, lexical_pages, lexical_runs, lexical_tombstones TO minirag_app;
-- Locking a row takes the right to update one of its columns; nothing else of a segment ever changes.
GRANT UPDATE (level) ON lexical_segments TO minirag_app;
GRANT UPDATE (segment_id, start) ON lexical_runs TO minirag_app;

DROP TABLE chunk_postings;
ALTER TABLE chunks DROP COLUMN terms;
