"""API keys from the command line, for operators: who has the database's address may do what this does.

    python scripts/manage_api_keys.py create --user UUID --scope read write [--workspace UUID] [--days N]
    python scripts/manage_api_keys.py list [--user UUID] [--workspace UUID]
    python scripts/manage_api_keys.py revoke KEY_ID

The database is that of MINIRAG_DATABASE_URL (`.local/dev.env` has it). `create` prints the key, this once, as the only
line on standard output. Everything is in the audit log.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

_ROOT = Path(__file__).resolve().parent.parent
# Run as a file, Python looks for modules beside it alone.
sys.path[:0] = [str(_ROOT), str(_ROOT / "layers" / "common")]

from minirag.runtime import db  # noqa: E402
from minirag.runtime.errors import NotFound  # noqa: E402
from minirag.runtime.page import Cursor  # noqa: E402
from minirag.tenancy import api_keys, audit, users  # noqa: E402
from minirag.tenancy.api_keys import ApiKey  # noqa: E402
from minirag.tenancy.identity import Origin  # noqa: E402
from scripts.database import run  # noqa: E402

_PAGE = 200
_ORIGIN = Origin("manage_api_keys")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    given = _parser().parse_args(arguments)
    if given.command == "create":
        scopes = frozenset(given.scope)
        return run(lambda: _create(given.user, given.workspace, scopes, given.days, given.description))
    if given.command == "list":
        return run(lambda: _list(given.user, given.workspace))
    return run(lambda: _revoke(given.key_id))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="manage_api_keys.py", description="Make, list and revoke API keys.")
    commands = parser.add_subparsers(dest="command", required=True)
    create = commands.add_parser("create", help="make a key for a user, and print it this once")
    create.add_argument("--user", type=UUID, required=True, help="whose key it is")
    create.add_argument("--scope", nargs="+", choices=sorted(api_keys.SCOPES), required=True)
    create.add_argument("--workspace", type=UUID, help="tie it to this workspace of the user's; else it may choose")
    create.add_argument("--days", type=int, help="how long it is good; else until it is revoked")
    create.add_argument("--description", default="")
    listed = commands.add_parser("list", help="print keys, a JSON object a line, newest first")
    listed.add_argument("--user", type=UUID)
    listed.add_argument("--workspace", type=UUID)
    revoke = commands.add_parser("revoke", help="end a key now")
    revoke.add_argument("key_id", type=UUID)
    return parser


def _create(user_id: UUID, workspace_id: UUID | None, scopes: frozenset[str], days: int | None, text: str) -> None:
    with db.transaction(db.Tenant(user_id=user_id, operator=True)) as tx:
        if users.find(tx, user_id) is None:
            raise NotFound(f"There is no user {user_id}.")
        open_to_user = {one.workspace_id: one.organization_id for one in users.memberships(tx)}
    if workspace_id is not None and workspace_id not in open_to_user:
        raise NotFound(f"The user is not in a workspace {workspace_id}.")
    organization_id = open_to_user[workspace_id] if workspace_id else None
    new = api_keys.new_key()
    with db.transaction(db.Tenant(workspace_id, organization_id, user_id)) as tx:
        stored = api_keys.create(
            tx,
            new,
            user_id=user_id,
            workspace_id=workspace_id,
            scopes=scopes,
            description=text,
            expires_at=None if days is None else datetime.now(UTC) + timedelta(days=days),
        )
        # Whoever typed this is not known here; it was not the key's user.
        detail = {"scopes": " ".join(stored.scopes), "for": str(user_id)}
        audit.append(
            tx, organization_id, workspace_id, None, None, "admin.api_key.create", str(stored.id), _ORIGIN, detail
        )
    print(new.key)
    print(f"{stored.id}: shown this once. Only its SHA-256 is stored.", file=sys.stderr)


def _list(user_id: UUID | None, workspace_id: UUID | None) -> None:
    for key in _all(user_id, workspace_id):
        print(json.dumps(_shown(key), ensure_ascii=False))


def _all(user_id: UUID | None, workspace_id: UUID | None) -> Iterator[ApiKey]:
    after: Cursor[UUID] | None = None
    while True:
        with db.transaction(db.Tenant(operator=True)) as tx:
            rows = api_keys.find_all(tx, user_id=user_id, workspace_id=workspace_id, after=after, limit=_PAGE)
        yield from rows
        if len(rows) < _PAGE:
            return
        after = Cursor(rows[-1].created_at, rows[-1].id)


def _revoke(key_id: UUID) -> None:
    with db.transaction(db.Tenant(operator=True)) as tx:
        if not api_keys.revoke_any(tx, key_id):
            raise NotFound(f"There is no API key {key_id}.")
        audit.append(tx, None, None, None, None, "admin.api_key.revoke", str(key_id), _ORIGIN, {})
    print(f"{key_id} is revoked.", file=sys.stderr)


def _shown(key: ApiKey) -> dict[str, object]:
    moments = {
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "last_used_at": key.last_used_at,
    }
    return {
        "id": str(key.id),
        "prefix": key.prefix,
        "user_id": str(key.user_id),
        "workspace_id": str(key.workspace_id) if key.workspace_id else None,
        "scopes": key.scopes,
        "description": key.description,
        **{name: moment.isoformat() if moment else None for name, moment in moments.items()},
    }


if __name__ == "__main__":
    sys.exit(main())
