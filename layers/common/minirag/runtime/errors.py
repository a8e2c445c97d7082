"""Every error the product raises on purpose, as one tree.

Adapters translate what an SDK raises into this tree; `runtime.http` renders it as problem+json (RFC 9457);
the ingest worker writes `code` and `detail` on the job. `detail` is read by a person: it says what happened,
to what, and what to do.
"""

import json
from collections.abc import Mapping


class MiniRagError(Exception):
    """Base of the tree: an HTTP status, a stable code, and a sentence a person can act on."""

    status = 500
    code = "internal"
    title = "Internal error"

    def __init__(self, detail: str, *, code: str | None = None, retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or type(self).code
        self.retry_after = retry_after

    def headers(self) -> Mapping[str, str]:
        """HTTP headers that go with this error."""
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}


class Malformed(MiniRagError):
    status, code, title = 400, "malformed", "Malformed request"


class Unauthenticated(MiniRagError):
    status, code, title = 401, "unauthenticated", "Authentication required"

    def headers(self) -> Mapping[str, str]:
        """RFC 9110 wants a challenge with every 401."""
        return {"WWW-Authenticate": 'Bearer realm="mini-rag"'}


class BillingInactive(MiniRagError):
    status, code, title = 402, "billing_inactive", "Billing is inactive"


class Forbidden(MiniRagError):
    status, code, title = 403, "forbidden", "Not allowed"


class NotFound(MiniRagError):
    """Unknown, or another tenant's: the two must not be told apart."""

    status, code, title = 404, "not_found", "Not found"


class Conflict(MiniRagError):
    status, code, title = 409, "conflict", "Conflict"


class TooLarge(MiniRagError):
    status, code, title = 413, "too_large", "Too large"


class UnsupportedType(MiniRagError):
    status, code, title = 415, "unsupported_type", "Type not accepted"


class Unprocessable(MiniRagError):
    status, code, title = 422, "unprocessable", "Invalid input"


class ExtractionFailed(Unprocessable):
    """A document that cannot be read; `code` names why and ends up on the job."""

    code, title = "extraction_failed", "The document could not be read"


class TooMany(MiniRagError):
    status, code, title = 429, "too_many", "Too many requests"


class Unavailable(MiniRagError):
    """A dependency is down; trying again later may work."""

    status, code, title = 503, "unavailable", "Temporarily unavailable"

    def __init__(self, detail: str, *, code: str | None = None, retry_after: int | None = 5) -> None:
        super().__init__(detail, code=code, retry_after=retry_after)


class OutOfTime(MiniRagError):
    status, code, title = 504, "out_of_time", "Out of time"

    def __init__(self, detail: str, *, code: str | None = None, retry_after: int | None = 5) -> None:
        super().__init__(detail, code=code, retry_after=retry_after)


def pack(error: MiniRagError) -> bytes:
    """An error as it is told to other processes that wait for the same."""
    return json.dumps([type(error).__name__, error.detail, error.code, error.retry_after]).encode()


def unpack(packed: bytes) -> MiniRagError:
    """The error that another process told of; Unavailable if what it told cannot be read."""
    try:
        name, detail, code, retry_after = json.loads(packed)
        return _kinds()[name](detail, code=code, retry_after=retry_after)
    except (ValueError, LookupError, TypeError):
        return Unavailable("The same question failed a moment ago. Ask again in a few seconds.")


def _kinds() -> dict[str, type[MiniRagError]]:
    found, more = {MiniRagError}, [MiniRagError]
    while more:
        new = more.pop().__subclasses__()
        found.update(new)
        more.extend(new)
    return {kind.__name__: kind for kind in found}
