"""Schema migrations: numbered SQL files, forward only, each applied once and in order.

Run by the owner role under an advisory lock, so that several may start at once; every file is one transaction.
"""

import hashlib
from importlib.resources import files
from typing import Final, NamedTuple

import psycopg
from psycopg import sql

_LOCK: Final = 7_264_111_846  # any number, the same for all who migrate

_TABLE: Final = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    name       text PRIMARY KEY,
    sha256     text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE schema_migrations IS 'scope: global';
"""


class Migration(NamedTuple):
    """A file of migrations/, in the order of its name."""

    name: str
    text: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


def migrations() -> list[Migration]:
    """All migrations of this version of the product, in order."""
    folder = files("minirag.runtime").joinpath("migrations")
    found = [Migration(path.name, path.read_text("utf-8")) for path in folder.iterdir() if path.name.endswith(".sql")]
    return sorted(found)


def migrate(owner_url: str, app_password: str) -> list[str]:
    """Bring the database up to date as its owner; return the names of the files applied now.

    Sets the password of the role `minirag_app`. Raises RuntimeError if a file that was applied earlier has been
    changed since.
    """
    applied_now: list[str] = []
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        connection.execute("SET client_min_messages = warning")
        connection.execute(_TABLE)
        known: dict[str, str] = dict(connection.execute("SELECT name, sha256 FROM schema_migrations").fetchall())
        for migration in migrations():
            if migration.name in known:
                if known[migration.name] != migration.sha256:
                    raise RuntimeError(
                        f"Migration {migration.name} was applied with another content. Migrations only go forward: "
                        "restore the file and put the change in a new one."
                    )
                continue
            with connection.transaction():
                connection.execute(migration.text.encode())
                connection.execute(
                    "INSERT INTO schema_migrations (name, sha256) VALUES (%s, %s)", (migration.name, migration.sha256)
                )
            applied_now.append(migration.name)
        connection.execute(sql.SQL("ALTER ROLE minirag_app PASSWORD {}").format(sql.Literal(app_password)))
    return applied_now
