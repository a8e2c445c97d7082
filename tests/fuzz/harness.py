"""Sends requests as a tenant to the real handlers, and keeps count of what came back."""

import json
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final
from uuid import uuid4

import httpx

from local.gateway import HEADER_LIMIT
from tests.fuzz.call import SHOWN, Call
from tests.fuzz.description import OPERATIONS, Operation
from tests.fuzz.generated import ID_NAMES
from tests.fuzz.judge import faults
from tests.tenants import TestTenant
from tests.transport import invocation

# After these the credential may have stopped working, or the tenant may have used up what it may.
_SUSPECT: Final = frozenset({401, 402, 403, 429})
_PROBE: Final = "/api/v1/sources"
_PROBE_EVERY: Final = 50
_ORIGIN: Final = "https://minirag.test"
# A tenant's lists stay short enough to be read fast.
_TENANT_CASES: Final = 1_000
_IDS_KEPT: Final = 40
# Where ids are listed: `/api/v1/jobs` for `job_id`.
_COLLECTIONS: Final = {
    name: operation.path.partition(f"/{{{name}}}")[0] for operation in OPERATIONS for name in operation.parameters
}


@dataclass
class Count:
    """What was sent to one operation, and what came back."""

    cases: int = 0
    # Unknown to the route table, or too large for the front door: no function sees these.
    refused: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    slowest: float = 0.0

    @property
    def authenticated(self) -> int:
        return self.cases - self.statuses[401]


@dataclass(frozen=True, slots=True)
class Finding:
    """A response that must not be, with the request that it answers."""

    what: str
    sent: Call
    answer: str
    trace: str

    def __str__(self) -> str:
        return "\n".join([f"--- {self.what}", str(self.sent), f"=> {self.answer[:SHOWN]}", self.trace])


class Failures:
    """The errors that the apps turned into a 500, which say more than the 500."""

    def __init__(self) -> None:
        self._last: BaseException | None = None

    def keep(self, name: str, error: BaseException, **fields: object) -> None:
        """In the place of telemetry.failure."""
        del name, fields
        self._last = error

    def take(self) -> BaseException | None:
        """The error of the last request, if it had one."""
        error, self._last = self._last, None
        return error


class Harness:
    """One operation's run. `enroll` makes a tenant who has documents."""

    def __init__(
        self,
        api: httpx.Client,
        operation: Operation,
        count: Count,
        enroll: Callable[[], TestTenant],
        failures: Failures,
    ) -> None:
        self.findings: dict[str, Finding] = {}
        self._api = api
        self._operation = operation
        self._count = count
        self._enroll = enroll
        self._failures = failures
        self._ids: dict[str, list[str]] = {}
        self._renew()

    def send(self, call: Call) -> None:
        """Send a request and judge its response; what is wrong becomes a finding, once of a kind."""
        filled = self._fill(call)
        request = self._request(filled)
        if request is None:
            self._count.refused += 1
            return
        response = self._timed(filled, request)
        if response.status_code in _SUSPECT or self._count.cases % _PROBE_EVERY == 0:
            response = self._again_if_lost(call, response)
        if self._count.cases % _TENANT_CASES == 0:
            self._renew()

    def _again_if_lost(self, call: Call, response: httpx.Response) -> httpx.Response:
        """The response to the same request of a new tenant, if this one cannot go on."""
        lost = response.status_code in {402, 429} or self._list(_PROBE).status_code != 200
        if not lost:
            return response
        self._renew()
        filled = self._fill(call)
        request = self._request(filled)
        return response if request is None else self._timed(filled, request)

    def _timed(self, filled: Call, request: httpx.Request) -> httpx.Response:
        started = time.perf_counter()
        try:
            response = self._api.send(request)
        except Exception as error:
            error.add_note(f"raised out of the handler by\n{filled}")
            raise
        self._count.cases += 1
        self._count.slowest = max(self._count.slowest, time.perf_counter() - started)
        self._count.statuses[response.status_code] += 1
        self._judge(filled, response)
        if response.is_success:
            self._learn(self._operation.path, response)
            if filled.method == "DELETE":
                self._forget(filled.path)
        return response

    def _judge(self, filled: Call, response: httpx.Response) -> None:
        error = self._failures.take()
        found = faults(response)
        if undeclared := self._operation.undeclared(response):
            found.append(undeclared)
        for what in found:
            where = traceback.extract_tb(error.__traceback__)[-1] if error else None
            # Of the sentences of schemas only the beginning is the same in all of a kind.
            kind = f"{what[:80]} {type(error).__name__} {where}" if error else f"{what[:80]} {response.text[:60]}"
            trace = "".join(traceback.format_exception(error, limit=-6)) if error else ""
            answer = f"{response.status_code} {dict(response.headers)} {response.text}"
            self.findings.setdefault(kind, Finding(what, filled, answer, trace))

    def _request(self, filled: Call) -> httpx.Request | None:
        """The request, or None if it would not come as far as a function."""
        # httpx would write text beyond ASCII in UTF-8; HTTP has it in Latin-1.
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in filled.headers]
        if not filled.header("x-api-key"):
            headers.append((b"x-api-key", self._tenant.key.encode()))
        # As from a page of ours: others are turned away before anything is read.
        headers.append((b"sec-fetch-site", b"same-origin"))
        try:
            request = httpx.Request(filled.method, _ORIGIN + filled.target, headers=headers, content=filled.body)
            invocation(request)
        except (httpx.InvalidURL, LookupError):
            return None
        return request if filled.size_of_head() <= HEADER_LIMIT else None

    def _fill(self, call: Call) -> Call:
        """The call with real ids for {names}."""
        path, query, body = call.path, call.query, call.body
        for name in ID_NAMES:
            slot = f"{{{name}}}"
            if slot in path or slot in query or slot.encode() in body:
                value = self._id(name)
                path, query = path.replace(slot, value), query.replace(slot, value)
                body = body.replace(slot.encode(), value.encode())
        return replace(call, path=path, query=query, body=body)

    def _id(self, name: str) -> str:
        """An id of this tenant's, of all that are known in turn; a new one if there is none."""
        known = self._ids.setdefault(name, [])
        if not known:
            self._look_up(name)
        if not known:
            return str(uuid4())
        known.append(known.pop(0))
        return known[-1]

    def _look_up(self, name: str) -> None:
        if name == "source_id":
            body = {"title": "Note", "text": "The valve was closed."}
            self._api.post("/api/v1/ingest/text", headers=self._tenant.headers, json=body)
        collection = _COLLECTIONS.get(name, "{")
        if "{" not in collection:
            self._learn(collection, self._list(collection))

    def _list(self, path: str) -> httpx.Response:
        try:
            return self._api.get(path, headers=self._tenant.headers)
        except LookupError:
            # Not every collection can be listed.
            return httpx.Response(404)

    def _learn(self, template: str, response: httpx.Response) -> None:
        """Remember the ids in a response of this path."""
        for entry in _entries(response):
            for name in ID_NAMES - {"workspace_id"}:
                found = entry.get("id") if _COLLECTIONS.get(name) == template else entry.get(name)
                known = self._ids.setdefault(name, [])
                if isinstance(found, str) and found not in known:
                    known.append(found)
                    del known[:-_IDS_KEPT]

    def _forget(self, path: str) -> None:
        """Forget the ids of what was deleted."""
        for known in self._ids.values():
            for gone in [value for value in known if value in path]:
                known.remove(gone)

    def _renew(self) -> None:
        self._tenant = self._enroll()
        self._ids = {"workspace_id": [str(self._tenant.workspace_id)]}
        self._learn(_PROBE, self._list(_PROBE))


def _entries(response: httpx.Response) -> Iterator[dict[str, Any]]:
    """The objects in a response that may have ids."""
    kind = response.headers.get("content-type", "").partition(";")[0]
    if not response.is_success or not response.content or kind != "application/json":
        return
    document = json.loads(response.content)
    if isinstance(document, dict):
        yield document
        items = document.get("items", document.get("jobs"))
        yield from (item for item in items or () if isinstance(item, dict))
