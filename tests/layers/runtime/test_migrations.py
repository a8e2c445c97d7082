"""What the schema promises, read from the catalog: nobody needs to remember it for the next table."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import psycopg
import pytest

from local.postgres import Postgres, temporary
from minirag.knowledge.filters import Filters
from minirag.knowledge.lexical import index, merge
from minirag.knowledge.vectors import search, store
from minirag.runtime import migrate as migrations
from minirag.runtime.migrate import Migration, migrate
from tests.tenants import TestTenant

TABLES = """
SELECT c.relname, c.relrowsecurity, c.relforcerowsecurity, pg_get_userbyid(c.relowner),
       obj_description(c.oid, 'pg_class')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p')
"""
POLICIES = """
SELECT tablename, qual, with_check FROM pg_policies WHERE schemaname = 'public' AND 'minirag_app' = ANY (roles)
"""
WORKSPACE = "(NULLIF(current_setting('app.workspace_id'::text, true), ''::text))::uuid"


def test_every_tenant_table_has_row_level_security_enabled_and_forced(superuser: psycopg.Connection[Any]) -> None:
    tables = superuser.execute(TABLES).fetchall()
    without = [name for name, enabled, forced, _, _ in tables if not (enabled and forced)]
    assert without == ["schema_migrations"]
    assert {owner for *_, owner, _ in tables} == {"minirag_owner"}
    print(f"{len(tables) - 1} of {len(tables) - 1} tenant tables")


def test_every_table_names_its_scope_and_has_the_policy_of_it(superuser: psycopg.Connection[Any]) -> None:
    policies: dict[str, list[tuple[str, str]]] = {}
    for table, using, check in superuser.execute(POLICIES).fetchall():
        policies.setdefault(table, []).append((using, check))
    for table, *_, comment in superuser.execute(TABLES).fetchall():
        scope = str(comment).removeprefix("scope: ")
        assert scope in {"global", "organization", "workspace"}, f"{table} names no scope"
        if table == "schema_migrations":
            continue
        assert policies[table], f"{table} has no policy"
        for using, check in policies[table]:
            assert using == check, f"{table}: what can be read and what can be written differ"
            assert "current_setting('app." in using
            assert "select" not in using.lower(), f"{table}: a sub-select hides the condition's selectivity"
        if scope == "workspace" and table not in {"workspaces", "api_keys"}:
            assert [using for using, _ in policies[table]] == [f"(workspace_id = {WORKSPACE})"]


def test_the_application_role_owns_nothing_and_bypasses_nothing(superuser: psycopg.Connection[Any]) -> None:
    role = superuser.execute(
        "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = 'minirag_app'"
    ).fetchone()
    assert role == (False, False, False, False)
    owned = "SELECT count(*) FROM pg_class WHERE relowner = 'minirag_app'::regrole"
    assert superuser.execute(owned).fetchone() == (0,)
    member = "SELECT count(*) FROM pg_auth_members WHERE member = 'minirag_app'::regrole"
    assert superuser.execute(member).fetchone() == (0,)


def test_only_the_named_lookups_cross_tenants(superuser: psycopg.Connection[Any]) -> None:
    definers = superuser.execute(
        "SELECT proname, pg_get_userbyid(proowner), proconfig::text FROM pg_proc "
        "WHERE prosecdef AND pronamespace = 'public'::regnamespace ORDER BY proname"
    ).fetchall()
    path = '{"search_path=pg_catalog, public, pg_temp"}'
    assert definers == [
        ("find_caller_by_api_key", "minirag_auth", path),
        ("find_index_garbage", "minirag_auth", path),
        ("find_lost_jobs", "minirag_auth", path),
        ("record_billing_event", "minirag_auth", path),
    ]
    auth = superuser.execute("SELECT rolcanlogin, rolbypassrls FROM pg_roles WHERE rolname = 'minirag_auth'").fetchone()
    assert auth == (False, False)


def _count(connection: psycopg.Connection[Any], table: str, tenant: TestTenant | None) -> int:
    from psycopg import sql

    with connection.transaction():
        connection.execute(
            "SELECT set_config('app.workspace_id', %s, true), set_config('app.organization_id', %s, true), "
            "set_config('app.user_id', %s, true)",
            [str(one) for one in (tenant.workspace_id, tenant.organization_id, tenant.user_id)] if tenant else [""] * 3,
        )
        row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("table", ["users", "organizations", "workspaces", "workspace_members", "user_organizations"])
def test_a_tenant_sees_its_own_rows_only(postgres: Postgres, table: str, make_tenant: Any) -> None:
    one, _other = make_tenant(), make_tenant()
    with psycopg.connect(postgres.app_url) as connection:
        assert _count(connection, table, one) == 1
        assert _count(connection, table, None) == 0


def test_a_tenant_cannot_write_another_tenants_row(postgres: Postgres, make_tenant: Any) -> None:
    one, other = make_tenant(), make_tenant()
    with psycopg.connect(postgres.app_url) as connection:
        connection.execute("SELECT set_config('app.workspace_id', %s, false)", [str(one.workspace_id)])
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(
                "INSERT INTO sources (workspace_id, id, name, uri) VALUES (%s, %s, 'x', 'x')",
                (other.workspace_id, uuid4()),
            )


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
