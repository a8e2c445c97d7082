-- Signatures of vectors: a bit a dimension, packed by segment and model, so that a search by meaning scans them whole.
-- They follow the segments of the index, which are written, merged and removed with them. See knowledge/vectors.
CREATE TABLE vector_signatures (
    workspace_id uuid NOT NULL,
    segment_id   bigint NOT NULL,
    model        text NOT NULL,
    -- How many windows each chunk of the segment has, big-endian u16.
    windows      bytea NOT NULL,
    -- The signatures of these windows, chunk after chunk, as bit_send writes the bits of binary_quantize.
    signatures   bytea NOT NULL,
    PRIMARY KEY (workspace_id, segment_id, model),
    FOREIGN KEY (workspace_id, segment_id) REFERENCES lexical_segments (workspace_id, id) ON DELETE CASCADE
);
COMMENT ON TABLE vector_signatures IS 'scope: workspace';

-- Signs are as good as random: nothing to compress.
ALTER TABLE vector_signatures ALTER COLUMN signatures SET STORAGE EXTERNAL;
ALTER TABLE vector_signatures SET (
    autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 50, autovacuum_vacuum_cost_delay = 0,
    toast.autovacuum_vacuum_scale_factor = 0.05, toast.autovacuum_vacuum_threshold = 1000,
    toast.autovacuum_vacuum_cost_delay = 0
);

-- The signatures of the vectors there are. The owner is bound by the policies as well, and has none: it reads before
-- they are in force again.
ALTER TABLE lexical_segments NO FORCE ROW LEVEL SECURITY;
ALTER TABLE lexical_runs NO FORCE ROW LEVEL SECURITY;
ALTER TABLE chunk_vectors NO FORCE ROW LEVEL SECURITY;
INSERT INTO vector_signatures (workspace_id, segment_id, model, windows, signatures)
SELECT chunk.workspace_id, chunk.segment_id, m.model,
       string_agg(int2send(coalesce(v.windows, 0)::smallint), ''::bytea ORDER BY chunk.at),
       coalesce(string_agg(v.signatures, ''::bytea ORDER BY chunk.at), ''::bytea)
FROM (
    SELECT s.workspace_id, s.id AS segment_id, n AS at, r.source_id, r.first_ordinal + n - r.start AS ordinal
    FROM lexical_segments s
    CROSS JOIN LATERAL generate_series(0, s.chunks - 1) AS n
    LEFT JOIN lexical_runs r
        ON r.workspace_id = s.workspace_id AND r.segment_id = s.id AND n >= r.start AND n < r.start + r.size
) chunk
JOIN (SELECT DISTINCT workspace_id, model FROM chunk_vectors) m ON m.workspace_id = chunk.workspace_id
LEFT JOIN (
    SELECT workspace_id, model, source_id, ordinal, count(*) AS windows,
           string_agg(substring(bit_send(binary_quantize(embedding)) FROM 5), ''::bytea ORDER BY window_no) AS signatures
    FROM chunk_vectors
    GROUP BY workspace_id, model, source_id, ordinal
) v ON v.workspace_id = chunk.workspace_id AND v.model = m.model
   AND v.source_id = chunk.source_id AND v.ordinal = chunk.ordinal
GROUP BY chunk.workspace_id, chunk.segment_id, m.model;
ALTER TABLE lexical_segments FORCE ROW LEVEL SECURITY;
ALTER TABLE lexical_runs FORCE ROW LEVEL SECURITY;
ALTER TABLE chunk_vectors FORCE ROW LEVEL SECURITY;

ALTER TABLE vector_signatures ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY workspace ON vector_signatures TO minirag_app
    USING      (workspace_id = nullif(current_setting('app.workspace_id', true), '')::uuid)
    WITH CHECK (workspace_id = nullif(current_setting('app.workspace_id', true), '')::uuid);
GRANT SELECT, INSERT, DELETE ON vector_signatures TO minirag_app;
