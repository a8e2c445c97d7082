"""The table of the functions: what each runs, how large it is, which variables it gets, and what wakes it.

Data only, like `infra.routes`, so that it can be read without the CDK.
"""

from dataclasses import dataclass
from typing import Final

MAX_RECEIVES: Final = 3
"""Deliveries of one message before it goes to the dead-letter queue; the worker reads it as MINIRAG_MAX_RECEIVES."""

EVENT_RECEIVES: Final = 10
"""The same for the storage's events: nothing else knows of what they tell, so they outlast an outage of an hour."""

EVERYWHERE: Final = ("MINIRAG_SECRET_ID",)
"""The variables that every function gets."""

NOTIFICATIONS: Final = (
    # Uploads leave the bucket only through the product, which tells the database itself. Files in drop/ belong to
    # whoever puts them there, so taking one away is an event too.
    ("s3:ObjectCreated:*", "uploads/"),
    ("s3:ObjectCreated:*", "drop/"),
    ("s3:ObjectRemoved:*", "drop/"),
)
"""(event, key prefix): what of the bucket goes to the queue `uploads`."""


@dataclass(frozen=True, slots=True)
class Spec:
    """One function: package (a folder in functions/), handler, memory in MB, timeout in seconds, SnapStart.

    `variables` are what it needs beyond EVERYWHERE and the entries of the settings' secret.
    """

    name: str
    package: str
    handler: str
    memory: int
    timeout: int
    snapshot: bool
    variables: tuple[str, ...] = ()


# API Gateway waits 29 s. 1769 MB are one whole vCPU, which scoring uses; the worker holds a file of up to 200 MB
# and beside it an extraction of up to 512 MiB in a child process (MINIRAG_EXTRACT_MEMORY_BYTES).
# Those that somebody waits for start from a snapshot; its charge grows with memory and time, so those that queues and
# the clock wake go without.
SPECS: Final = (
    Spec(
        "ask",
        "ask",
        "functions.ask.handler.handler",
        memory=1769,
        timeout=29,
        snapshot=True,
        variables=("TIKTOKEN_CACHE_DIR",),
    ),
    Spec(
        "ingest",
        "ingest",
        "functions.ingest.handler.handler",
        memory=1024,
        timeout=29,
        snapshot=True,
        variables=("MINIRAG_BUCKET", "MINIRAG_JOBS_QUEUE_URL"),
    ),
    Spec(
        "ingest-router",
        "ingest",
        "functions.ingest.router.handler",
        memory=512,
        timeout=30,
        snapshot=False,
        variables=("MINIRAG_BUCKET", "MINIRAG_UPLOADS_QUEUE_URL", "MINIRAG_JOBS_QUEUE_URL"),
    ),
    Spec(
        "ingest-sweeper",
        "ingest",
        "functions.ingest.sweep.handler",
        memory=512,
        timeout=60,
        snapshot=False,
        variables=("MINIRAG_BUCKET", "MINIRAG_JOBS_QUEUE_URL", "MINIRAG_MAX_RECEIVES"),
    ),
    Spec(
        "ingest-worker",
        "ingest",
        "functions.ingest.worker.handler",
        memory=3008,
        timeout=300,
        snapshot=False,
        variables=("MINIRAG_BUCKET", "MINIRAG_JOBS_QUEUE_URL", "MINIRAG_MAX_RECEIVES", "TIKTOKEN_CACHE_DIR"),
    ),
    Spec("webhooks", "webhooks", "functions.webhooks.handler.handler", memory=512, timeout=29, snapshot=True),
    Spec(
        "admin",
        "admin",
        "functions.admin.handler.handler",
        memory=1024,
        timeout=29,
        snapshot=True,
        variables=("MINIRAG_JOBS_QUEUE_URL",),
    ),
    Spec("audit-sealer", "admin", "functions.admin.seal.handler", memory=512, timeout=60, snapshot=False),
)


SCHEDULE: Final = {"ingest-sweeper": 60, "audit-sealer": 300}
"""What the clock wakes, and after how many seconds each time."""


def spec_of(name: str) -> Spec:
    """The function of this name; raises StopIteration if there is none."""
    return next(spec for spec in SPECS if spec.name == name)
