-- Vectors are kept by the place of their chunk, as postings are: source and number in it. What is searched is then
-- read without a look-up of chunks, and a filter on sources needs no join.
CREATE TABLE chunk_vectors_by_place (
    workspace_id uuid NOT NULL,
    model        text NOT NULL,
    source_id    uuid NOT NULL,
    ordinal      integer NOT NULL,
    window_no    smallint NOT NULL,
    embedding    halfvec NOT NULL,
    PRIMARY KEY (workspace_id, model, source_id, ordinal, window_no),
    FOREIGN KEY (workspace_id, source_id, ordinal) REFERENCES chunks (workspace_id, source_id, ordinal)
);
ALTER TABLE chunk_vectors_by_place ALTER COLUMN embedding SET STORAGE PLAIN;

-- The owner is bound by the policies as well, and has none: it copies before they are in force.
ALTER TABLE chunks NO FORCE ROW LEVEL SECURITY;
ALTER TABLE chunk_vectors NO FORCE ROW LEVEL SECURITY;
INSERT INTO chunk_vectors_by_place (workspace_id, model, source_id, ordinal, window_no, embedding)
SELECT v.workspace_id, v.model, c.source_id, c.ordinal, v.window_no, v.embedding
FROM chunk_vectors v
JOIN chunks c ON c.workspace_id = v.workspace_id AND c.id = v.chunk_id;
ALTER TABLE chunks FORCE ROW LEVEL SECURITY;

DROP TABLE chunk_vectors;
ALTER TABLE chunk_vectors_by_place RENAME TO chunk_vectors;
ALTER INDEX chunk_vectors_by_place_pkey RENAME TO chunk_vectors_pkey;
COMMENT ON TABLE chunk_vectors IS 'scope: workspace';
ALTER TABLE chunk_vectors ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY workspace ON chunk_vectors TO minirag_app
    USING      (workspace_id = nullif(current_setting('app.workspace_id', true), '')::uuid)
    WITH CHECK (workspace_id = nullif(current_setting('app.workspace_id', true), '')::uuid);
GRANT SELECT, INSERT, DELETE ON chunk_vectors TO minirag_app;
