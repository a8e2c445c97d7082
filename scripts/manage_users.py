"""Users from the command line, for operators: who has the database's address may do what this does.

    python scripts/manage_users.py create --email ADDRESS [--name NAME]
    python scripts/manage_users.py list [--email ADDRESS]
    python scripts/manage_users.py change USER_ID [--role user|admin] [--status active|suspended]

The database is that of MINIRAG_DATABASE_URL (`.local/dev.env` has it). A user of role `admin` operates the platform. A
change ends all sessions of the user. Everything is in the audit log.
"""

import argparse
import json
import sys
from pathlib import Path
from uuid import UUID

_ROOT = Path(__file__).resolve().parent.parent
# Run as a file, Python looks for modules beside it alone.
sys.path[:0] = [str(_ROOT), str(_ROOT / "layers" / "common")]

from minirag.runtime import db  # noqa: E402
from minirag.runtime.errors import Conflict, Unprocessable  # noqa: E402
from minirag.runtime.page import Cursor  # noqa: E402
from minirag.tenancy import addresses, audit, users  # noqa: E402
from minirag.tenancy.identity import Origin  # noqa: E402
from minirag.tenancy.users import User  # noqa: E402
from scripts.database import run  # noqa: E402

_PAGE = 200
_ORIGIN = Origin("manage_users")
_EVERYWHERE = db.Tenant(operator=True)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    given = _parser().parse_args(arguments)
    if given.command == "create":
        return run(lambda: _create(given.email, given.name))
    if given.command == "list":
        return run(lambda: _list(given.email))
    return run(lambda: _change(given.user_id, given.role, given.status))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="manage_users.py", description="Make, list and change users.")
    commands = parser.add_subparsers(dest="command", required=True)
    create = commands.add_parser("create", help="make a user who has not signed in yet, and print their id")
    create.add_argument("--email", required=True)
    create.add_argument("--name", default="")
    listed = commands.add_parser("list", help="print users, a JSON object a line, newest first")
    listed.add_argument("--email")
    change = commands.add_parser("change", help="suspend a user, take them back, make them an operator or not")
    change.add_argument("user_id", type=UUID)
    change.add_argument("--role", choices=("user", "admin"))
    change.add_argument("--status", choices=("active", "suspended"))
    return parser


def _create(email: str, name: str) -> None:
    try:
        address = addresses.normal(email.strip())
    except ValueError as error:
        raise Unprocessable(f"{email!r} {error}") from error
    with db.transaction(_EVERYWHERE) as tx:
        user_id = users.create(tx, email=address, name=name)
        if user_id is None:
            raise Conflict(f"Somebody has the address {email} already.")
        audit.append(tx, None, None, None, None, "admin.user.create", str(user_id), _ORIGIN, {})
    print(user_id)


def _list(email: str | None) -> None:
    after: Cursor[UUID] | None = None
    while True:
        with db.transaction(_EVERYWHERE) as tx:
            rows = users.page(tx, user_id=None, email=email, status=None, after=after, limit=_PAGE)
        for user in rows:
            print(json.dumps(_shown(user), ensure_ascii=False))
        if len(rows) < _PAGE:
            return
        after = Cursor(rows[-1].created_at, rows[-1].id)


def _change(user_id: UUID, role: str | None, status: str | None) -> None:
    with db.transaction(_EVERYWHERE) as tx:
        users.change(tx, user_id, role=role, status=status)
        change = {"role": role, "status": status}
        audit.append(tx, None, None, None, None, "admin.user.change", str(user_id), _ORIGIN, change)
        changed = users.find(tx, user_id)
    assert changed is not None
    print(json.dumps(_shown(changed), ensure_ascii=False))


def _shown(user: User) -> dict[str, object]:
    signed_in = user.last_sign_in_at.isoformat() if user.last_sign_in_at else None
    return {
        "id": str(user.id),
        "email": user.email,
        "name": user.name,
        "role": user.role,
        "status": user.status,
        "last_sign_in_at": signed_in,
    }


if __name__ == "__main__":
    sys.exit(main())
