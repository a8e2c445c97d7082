"""The running system: PostgreSQL, Valkey, S3 and SQS, and over them the functions, their queues and their doors."""

import asyncio
import logging
import os
import secrets
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

import boto3
import psycopg
import uvicorn

from infra.routes import ROUTES
from infra.specs import SCHEDULE, spec_of
from local import demo, poller, ports
from local.clock import Clock
from local.deployment import FUNCTIONS, ROUTER, WARM, WEBHOOKS, WORKER, function_environment, groups
from local.function import InvokeError
from local.gateway import AsgiApp, build_function_url, build_gateway
from local.home import Home, StartError
from local.moto import BUCKET, JOBS, REGION, UPLOADS, Moto
from local.pool import Pool
from local.postgres import Postgres
from local.seed import seed
from local.terminal import Terminal
from local.valkey import Valkey
from minirag.runtime.migrate import migrate
from minirag.tenancy.api_keys import new_key

_GATEWAY_PORT: Final = 8080
_WEBHOOK_PORT: Final = 8081
_POSTGRES_PORT: Final = 54320
_VALKEY_PORT: Final = 63790
_MOTO_PORT: Final = 45660

# A document is tried again this long after its function got it: a little more than the function may take.
_JOB_VISIBILITY_SECONDS: Final = spec_of(WORKER).timeout + 30
_GRACE_SECONDS: Final = 3


class Servers:
    """PostgreSQL, Valkey, S3 and SQS of one home, started at the same time."""

    def __init__(self, home: Home) -> None:
        self.postgres = Postgres(
            home.folder / "postgres", home.secrets, preferred_port=_POSTGRES_PORT, log=home.log("postgres")
        )
        self.valkey = Valkey(
            home.private_folder("valkey"), home.secrets, preferred_port=_VALKEY_PORT, log=home.log("valkey")
        )
        self.moto = Moto(home.private_folder("objects"), preferred_port=_MOTO_PORT, log=home.log("moto"))

    def start(self, stack: ExitStack, terminal: Terminal) -> None:
        """Start them all; `stack` stops them in the opposite order. Raises StartError."""
        parts = (
            ("PostgreSQL with pgvector", self.postgres),
            ("Valkey", self.valkey),
            ("S3 and SQS (moto)", self.moto),
        )
        started = time.monotonic()
        for _, part in parts:
            stack.callback(part.stop)
            part.launch()
        for name, part in parts:
            with terminal.step(name, since=started) as step:
                part.wait()
                step.detail = f"process {part.pid}"


class _HttpServer(uvicorn.Server):
    """Uvicorn among others in one event loop: signals are not its business."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@dataclass(frozen=True, slots=True)
class System:
    """The functions over running servers, with their front doors and queue mappings."""

    home: Home
    terminal: Terminal
    servers: Servers
    preferred_port: int
    environments: Mapping[str, int]

    async def start(self, stack: AsyncExitStack) -> dict[str, str]:
        """Start everything; `stack` stops it in order. Returns the variables that clients need; raises StartError."""
        api_key = self.home.secrets.get("api_key", lambda: new_key().key)
        webhook_secret = os.environ.get("MINIRAG_STRIPE_WEBHOOK_SECRET") or self.home.secrets.get(
            "stripe_webhook", lambda: f"whsec_{secrets.token_hex(32)}"
        )
        servers = self.servers
        # Sign-in must know its address before anything listens there.
        port = ports.pick(self.preferred_port)
        environment = function_environment(
            os.environ,
            app_url=servers.postgres.app_url,
            redis_url=servers.valkey.url,
            moto=servers.moto,
            webhook_secret=webhook_secret,
            session_keys=os.environ.get("MINIRAG_SESSION_KEYS")
            or self.home.secrets.get("session_keys", lambda: f"local:{secrets.token_hex(32)}"),
            public_url=os.environ.get("MINIRAG_PUBLIC_URL") or f"http://{ports.LOOPBACK}:{port}",
        )
        pool = Pool(FUNCTIONS, groups=self.environments, env=environment, log_dir=self.home.private_folder("logs"))
        stack.push_async_callback(pool.close)
        started = time.monotonic()
        warming = asyncio.gather(*(pool.prewarm(name) for name in WARM))
        with self.terminal.step("Schema and demo tenant") as step:
            applied, workspace_id = await asyncio.to_thread(self._prepare_database, api_key)
            step.detail = f"{applied} migrations applied" if applied else "up to date"
        with self.terminal.step("Functions", since=started) as step:
            try:
                await warming
            except InvokeError as error:
                raise StartError(f"{error} (see {self.home.folder / 'logs'})") from error
            step.detail = ", ".join(WARM)
        await self._start_poller(stack, pool)
        clock = Clock(pool, SCHEDULE)
        clock.start()
        stack.push_async_callback(clock.stop)
        url = await _listen(stack, build_gateway(pool, ROUTES), port)
        webhook_url = await _listen(stack, build_function_url(pool, WEBHOOKS), _WEBHOOK_PORT)
        return {
            "MINIRAG_URL": url,
            "MINIRAG_API_KEY": api_key,
            "MINIRAG_WORKSPACE_ID": workspace_id,
            "MINIRAG_S3_ENDPOINT": servers.moto.endpoint,
            "MINIRAG_BUCKET": BUCKET,
            "MINIRAG_WEBHOOK_URL": f"{webhook_url}/",
            "MINIRAG_DATABASE_URL": servers.postgres.app_url,
            "MINIRAG_REDIS_URL": servers.valkey.url,
            "MINIRAG_STRIPE_WEBHOOK_SECRET": webhook_secret,
        }

    def _prepare_database(self, api_key: str) -> tuple[int, str]:
        postgres = self.servers.postgres
        try:
            applied = migrate(postgres.owner_url, postgres.app_password)
            return len(applied), str(seed(postgres.superuser_url, api_key).workspace_id)
        except (psycopg.Error, RuntimeError) as error:
            raise StartError(f"The database cannot be brought up to date: {error}") from error

    async def _start_poller(self, stack: AsyncExitStack, pool: Pool) -> None:
        moto = self.servers.moto
        session = boto3.Session(aws_access_key_id="local", aws_secret_access_key="local", region_name=REGION)
        sqs = session.client("sqs", endpoint_url=moto.endpoint)
        mappings = [
            poller.Mapping(moto.queue_url(UPLOADS), ROUTER),
            poller.Mapping(
                moto.queue_url(JOBS), WORKER, 1, visibility_seconds=_JOB_VISIBILITY_SECONDS, group_turns=True
            ),
        ]
        polling = poller.Poller(pool, sqs, mappings)
        await polling.start()
        stack.push_async_callback(polling.stop, grace_seconds=_GRACE_SECONDS)


def _preferred_port(user: Mapping[str, str]) -> int:
    port = user.get("PORT") or str(_GATEWAY_PORT)
    if not port.isdigit() or int(port) > 65535:
        raise StartError(f"PORT must be a number from 0 to 65535, not {port!r}.")
    return int(port)


async def _listen(stack: AsyncExitStack, app: AsgiApp, preferred_port: int) -> str:
    """Serve an app on a port of its own until `stack` ends it; return its origin."""
    listener = socket.create_server((ports.LOOPBACK, ports.pick(preferred_port)), backlog=1024)
    config = uvicorn.Config(
        app,
        lifespan="on",
        ws="none",
        log_config=None,
        access_log=False,
        # There is no proxy before this server: X-Forwarded-For is what a client says of itself.
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    server = _HttpServer(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))

    async def stop() -> None:
        server.should_exit = True
        await serving

    stack.push_async_callback(stop)
    while not server.started:
        if serving.done():
            raise StartError("The HTTP server does not start; logs/stack.log says why.")
        await asyncio.sleep(0.01)
    return f"http://{ports.LOOPBACK}:{listener.getsockname()[1]}"


async def _up(system: System, stack: AsyncExitStack, *, stay: bool) -> None:
    """Start the system and show that it works; what only the showing fails at does not end a system that stays."""
    terminal, home = system.terminal, system.home
    variables = await system.start(stack)
    terminal.timed("Ready", time.monotonic() - terminal.opened, variables["MINIRAG_URL"])
    try:
        await asyncio.to_thread(demo.show, variables, terminal)
    except demo.DemoError as error:
        if not stay:
            raise
        terminal.line(f"The demonstration failed, the system stays up: {error}")
    home.write_dev_env(variables)
    if stay:
        terminal.heading(f"Mini-RAG is up at {variables['MINIRAG_URL']}")
        terminal.line(f"  {home.dev_env} tells clients how to reach it. Ctrl-C stops it.")


async def _serve(system: System, *, stay: bool) -> bool:
    """Run the system; return whether it came up before it was asked to stop."""
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with AsyncExitStack() as stack:
        up = asyncio.create_task(_up(system, stack, stay=stay))
        stop = asyncio.create_task(stopping.wait())
        await asyncio.wait({up, stop}, return_when=asyncio.FIRST_COMPLETED)
        came_up = up.done()
        if came_up:
            up.result()
            if stay:
                await stop
        for task in (up, stop):
            task.cancel()
        await asyncio.wait({up, stop})
        system.home.dev_env.unlink(missing_ok=True)
        if stay:
            system.terminal.line("  Stopping …")
    return came_up


def run(home: Home, terminal: Terminal, *, stay: bool) -> bool:
    """Start the system of a locked home and show the demo; with `stay`, keep it up until SIGINT or SIGTERM.

    Returns whether it came up before it was asked to stop. Raises StackError, or KeyboardInterrupt from the handlers
    of these signals while the servers start.
    """
    http, environments = _preferred_port(os.environ), groups(os.environ)
    logging.basicConfig(filename=home.log("stack"), format="%(asctime)s %(name)s %(message)s")
    with ExitStack() as stack:
        try:
            servers = Servers(home)
            servers.start(stack, terminal)
            return asyncio.run(_serve(System(home, terminal, servers, http, environments), stay=stay))
        finally:
            # The children are being stopped, in order and in bounded time: a second Ctrl-C must not leave some behind.
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
