-- Answers are forgotten by age alone: nobody, whatever they were told, can have today's deleted.

GRANT minirag_auth TO CURRENT_USER WITH INHERIT FALSE, SET TRUE;
GRANT CREATE ON SCHEMA public TO minirag_auth;
SET LOCAL ROLE minirag_auth;

CREATE OR REPLACE FUNCTION forget_answers(before timestamptz, most integer)
RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    forgotten integer;
BEGIN
    IF before > now() - interval '23 hours' THEN
        RAISE EXCEPTION 'answers are kept for a day at least' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    DELETE FROM answers a
    USING (
        SELECT o.workspace_id, o.id FROM answers o WHERE o.created_at < before ORDER BY o.created_at LIMIT most
    ) old
    WHERE a.workspace_id = old.workspace_id AND a.id = old.id;
    GET DIAGNOSTICS forgotten = ROW_COUNT;
    RETURN forgotten;
END
$$;

RESET ROLE;
REVOKE CREATE ON SCHEMA public FROM minirag_auth;
REVOKE minirag_auth FROM CURRENT_USER;
