-- The answers that were given, and what people thought of them. They belong to who asked: others of the workspace do
-- not see them, but for its admins.

CREATE TABLE answers (
    workspace_id      uuid NOT NULL REFERENCES workspaces (id),
    id                uuid NOT NULL,
    user_id           uuid NOT NULL REFERENCES users (id),
    api_key_id        uuid,
    question          text NOT NULL,
    -- NULL once a document was deleted that it was made from: what is deleted must not live on in here.
    answer            text,
    outcome           text NOT NULL CHECK (outcome IN ('answered', 'no_answer')),
    score             real NOT NULL,
    provider          text NOT NULL,
    model             text NOT NULL,
    -- Of the workspace, when it was asked.
    generation        bigint NOT NULL,
    k                 integer NOT NULL,
    filters           jsonb NOT NULL,
    -- The passages in their order: chunk_id, source_id, score, and the ranks in the lists of words and of meaning.
    passages          jsonb NOT NULL,
    -- marker, chunk_id, source_id, page, start, end. What is quoted stands in the document.
    citations         jsonb NOT NULL,
    -- Of all passages.
    source_ids        uuid[] NOT NULL,
    -- SHA-256 of what the model was given.
    prompt_hash       bytea,
    prompt_tokens     integer NOT NULL,
    completion_tokens integer NOT NULL,
    embedding_tokens  integer NOT NULL,
    cost_usd          numeric(14, 8),
    duration_ms       integer NOT NULL,
    created_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, id)
);
CREATE INDEX answers_listing ON answers (workspace_id, created_at, id);
CREATE INDEX answers_of_user ON answers (workspace_id, user_id, created_at, id);
CREATE INDEX answers_sources ON answers USING gin (source_ids);
COMMENT ON TABLE answers IS 'scope: workspace';

CREATE TABLE answer_feedback (
    workspace_id uuid NOT NULL,
    answer_id    uuid NOT NULL,
    user_id      uuid NOT NULL REFERENCES users (id),
    verdict      text NOT NULL CHECK (verdict IN ('up', 'down')),
    comment      text NOT NULL DEFAULT '',
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, answer_id, user_id),
    FOREIGN KEY (workspace_id, answer_id) REFERENCES answers (workspace_id, id) ON DELETE CASCADE
);
COMMENT ON TABLE answer_feedback IS 'scope: workspace';

ALTER TABLE answers         ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE answer_feedback ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

CREATE POLICY reading ON answers FOR SELECT TO minirag_app
    USING (workspace_id = nullif(current_setting('app.workspace_id', true), '')::uuid
           AND (user_id = nullif(current_setting('app.user_id', true), '')::uuid
                OR current_setting('app.workspace_admin', true) = 'on'));
CREATE POLICY giving ON answers FOR INSERT TO minirag_app
    WITH CHECK (workspace_id = nullif(current_setting('app.workspace_id', true), '')::uuid
                AND user_id = nullif(current_setting('app.user_id', true), '')::uuid);
GRANT SELECT, INSERT ON answers TO minirag_app;

CREATE POLICY reading ON answer_feedback FOR SELECT TO minirag_app
    USING (workspace_id = nullif(current_setting('app.workspace_id', true), '')::uuid
           AND (user_id = nullif(current_setting('app.user_id', true), '')::uuid
                OR current_setting('app.workspace_admin', true) = 'on'));
CREATE POLICY giving ON answer_feedback FOR INSERT TO minirag_app
    WITH CHECK (workspace_id = nullif(current_setting('app.workspace_id', true), '')::uuid
                AND user_id = nullif(current_setting('app.user_id', true), '')::uuid);
CREATE POLICY changing ON answer_feedback FOR UPDATE TO minirag_app
    USING      (workspace_id = nullif(current_setting('app.workspace_id', true), '')::uuid
                AND user_id = nullif(current_setting('app.user_id', true), '')::uuid)
    WITH CHECK (workspace_id = nullif(current_setting('app.workspace_id', true), '')::uuid
                AND user_id = nullif(current_setting('app.user_id', true), '')::uuid);
GRANT SELECT, INSERT ON answer_feedback TO minirag_app;
GRANT UPDATE (verdict, comment, created_at) ON answer_feedback TO minirag_app;

-- Whoever deletes a document empties the answers of everybody in the workspace that were made from it.
CREATE POLICY lookup ON answers TO minirag_auth USING (true) WITH CHECK (true);
GRANT SELECT, UPDATE (answer, citations) ON answers TO minirag_auth;
CREATE FUNCTION empty_answers(wanted_source uuid)
RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    emptied integer;
BEGIN
    UPDATE answers SET answer = NULL, citations = '[]'
    WHERE workspace_id = nullif(current_setting('app.workspace_id', true), '')::uuid
      AND source_ids @> ARRAY[wanted_source] AND answer IS NOT NULL;
    GET DIAGNOSTICS emptied = ROW_COUNT;
    RETURN emptied;
END
$$;

REVOKE ALL ON FUNCTION empty_answers(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION empty_answers(uuid) TO minirag_app;
GRANT minirag_auth TO CURRENT_USER WITH INHERIT FALSE, SET TRUE;
GRANT CREATE ON SCHEMA public TO minirag_auth;
ALTER FUNCTION empty_answers(uuid) OWNER TO minirag_auth;
REVOKE CREATE ON SCHEMA public FROM minirag_auth;
REVOKE minirag_auth FROM CURRENT_USER;
