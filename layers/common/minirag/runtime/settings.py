"""Settings: the only reader of the environment.

On AWS the CDK app sets these variables; on one machine `local.stack` does. Secrets may instead come as one
JSON object from Secrets Manager (`MINIRAG_SECRET_ID`), whose entries win over the environment.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from functools import cache

VERSION = "0.1.0"
MIB = 1024 * 1024

_GOOGLE = "https://accounts.google.com"
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?")
_SECRET_LENGTH = 32
_OPENAI_MODEL = "gpt-4o-mini"
_OPENAI_EMBEDDING_MODEL = "text-embedding-3-small"
_ANTHROPIC_MODEL = "claude-haiku-4-5"
_LEAST_CONTEXT_TOKENS = 1000
_GB_SECOND_USD = Decimal("0.0000133334")  # of a function on Arm; AWS's list price in us-east-1, October 2025


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that sessions are signed with, by its name; the first signs, what the others signed stays good."""

    kid: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that differs between environments; fields with defaults may be left out."""

    database_url: str = field(repr=False)
    redis_url: str | None = field(default=None, repr=False)
    # Whether the address is that of a cluster of several nodes, whose client must know which of them holds what.
    redis_cluster: bool = False
    # Part of every key whose content depends on documents; another one after the database was put back to earlier.
    cache_epoch: str = "1"

    # S3 and SQS. An endpoint is only given when they are not AWS's own.
    bucket: str = ""
    jobs_queue_url: str = ""
    uploads_queue_url: str = ""
    s3_endpoint: str | None = None
    sqs_endpoint: str | None = None

    # Models. Without any key: the local MiniLM (if its files are given) and the extractive answerer. A server with
    # OpenAI's API that asks for no key still wants one set here, which may be any word.
    provider: str = "openai"  # who is asked first where both have a key; the other one takes over if it fails
    context_tokens: int = 24_000  # of a prompt, instructions and question included
    openai_api_key: str | None = field(default=None, repr=False)
    openai_base_url: str | None = None
    openai_model: str = _OPENAI_MODEL
    openai_embedding_model: str = _OPENAI_EMBEDDING_MODEL
    anthropic_api_key: str | None = field(default=None, repr=False)
    anthropic_base_url: str | None = None
    anthropic_model: str = _ANTHROPIC_MODEL
    minilm_model: str | None = None
    minilm_tokenizer: str | None = None

    # Dollars per million tokens, (model, read, written), that take precedence over the list prices of knowledge.cost.
    prices: tuple[tuple[str, Decimal, Decimal], ...] = ()
    gb_second_usd: Decimal = _GB_SECOND_USD
    # The memory of this function, None where it is none.
    function_memory_mb: int | None = None

    # How the lists of words and of meaning become one: a member of functions.ask.rank.Fusion.
    fusion: str = "attainable"

    stripe_webhook_secrets: tuple[str, ...] = field(default=(), repr=False)

    # Signing in. Without a public address, the keys of the sessions and a client at the provider nobody can.
    public_url: str | None = None
    session_keys: tuple[SigningKey, ...] = field(default=(), repr=False)
    oidc_issuer: str = _GOOGLE
    oidc_client_id: str | None = None
    oidc_client_secret: str | None = field(default=None, repr=False)
    # Whether whoever the provider knows may join, or the invited alone.
    sign_up: str = "open"
    # Origins whose pages may call the API with a key.
    cors_origins: tuple[str, ...] = ()

    # Limits.
    ask_per_minute: int = 30
    # For how long the answers that were given are kept.
    answers_kept_days: int = 90
    # That one user may own, and that one organization may have: limits are those of a workspace.
    max_organizations: int = 5
    max_workspaces: int = 100
    max_body_bytes: int = 4 * MIB
    max_upload_bytes: int = 200 * MIB
    max_query_chars: int = 2000
    extract_seconds: int = 90
    extract_memory_bytes: int = 512 * MIB
    ocr_pages: int = 50
    max_receives: int = 3
    # How long a job is its worker's without a sign of life.
    lease_seconds: int = 60


def _read(environment: Mapping[str, str]) -> Settings:
    def text(name: str) -> str | None:
        return environment.get(name, "").strip() or None

    def number(name: str, default: int) -> int:
        value = text(name)
        if value is None:
            return default
        if not value.isdigit():
            raise ValueError(f"{name} must be a whole number, not {value!r}")
        return int(value)

    def days(name: str, default: int) -> int:
        found = number(name, default)
        if found < 1:
            raise ValueError(f"{name} must be at least 1, not {found}")
        return found

    def dollars(name: str, default: Decimal) -> Decimal:
        value = text(name)
        if value is None:
            return default
        try:
            found = Decimal(value)
        except InvalidOperation:
            found = Decimal("NaN")
        if not (found.is_finite() and found >= 0):
            raise ValueError(f"{name} must be an amount of dollars like 0.0000133334, not {value!r}")
        return found

    def prices(name: str) -> tuple[tuple[str, Decimal, Decimal], ...]:
        try:
            table = json.loads(text(name) or "{}", parse_float=Decimal, parse_int=Decimal)
            rows = [(model, read, written) for model, (read, written) in table.items()]
            if all(isinstance(usd, Decimal) and usd >= 0 for _, *both in rows for usd in both):
                return tuple(sorted(rows))
        except (ValueError, TypeError, AttributeError):
            pass
        raise ValueError(f'{name} must be like {{"gpt-4o-mini": [0.15, 0.60]}}: dollars per million tokens')

    def choice(name: str, values: tuple[str, ...]) -> str:
        value = text(name) or values[0]
        if value not in values:
            raise ValueError(f"{name} must be one of {', '.join(values)}, not {value!r}")
        return value

    def origin(name: str) -> str | None:
        value = text(name)
        if value is not None and not _ORIGIN.fullmatch(value):
            raise ValueError(f"{name} must be like https://rag.example.com, without a path, not {value!r}")
        return value

    def signing_keys(name: str) -> tuple[SigningKey, ...]:
        keys = [SigningKey(*part.strip().split(":", 1)) for part in (text(name) or "").split(",") if ":" in part]
        if any(len(key.secret) < _SECRET_LENGTH or not key.kid for key in keys) or len({k.kid for k in keys}) < len(
            keys
        ):
            raise ValueError(f"{name} must be like kid:secret,older:secret, each secret of at least 32 characters")
        return tuple(keys)

    database_url = text("MINIRAG_DATABASE_URL")
    if database_url is None:
        raise ValueError("MINIRAG_DATABASE_URL is not set: the address of the PostgreSQL database is required")
    secrets = text("MINIRAG_STRIPE_WEBHOOK_SECRET") or ""
    context_tokens = number("MINIRAG_CONTEXT_TOKENS", 24_000)
    if context_tokens < _LEAST_CONTEXT_TOKENS:
        raise ValueError(f"MINIRAG_CONTEXT_TOKENS must be at least {_LEAST_CONTEXT_TOKENS}, not {context_tokens}")
    return Settings(
        database_url=database_url,
        redis_url=text("MINIRAG_REDIS_URL"),
        redis_cluster=choice("MINIRAG_REDIS_CLUSTER", ("off", "on")) == "on",
        cache_epoch=text("MINIRAG_CACHE_EPOCH") or "1",
        bucket=text("MINIRAG_BUCKET") or "",
        jobs_queue_url=text("MINIRAG_JOBS_QUEUE_URL") or "",
        uploads_queue_url=text("MINIRAG_UPLOADS_QUEUE_URL") or "",
        s3_endpoint=text("MINIRAG_S3_ENDPOINT"),
        sqs_endpoint=text("MINIRAG_SQS_ENDPOINT"),
        provider=choice("MINIRAG_PROVIDER", ("openai", "anthropic")),
        context_tokens=context_tokens,
        openai_api_key=text("OPENAI_API_KEY"),
        openai_base_url=text("OPENAI_BASE_URL"),
        openai_model=text("MINIRAG_OPENAI_MODEL") or _OPENAI_MODEL,
        openai_embedding_model=text("MINIRAG_OPENAI_EMBEDDING_MODEL") or _OPENAI_EMBEDDING_MODEL,
        anthropic_api_key=text("ANTHROPIC_API_KEY"),
        anthropic_base_url=text("ANTHROPIC_BASE_URL"),
        anthropic_model=text("MINIRAG_ANTHROPIC_MODEL") or _ANTHROPIC_MODEL,
        minilm_model=text("MINIRAG_MINILM_MODEL"),
        minilm_tokenizer=text("MINIRAG_MINILM_TOKENIZER"),
        prices=prices("MINIRAG_PRICES"),
        gb_second_usd=dollars("MINIRAG_GB_SECOND_USD", _GB_SECOND_USD),
        function_memory_mb=number("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", 0) or None,
        fusion=choice("MINIRAG_FUSION", ("attainable", "min_max", "reciprocal_rank")),
        public_url=origin("MINIRAG_PUBLIC_URL"),
        session_keys=signing_keys("MINIRAG_SESSION_KEYS"),
        oidc_issuer=text("MINIRAG_OIDC_ISSUER") or _GOOGLE,
        oidc_client_id=text("MINIRAG_OIDC_CLIENT_ID"),
        oidc_client_secret=text("MINIRAG_OIDC_CLIENT_SECRET"),
        sign_up=choice("MINIRAG_SIGN_UP", ("open", "invited")),
        cors_origins=tuple(part.strip() for part in (text("MINIRAG_CORS_ORIGINS") or "").split(",") if part.strip()),
        ask_per_minute=number("MINIRAG_ASK_PER_MINUTE", 30),
        answers_kept_days=days("MINIRAG_ANSWERS_KEPT_DAYS", 90),
        max_organizations=number("MINIRAG_MAX_ORGANIZATIONS", 5),
        max_workspaces=number("MINIRAG_MAX_WORKSPACES", 100),
        # Two during a rotation, separated by a comma.
        stripe_webhook_secrets=tuple(part.strip() for part in secrets.split(",") if part.strip()),
        max_body_bytes=number("MINIRAG_MAX_BODY_BYTES", 4 * MIB),
        max_upload_bytes=number("MINIRAG_MAX_UPLOAD_BYTES", 200 * MIB),
        max_query_chars=number("MINIRAG_MAX_QUERY_CHARS", 2000),
        extract_seconds=number("MINIRAG_EXTRACT_SECONDS", 90),
        extract_memory_bytes=number("MINIRAG_EXTRACT_MEMORY_BYTES", 512 * MIB),
        ocr_pages=number("MINIRAG_OCR_PAGES", 50),
        max_receives=number("MINIRAG_MAX_RECEIVES", 3),
        lease_seconds=number("MINIRAG_LEASE_SECONDS", 60),
    )


def _secret(secret_id: str) -> dict[str, str]:
    import boto3  # only on AWS; costs 200 ms of a cold start

    value = boto3.client("secretsmanager").get_secret_value(SecretId=secret_id)["SecretString"]
    return {str(name): str(entry) for name, entry in json.loads(value).items()}


@cache
def current() -> Settings:
    """The settings of this process, read once.

    Raises ValueError, naming the variable, if one is missing or malformed.
    """
    secret_id = os.environ.get("MINIRAG_SECRET_ID", "")
    return _read({**os.environ, **(_secret(secret_id) if secret_id else {})})
