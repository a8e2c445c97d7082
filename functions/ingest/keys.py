"""Object keys: made by the server for uploads, by whoever writes to the drop folder for drops.

uploads/<workspace>/<source>/<job>
fetched/<workspace>/<source>/<job>
drop/<workspace>/<any path>
"""

import re
from dataclasses import dataclass
from typing import Final
from uuid import UUID

_UUID: Final = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_UPLOAD: Final = re.compile(rf"uploads/({_UUID})/({_UUID})/({_UUID})")
_DROP: Final = re.compile(rf"drop/({_UUID})/(.*[^/])", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Upload:
    """Where the content of one job of the API lies."""

    workspace_id: UUID
    source_id: UUID
    job_id: UUID

    @property
    def key(self) -> str:
        return f"uploads/{self.workspace_id}/{self.source_id}/{self.job_id}"


@dataclass(frozen=True, slots=True)
class Drop:
    """A file in the drop folder of a workspace; its path is its identity."""

    workspace_id: UUID
    path: str

    @property
    def key(self) -> str:
        return f"drop/{self.workspace_id}/{self.path}"


def fetched(workspace_id: UUID, source_id: UUID, job_id: UUID) -> str:
    """Where what a job fetches from its address is put; the storage tells nobody of it."""
    return f"fetched/{workspace_id}/{source_id}/{job_id}"


def is_fetched(key: str) -> bool:
    """Whether an object was, or will be, fetched by its job."""
    return key.startswith("fetched/")


def parse(key: str) -> Upload | Drop | None:
    """What an object key stands for; None for anything that is not ours (a folder marker, say)."""
    if upload := _UPLOAD.fullmatch(key):
        return Upload(*(UUID(group) for group in upload.groups()))
    # S3 takes a NUL in a key, PostgreSQL does not.
    if (drop := _DROP.fullmatch(key)) and "\0" not in key:
        return Drop(UUID(drop.group(1)), drop.group(2))
    return None
