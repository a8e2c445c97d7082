"""`python -m tests.authorization.table`: writes the table of who may do what into docs/security.md.

What it says of each caller is what test_matrix.py holds every route to.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from infra.routes import ROUTES, Route
from tests.authorization.callers import CALLERS, KINDS, Caller
from tests.authorization.examples import example_of
from tests.authorization.expected import expected

PAGE: Final = Path(__file__).parent.parent.parent / "docs" / "security.md"
BEGIN: Final = "<!-- who may do what -->"
END: Final = "<!-- /who may do what -->"

_ASKED: Final = ("route", "scope", "workspace", "organization", "platform")


def text() -> str:
    """The table, and the exceptions that its routes state."""
    head = [*_ASKED, *KINDS]
    rows = [head, ["---"] * len(head), *(_row(route) for route in ROUTES)]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    exceptions = [
        f"- `{route.method} {route.path}`: {narrower.because}."
        for route in ROUTES
        if (narrower := example_of(route).narrower) is not None
    ]
    return "\n".join([*lines, "", "These routes refuse more than their access does:", "", *exceptions])


def replaced(page: str) -> str:
    """The page with the table as it is now."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin, f"{PAGE.name} has lost the mark {BEGIN}"
    assert end, f"{PAGE.name} has lost the mark {END}"
    return f"{before}{BEGIN}\n\n{text()}\n\n{END}{after}"


def _row(route: Route) -> list[str]:
    access = route.access
    asked = (access.scope, access.workspace_role, access.organization_role, "admin" if access.platform_admin else None)
    return [f"`{route.method} {route.path}`", *(one or "" for one in asked), *(_cell(route, kind) for kind in KINDS)]


def _cell(route: Route, kind: str) -> str:
    """What callers of this kind see; keys and sessions apart where they differ."""
    each = {_seen(route, caller) for caller in CALLERS if caller.kind == kind}
    if len(each) == 1:
        return each.pop()
    return ", ".join(_by_credential(route, kind))


def _by_credential(route: Route, kind: str) -> Iterator[str]:
    for by in ("key", "session"):
        each = {_seen(route, caller) for caller in CALLERS if caller.kind == kind and caller.by == by}
        assert len(each) == 1, f"{route.method} {route.path}: callers of the kind '{kind}' see {sorted(each)}"
        yield f"{by} {each.pop()}"


def _seen(route: Route, caller: Caller) -> str:
    status = expected(route, example_of(route), caller)
    return "yes" if status is None else str(status)


if __name__ == "__main__":
    PAGE.write_text(replaced(PAGE.read_text("utf-8")), "utf-8")
