"""The embedded PostgreSQL: roles, and what a SIGKILL leaves behind."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from local import leash, postgres, postgres_files
from local.home import StartError
from local.postgres import Postgres

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another user")


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres.temporary() as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that only its owner may enter (as pytest's are), and what a server puts elsewhere because of that."""
    path = tmp_path_factory.mktemp("home") / "postgres"
    yield path
    shutil.rmtree(postgres_files.outside_folder(path), ignore_errors=True)


def count(url: str) -> int:
    with psycopg.connect(url) as connection:
        (number,) = connection.execute("SELECT count(*) FROM kept").fetchone() or (0,)
        return int(number)


def answers(server: Postgres) -> bool:
    with psycopg.connect(server.owner_url) as connection:
        return connection.execute("SELECT 1").fetchone() == (1,)


def test_the_owner_owns_the_database_and_is_bound_by_row_level_security(server: Postgres) -> None:
    with psycopg.connect(server.owner_url) as connection:
        role = connection.execute(
            "SELECT rolname, rolsuper, rolbypassrls, rolcreaterole, rolcanlogin"
            " FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
        owner = connection.execute(
            "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
        ).fetchone()
    assert role == ("minirag_owner", False, False, True, True)
    assert owner == ("minirag_owner",)


def test_vectors_and_unicode_work(server: Postgres) -> None:
    with psycopg.connect(server.owner_url) as connection:
        row = connection.execute("SELECT '[1,2,3]'::halfvec <=> '[1,2,3]', lower('ÄÖ'), char_length('日本')").fetchone()
    assert row is not None
    assert (row[0], row[2]) == (0.0, 2)


def test_a_wrong_password_is_refused(server: Postgres) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(server.owner_url.replace("minirag_owner:", "minirag_owner:x"))


@as_root
def test_as_root_the_server_runs_as_nobody(server: Postgres) -> None:
    assert Path(f"/proc/{server.pid}").owner() == "nobody"


def test_committed_data_survives_a_kill_and_the_next_start_is_not_blocked(folder: Path) -> None:
    first = Postgres(folder)
    first.start()
    with psycopg.connect(first.owner_url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000)")
    os.kill(first.pid, signal.SIGKILL)
    with Postgres(folder) as second:
        assert count(second.owner_url) == 1000
    first.stop()


def test_a_server_that_was_left_behind_is_ended_by_the_next_one(folder: Path) -> None:
    first = Postgres(folder)
    first.start()
    left_behind = answers(first)
    with Postgres(folder) as second:
        assert answers(second)
        assert left_behind
        assert not Path(f"/proc/{first.pid}/cmdline").read_bytes()  # a zombie, as we are its parent
    first.stop()


def test_a_stale_pid_file_that_names_another_program_does_not_block(folder: Path) -> None:
    with Postgres(folder) as server:
        pid_file = (folder / "data").resolve() / "postmaster.pid"
        lines = pid_file.read_text().splitlines(keepends=True)
    other = leash.start(["sleep", "600"], user=postgres_files.server_user())
    try:
        pid_file.write_text("".join([f"{other.pid}\n", *lines[1:]]))
        with Postgres(folder) as server:
            assert answers(server)
        assert other.poll() is None
    finally:
        leash.stop(other)


def test_lost_passwords_are_named_as_the_reason(folder: Path) -> None:
    with Postgres(folder) as server:
        assert answers(server)
    (folder / "secrets.json").rename(folder / "kept.json")
    with pytest.raises(StartError, match="other passwords"):
        Postgres(folder).start()
    (folder / "kept.json").rename(folder / "secrets.json")


@as_root
def test_data_that_nobody_could_reach_lies_elsewhere_and_is_found_again(folder: Path) -> None:
    with Postgres(folder) as server, psycopg.connect(server.owner_url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (number integer)")
    outside = postgres_files.outside_folder(folder)
    assert (folder / "data").readlink() == outside / "data"
    assert outside.stat().st_uid == 0
    with Postgres(folder) as server:
        assert count(server.owner_url) >= 0


@as_root
def test_data_elsewhere_of_a_removed_home_does_not_block_a_new_one(folder: Path) -> None:
    shutil.rmtree(folder)
    with Postgres(folder, durable=False) as server:
        assert answers(server)
