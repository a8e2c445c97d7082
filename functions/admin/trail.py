"""The audit log for operators: filtered, paged, exported, and held against its seals."""

import csv
import io
import json
from typing import Annotated, Literal
from uuid import UUID

from fastapi import Depends, Query, Request
from fastapi.responses import Response
from pydantic import AwareDatetime

from functions.admin.app import Limit, app
from functions.admin.operator_bodies import AuditOut, AuditPage, AuditProblemOut, AuditVerdictOut
from minirag.runtime import db, page
from minirag.runtime.errors import Unprocessable
from minirag.runtime.http import Text, add_header
from minirag.tenancy import audit
from minirag.tenancy.access import NOWHERE, needs, origin_of
from minirag.tenancy.audit import Entry, Filters
from minirag.tenancy.identity import Principal
from minirag.tenancy.roles import PLATFORM

Operator = Annotated[Principal, needs(PLATFORM, named=NOWHERE)]
Action = Annotated[Text, Query(max_length=100, pattern=r"^[a-z_]+(\.[a-z_]+)*$")]

# Rows of one export: what a function's answer of six million bytes surely holds.
_EXPORT_MAX = 5000
_PARAMETERS = frozenset({"organization_id", "user_id", "action", "since", "until", "limit", "cursor", "format"})
# A cell that a spreadsheet would run as a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


async def _filters(
    request: Request,
    organization_id: UUID | None = None,
    user_id: UUID | None = None,
    action: Action | None = None,
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
) -> Filters:
    # A mistyped filter would let everything through, unseen.
    if unknown := sorted(set(request.query_params) - _PARAMETERS):
        raise Unprocessable(f"There is no parameter {', '.join(unknown)}; there are {', '.join(sorted(_PARAMETERS))}.")
    return Filters(organization_id, user_id, action, since, until)


Wanted = Annotated[Filters, Depends(_filters)]


@app.get("/api/v1/admin/audit", response_model=AuditPage)
async def list_audit(
    caller: Operator, wanted: Wanted, limit: Limit = page.DEFAULT_LIMIT, cursor: str | None = None
) -> AuditPage:
    """Who did what, newest first; `action` whole, or by its family (`api_key` finds `api_key.create`)."""
    after = page.decode_numbered(cursor)
    with db.transaction(db.Tenant(user_id=caller.user_id, operator=True)) as tx:
        rows = audit.find(tx, wanted, after=after, limit=limit + 1)
    return AuditPage(items=[_shown(one) for one in rows[:limit]], next_cursor=page.next_cursor(rows, limit))


@app.get("/api/v1/admin/audit/export", response_class=Response)
async def export_audit(
    request: Request,
    caller: Operator,
    wanted: Wanted,
    format: Literal["jsonl", "csv"] = "jsonl",  # noqa: A002  what it is called over HTTP
    limit: Annotated[int, Query(ge=1, le=_EXPORT_MAX)] = _EXPORT_MAX,
    cursor: str | None = None,
) -> Response:
    """The same as JSON Lines or CSV; the header X-Next-Cursor is there while there is more."""
    after = page.decode_numbered(cursor)
    with db.transaction(db.Tenant(user_id=caller.user_id, operator=True)) as tx:
        rows = audit.find(tx, wanted, after=after, limit=limit + 1)
        audit.record(tx, caller, "admin.audit.export", format, origin_of(request), rows=len(rows[:limit]))
    if following := page.next_cursor(rows, limit):
        add_header(request, "X-Next-Cursor", following)
    shown = [_shown(one).model_dump(mode="json") for one in rows[:limit]]
    text = _csv(shown) if format == "csv" else "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in shown)
    return Response(
        text,
        media_type="text/csv" if format == "csv" else "application/x-ndjson",
        headers={"content-disposition": f'attachment; filename="audit.{format}"'},
    )


@app.get("/api/v1/admin/audit/verify", response_model=AuditVerdictOut)
async def verify_audit(caller: Operator) -> AuditVerdictOut:
    """Whether the log is as it was sealed."""
    with db.transaction(db.Tenant(user_id=caller.user_id, operator=True)) as tx:
        problems, end = audit.verify(tx), audit.head(tx)
    return AuditVerdictOut(
        intact=not problems,
        position=end.position,
        head=end.head.hex(),
        unsealed=end.unsealed,
        problems=[AuditProblemOut.model_validate(one) for one in problems],
    )


def _shown(entry: Entry) -> AuditOut:
    link = None if entry.link is None else entry.link.hex()
    return AuditOut(**{name: getattr(entry, name) for name in AuditOut.model_fields if name != "link"}, link=link)


def _csv(rows: list[dict[str, object]]) -> str:
    written = io.StringIO()
    table = csv.DictWriter(written, list(AuditOut.model_fields), quoting=csv.QUOTE_ALL)
    table.writeheader()
    for row in rows:
        table.writerow({name: _cell(value) for name, value in row.items()})
    return written.getvalue()


def _cell(value: object) -> str:
    text = "" if value is None else json.dumps(value) if isinstance(value, dict) else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
