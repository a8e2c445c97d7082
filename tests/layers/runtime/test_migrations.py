"""What the schema promises, read from the catalog: nobody needs to remember it for the next table."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import psycopg
import pytest
from psycopg.rows import dict_row

from local.postgres import Postgres, temporary
from minirag.knowledge.filters import Filters
from minirag.knowledge.lexical import index, merge
from minirag.knowledge.vectors import search, store
from minirag.runtime import migrate as migrations
from minirag.runtime.migrate import Migration, migrate
from minirag.tenancy.api_keys import hash_key
from tests.tenants import TestTenant, make

TABLES = """
SELECT c.relname, obj_description(c.oid, 'pg_class')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p')
"""
POLICIES = """
SELECT tablename, cmd, qual, with_check FROM pg_policies
WHERE schemaname = 'public' AND (roles && ARRAY['minirag_app', 'public']::name[])
"""
# By column too: a right to one column is a right to the table's rows.
GRANTS = """
SELECT table_name, privilege_type FROM information_schema.role_table_grants
WHERE table_schema = 'public' AND grantee IN (%(role)s, 'PUBLIC')
UNION
SELECT table_name, privilege_type FROM information_schema.role_column_grants
WHERE table_schema = 'public' AND grantee IN (%(role)s, 'PUBLIC')
"""
COLUMN_GRANTS = """
SELECT c.table_name, array_agg(c.column_name::text ORDER BY c.column_name)
FROM information_schema.role_column_grants c
WHERE c.table_schema = 'public' AND c.grantee = %(role)s AND c.privilege_type = 'UPDATE' AND NOT EXISTS (
    SELECT FROM information_schema.role_table_grants t
    WHERE (t.table_schema, t.grantee, t.table_name, t.privilege_type) = ('public', c.grantee, c.table_name, 'UPDATE')
)
GROUP BY c.table_name
"""
# Which half of a policy a command is held to.
HALVES = {"SELECT": ("using",), "INSERT": ("check",), "UPDATE": ("using", "check"), "DELETE": ("using",)}
# Nobody's rows, or a table that only the look-ups read.
NO_POLICY = {"audit_chain", "used_login_states", "user_identities"}

# What operators see and do across tenants: each refuses without app.operator = 'on'.
OPERATORS = {
    "change_organization", "change_user", "count_everything", "create_user", "find_api_keys", "find_audit",
    "find_audit_head", "find_organizations", "find_users", "find_workspaces", "next_generations", "revoke_api_key",
    "verify_audit_log",
}  # fmt: skip
# What is needed before a tenant is known, or beside it.
LOOKUPS = {
    "accept_invitation", "empty_answers", "end_membership", "find_caller", "find_index_garbage", "find_invitations",
    "find_lost_jobs", "find_memberships", "find_people", "forget_answers", "identify_caller", "may_write",
    "next_sources_version", "record_billing_event", "seal_audit_log", "sign_in", "use_login_state",
}  # fmt: skip
# What they read and write, as the role that cannot log in; of an UPDATE the columns.
AUTH: dict[str, set[str]] = {
    "answers": {"SELECT", "UPDATE", "DELETE"},
    "api_keys": {"SELECT", "UPDATE"},
    "audit_chain": {"SELECT", "INSERT"},
    "audit_log": {"SELECT", "INSERT"},
    "ended_sessions": {"SELECT"},
    "invitations": {"SELECT", "UPDATE"},
    "jobs": {"SELECT"},
    "lexical_tombstones": {"SELECT"},
    "organization_billing_events": {"SELECT", "INSERT"},
    "organizations": {"SELECT", "UPDATE"},
    "used_login_states": {"SELECT", "INSERT", "DELETE"},
    "user_identities": {"SELECT", "INSERT"},
    "user_organizations": {"SELECT", "INSERT", "DELETE"},
    "users": {"SELECT", "INSERT", "UPDATE"},
    "workspace_members": {"SELECT", "INSERT"},
    "workspace_quota_settings": {"SELECT"},
    "workspace_totals": {"SELECT"},
    "workspace_usage_counters": {"SELECT", "INSERT", "UPDATE"},
    "workspaces": {"SELECT", "UPDATE"},
}
AUTH_UPDATES = {
    "answers": ["answer", "citations", "unsupported"],
    "api_keys": ["last_used_at", "refused_at", "revoked_at"],
    "invitations": ["ended_at"],
    "organizations": ["billing_status", "name", "plan"],
    "users": ["email", "last_sign_in_at", "name", "refused_at", "role", "session_epoch", "status"],
    "workspaces": ["generation", "sources_version"],
}
# What belongs to one user within a workspace, whose admins see it too.
OF_ONE_USER = {"answers", "answer_feedback"}
ALTERNATIVES = {("api_keys", "INSERT"), ("audit_log", "INSERT"), *((table, "SELECT") for table in OF_ONE_USER)}
USER = "(NULLIF(current_setting('app.user_id'::text, true), ''::text))::uuid"
WORKSPACE = "(NULLIF(current_setting('app.workspace_id'::text, true), ''::text))::uuid"


def _grants(superuser: psycopg.Connection[Any], role: str) -> dict[str, set[str]]:
    granted: dict[str, set[str]] = {}
    for table, privilege in superuser.execute(GRANTS.encode(), {"role": role}).fetchall():
        granted.setdefault(table, set()).add(privilege)
    return granted


def test_every_table_names_its_scope_and_has_the_policies_of_it_for_all_that_is_granted(
    superuser: psycopg.Connection[Any],
) -> None:
    policies: dict[tuple[str, str], list[dict[str, str | None]]] = {}
    for table, command, using, check in superuser.execute(POLICIES).fetchall():
        for one in HALVES if command == "ALL" else [command]:
            halves = {"using": using, "check": check}
            policies.setdefault((table, one), []).append({half: halves[half] for half in HALVES[one]})
    granted, commands = _grants(superuser, "minirag_app"), 0
    for table, comment in superuser.execute(TABLES).fetchall():
        scope = str(comment).removeprefix("scope: ")
        assert scope in {"global", "organization", "workspace"}, f"{table} names no scope"
        if table == "schema_migrations" or table in NO_POLICY:
            assert granted.get(table, set()) == set()
            assert not any(one == table for one, _ in policies)
            continue
        assert granted[table] <= set(HALVES), f"{table}: a right that no policy holds"
        for command in granted[table]:
            found = policies.get((table, command), [])
            assert found, f"{table} has no policy for {command}"
            commands += 1
            for halves in found:
                _assert_bound(table, scope, command, halves)
    print(f"{commands} commands of {len(granted)} tables")


def _assert_bound(table: str, scope: str, command: str, halves: dict[str, str | None]) -> None:
    for condition in halves.values():
        assert condition is not None, f"{table}: {command} is not held to anything"
        assert "current_setting('app." in condition
        assert "select" not in condition.lower(), f"{table}: a sub-select hides the condition's selectivity"
        # One condition beside another loosens nothing, unless it is an alternative.
        alternatives = " OR " in condition
        assert not alternatives or (table, command) in ALTERNATIVES
        if table in OF_ONE_USER:
            assert condition.startswith(f"((workspace_id = {WORKSPACE}) AND ")
            assert f"user_id = {USER}" in condition
        elif scope == "workspace" and table not in {"workspaces", "api_keys"}:
            assert condition == f"(workspace_id = {WORKSPACE})"
    assert len(set(halves.values())) == 1, f"{table}: what can be read and what can be written differ"


def test_only_the_named_lookups_cross_tenants(superuser: psycopg.Connection[Any]) -> None:
    definers = superuser.execute(
        "SELECT proname, pg_get_userbyid(proowner), proconfig::text FROM pg_proc "
        "WHERE prosecdef AND pronamespace = 'public'::regnamespace ORDER BY proname"
    ).fetchall()
    path = '{"search_path=pg_catalog, public, pg_temp"}'
    assert definers == [(name, "minirag_auth", path) for name in sorted(OPERATORS | LOOKUPS)]
    auth = superuser.execute(
        "SELECT rolcanlogin, rolbypassrls, rolsuper, rolcreaterole FROM pg_roles WHERE rolname = 'minirag_auth'"
    ).fetchone()
    assert auth == (False, False, False, False)
    for count in (
        # An ACL that is null leaves a function to everybody.
        """SELECT count(*) FROM pg_proc p
           WHERE (p.prosecdef OR p.proowner = 'minirag_auth'::regrole) AND p.pronamespace = 'public'::regnamespace
             AND has_function_privilege('public', p.oid, 'EXECUTE')""",
        """SELECT count(*) FROM pg_auth_members
           WHERE roleid = 'minirag_auth'::regrole AND (inherit_option OR set_option)""",
        "SELECT has_schema_privilege('minirag_auth', 'public', 'CREATE')::integer",
        "SELECT count(*) FROM pg_class WHERE relowner = 'minirag_auth'::regrole",
    ):
        assert superuser.execute(count.encode()).fetchone() == (0,), count


def test_the_lookups_have_policies_and_rights_for_just_what_they_need(superuser: psycopg.Connection[Any]) -> None:
    policies = superuser.execute(
        "SELECT DISTINCT tablename FROM pg_policies WHERE 'minirag_auth' = ANY (roles) ORDER BY tablename"
    ).fetchall()
    assert [table for (table,) in policies] == sorted(AUTH)
    granted = _grants(superuser, "minirag_auth")
    columns = dict(superuser.execute(COLUMN_GRANTS.encode(), {"role": "minirag_auth"}).fetchall())
    assert columns == AUTH_UPDATES
    assert granted == AUTH


@pytest.mark.parametrize("function", sorted(OPERATORS))
def test_what_operators_do_is_refused_to_others(
    postgres: Postgres, function: str, superuser: psycopg.Connection[Any], tenant: TestTenant
) -> None:
    row = superuser.execute(
        "SELECT ARRAY(SELECT format_type(one, NULL) FROM unnest(proargtypes) AS one) FROM pg_proc WHERE proname = %s",
        (function,),
    ).fetchone()
    assert row is not None
    given = {"create_user": "'operators@example.com', ''"}.get(function, ", ".join(f"NULL::{one}" for one in row[0]))
    with psycopg.connect(postgres.app_url, autocommit=True) as connection:

        def call(operator: str | None) -> None:
            with connection.transaction(force_rollback=True):
                connection.execute("SELECT set_config('app.user_id', %s, true)", (str(tenant.user_id),))
                if operator is not None:
                    connection.execute("SELECT set_config('app.operator', %s, true)", (operator,))
                connection.execute(f"SELECT * FROM {function}({given})".encode())

        for operator in (None, "", "off", "true", "ON"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="only operators"):
                call(operator)
        call("on")


def test_the_application_cannot_change_the_audit_log(postgres: Postgres) -> None:
    for statement in ("UPDATE audit_log SET action = 'x'", "DELETE FROM audit_log", "TRUNCATE audit_log"):
        with psycopg.connect(postgres.app_url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement.encode())


def test_the_application_cannot_move_a_workspace_or_a_key(postgres: Postgres, make_tenant: Any) -> None:
    one, other = make_tenant(), make_tenant()
    with psycopg.connect(postgres.app_url) as connection:
        connection.execute("SELECT set_config('app.workspace_id', %s, false)", [str(one.workspace_id)])
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("UPDATE workspaces SET organization_id = %s", (other.organization_id,))
    for statement in ("UPDATE api_keys SET user_id = user_id", "CREATE TEMPORARY TABLE x (y int)"):
        with psycopg.connect(postgres.app_url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement.encode())


def test_migrating_again_does_nothing(postgres: Postgres) -> None:
    assert migrate(postgres.owner_url, postgres.app_password) == []


def test_a_migration_that_was_changed_after_it_ran_is_refused(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = [Migration(one.name, one.text + "-- changed") for one in migrations.migrations()]
    monkeypatch.setattr(migrations, "migrations", lambda: changed)
    with pytest.raises(RuntimeError, match="only go forward"):
        migrate(postgres.owner_url, postgres.app_password)


def test_migrations_are_numbered_without_a_gap() -> None:
    names = [migration.name for migration in migrations.migrations()]
    assert [int(Path(name).name.partition("_")[0]) for name in names] == list(range(1, len(names) + 1))


def test_vectors_stored_before_there_were_signatures_are_found_after_migrating(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    everything = migrations.migrations()
    rng = np.random.default_rng(5)
    vectors = rng.standard_normal((80, 64)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    with temporary() as server:
        monkeypatch.setattr(migrations, "migrations", lambda: everything[:6])
        migrate(server.owner_url, server.app_password)
        workspace_id, placed = uuid4(), []
        with psycopg.connect(server.superuser_url) as connection:
            connection.execute("INSERT INTO organizations (id, name, slug) VALUES (%s, '', '')", (workspace_id,))
            connection.execute(
                "INSERT INTO workspaces (id, organization_id, name) VALUES (%s, %s, '')", (workspace_id, workspace_id)
            )
        with psycopg.connect(server.app_url, autocommit=True) as tx:
            tx.execute("SELECT set_config('app.workspace_id', %s, false)", [str(workspace_id)])
            for first in range(0, 80, 4):
                source_id = uuid4()
                tx.execute(
                    "INSERT INTO sources (workspace_id, id, name, uri) VALUES (%s, %s, '', '')",
                    (workspace_id, source_id),
                )
                tx.cursor().executemany(
                    """INSERT INTO chunks (workspace_id, source_id, id, ordinal, start_offset, end_offset, content,
                                           content_hash, tokens)
                       VALUES (%s, %s, gen_random_uuid(), %s, 0, 1, 'x', '', 1)""",
                    [(workspace_id, source_id, ordinal) for ordinal in range(4)],
                )
                index.insert(tx, workspace_id, source_id, [["w"]] * 4)
                # The first chunk has two windows, two others none; every other document has no vectors at all.
                rows = [(0, 0, vectors[first]), (0, 1, vectors[first + 1]), (2, 0, vectors[first + 2])]
                tx.cursor().executemany(
                    """INSERT INTO chunk_vectors (workspace_id, source_id, model, ordinal, window_no, embedding)
                       VALUES (%s, %s, 'test', %s, %s, %s::halfvec)""",
                    [
                        (workspace_id, source_id, ordinal, window, store.literal(vector))
                        for ordinal, window, vector in (rows if first % 8 else [])
                    ],
                )
                placed.append((source_id, first, first % 8 > 0))
            wanted = merge.due(tx, workspace_id)
            assert wanted is not None
            # As it was merged then: without signatures; and a document of it removed.
            with tx.transaction():
                assert merge.run(tx, workspace_id, wanted, carry=lambda *_: None)
            index.remove(tx, workspace_id, placed[3][0])
            store.remove(tx, workspace_id, placed[3][0])
            monkeypatch.setattr(migrations, "migrations", lambda: everything)
            assert len(migrate(server.owner_url, server.app_password)) == len(everything) - 6
            found = search.search(tx, workspace_id, "test", vectors[0], k=100, filters=Filters())
            model = tx.execute("SELECT embedding_model FROM workspaces").fetchone()
    live = [(source_id, first) for source_id, first, has in placed if has and source_id != placed[3][0]]
    assert {(hit.source_id, hit.ordinal) for hit in found} == {(one, at) for one, _ in live for at in (0, 2)}
    for hit in found:
        first = dict(live)[hit.source_id]
        windows = vectors[first : first + 2] if hit.ordinal == 0 else vectors[first + 2 : first + 3]
        assert hit.score == pytest.approx(float((windows @ vectors[0]).max()), abs=2e-3)
    assert model == ("test",)


def test_who_calls_is_found_the_same_by_functions_that_run_on_while_the_database_is_migrated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    everything = migrations.migrations()
    # As the version before prepares it; the columns of a prepared statement are settled.
    find = "SELECT * FROM find_caller(%s, NULL, NULL, NULL, NULL, NULL, true, 'req_old', NULL)"
    with temporary() as server:
        monkeypatch.setattr(migrations, "migrations", lambda: everything[:13])
        migrate(server.owner_url, server.app_password)
        tenant = make(server.superuser_url)
        with psycopg.connect(server.app_url, autocommit=True, row_factory=dict_row) as running:

            def found() -> dict[str, Any] | None:
                return running.execute(find, (hash_key(tenant.key),), prepare=True).fetchone()

            before = found()
            monkeypatch.setattr(migrations, "migrations", lambda: everything)
            migrate(server.owner_url, server.app_password)
            after = found()
    assert before is not None
    assert after == {**before, "requests_today": 2}
    assert (after["workspace_id"], before["requests_today"]) == (tenant.workspace_id, 1)


ANSWER = """
INSERT INTO answers (workspace_id, id, user_id, question, answer, outcome, score, provider, model, generation, k,
                     filters, passages, citations, unsupported, source_ids, prompt_tokens, completion_tokens,
                     embedding_tokens, duration_ms, created_at)
VALUES (%(workspace)s, %(id)s, %(user)s, '', 'It is.', 'answered', 1, '', '', 0, 8, '{}', '[]', '[{}]', '["It is."]',
        %(sources)s::uuid[], 0, 0, 0, 1, %(at)s::date)
"""
RATED = """
INSERT INTO answer_feedback (workspace_id, answer_id, user_id, verdict) VALUES (%(workspace)s, %(id)s, %(user)s, 'up')
"""


def _answer(superuser: psycopg.Connection[Any], tenant: TestTenant, at: str, source_id: Any = None) -> Any:
    values = {
        "workspace": tenant.workspace_id, "user": tenant.user_id, "id": uuid4(), "at": at,
        "sources": [source_id or uuid4()],
    }  # fmt: skip
    for statement in (ANSWER, RATED):
        superuser.execute(statement, values)
    return values["id"]


def test_the_oldest_answers_of_all_are_forgotten_with_what_people_thought_of_them(
    postgres: Postgres, superuser: psycopg.Connection[Any], make_tenant: Any
) -> None:
    one, other = make_tenant(), make_tenant()
    made = [_answer(superuser, tenant, at) for tenant, at in (
        (one, "1999-01-03"), (other, "1999-01-01"), (one, "1999-01-02"), (other, "1999-01-04"), (one, "1999-01-05"),
    )]  # fmt: skip
    left, forgotten = [], []
    with psycopg.connect(postgres.app_url, autocommit=True) as connection:
        for before, most in (("1999-01-01", 10), ("1999-01-05", 2), ("1999-01-05", 10), ("1999-01-05", 10)):
            row = connection.execute("SELECT forget_answers(%s::date, %s)", (before, most)).fetchone()
            assert row is not None
            forgotten.append(row[0])
            left.append(
                [
                    made.index(one_id)
                    for (one_id,) in superuser.execute(
                        """SELECT a.id FROM answers a JOIN answer_feedback f ON f.answer_id = a.id
                           WHERE a.id = ANY(%s) ORDER BY a.created_at""",
                        (made,),
                    ).fetchall()
                ]
            )
    assert forgotten == [0, 2, 2, 0]
    assert left == [[1, 2, 0, 3, 4], [0, 3, 4], [4], [4]]
    for table, column in (("answers", "id"), ("answer_feedback", "answer_id")):
        statement = f"SELECT {column} FROM {table} WHERE {column} = ANY(%s)"
        assert superuser.execute(statement.encode(), (made,)).fetchall() == [(made[4],)]


def test_no_answer_is_forgotten_on_the_day_it_was_given(
    postgres: Postgres, superuser: psycopg.Connection[Any], make_tenant: Any
) -> None:
    new = _answer(superuser, make_tenant(), str(datetime.now(UTC)))
    with psycopg.connect(postgres.app_url, autocommit=True) as connection:
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            connection.execute("SELECT forget_answers(now() - interval '22 hours', 10)")
        connection.execute("SELECT forget_answers(now() - interval '1 day', 10)")
    assert superuser.execute("SELECT id FROM answers WHERE id = %s", (new,)).fetchall() == [(new,)]


def test_what_a_deleted_document_was_quoted_in_is_emptied_down_to_the_unsupported_sentences(
    postgres: Postgres, superuser: psycopg.Connection[Any], make_tenant: Any
) -> None:
    one, other, source_id = make_tenant(), make_tenant(), uuid4()
    mine, another = (_answer(superuser, one, "2026-01-01", source) for source in (source_id, None))
    theirs = _answer(superuser, other, "2026-01-01", source_id)
    with psycopg.connect(postgres.app_url, autocommit=True) as connection:
        connection.execute("SELECT set_config('app.workspace_id', %s, false)", (str(one.workspace_id),))
        assert connection.execute("SELECT empty_answers(%s)", (source_id,)).fetchone() == (1,)
    kept = "SELECT answer, citations, unsupported FROM answers WHERE id = %s"
    assert superuser.execute(kept, (mine,)).fetchone() == (None, [], [])
    for untouched in (another, theirs):
        assert superuser.execute(kept, (untouched,)).fetchone() == ("It is.", [{}], ["It is."])
