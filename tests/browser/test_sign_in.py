"""Signing in with a real browser, against the real gateway and pool: what only a browser enforces is true."""

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import uvicorn
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from infra.routes import ROUTES
from local import ports
from local.deployment import FUNCTIONS
from local.gateway import AsgiApp, Receive, Scope, Send, build_gateway
from local.pool import Pool
from tests.fakes.oidc_server import OidcServer
from tests.tenants import TestTenant

CHROMIUM: Final = shutil.which("chromium")
FLAGS: Final = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
SERVED: Final = ("admin", "ingest", "ask")
# A page of the browser asks, and says what it got to see; `error` if the browser showed it nothing.
FETCH: Final = """async ([url, options]) => {
    try {
        const answer = await fetch(url, options);
        return {status: answer.status, type: answer.type, text: await answer.text()};
    } catch (error) {
        return {error: error.name};
    }
}"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine")

Script = Callable[["Stage"], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Stage:
    """A running system, a page of our own origin and what else a browser may have open."""

    ours: str
    theirs: str
    """Pages of another origin: `localhost` for another site, by 127.0.0.1 of the same site."""
    browser: Browser

    @property
    def neighbours(self) -> str:
        """The same pages of the same site: a site has no port."""
        return self.theirs.replace("localhost", ports.LOOPBACK)

    async def signed_in(self) -> tuple[BrowserContext, Page]:
        """A browser of its own in which somebody has just signed in, by nothing but going there."""
        context = await self.browser.new_context()
        page = await context.new_page()
        await page.goto(f"{self.ours}/auth/google?return_to=/documents%3Fsigned=in")
        assert page.url == f"{self.ours}/documents?signed=in"
        return context, page


async def _page(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
    """An empty page, whatever is asked for."""
    if scope["type"] == "http":
        headers = [(b"content-type", b"text/html; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"<!doctype html><title>A page</title>"})


@asynccontextmanager
async def _serving(app: AsgiApp, port: int) -> AsyncIterator[None]:
    listener = socket.create_server((ports.LOOPBACK, port))
    config = uvicorn.Config(app, lifespan="off", log_level="warning", proxy_headers=False, ws="none")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started:
            assert not serving.done()
            await asyncio.sleep(0.01)
        yield
    finally:
        server.should_exit = True
        await serving


@asynccontextmanager
async def _stage(environment: dict[str, str], logs: Path) -> AsyncIterator[Stage]:
    ours, theirs = ports.pick(), ports.pick()
    origin, elsewhere = f"http://{ports.LOOPBACK}:{ours}", f"http://localhost:{theirs}"
    variables = {"PATH": os.defpath, **environment, "MINIRAG_PUBLIC_URL": origin, "MINIRAG_CORS_ORIGINS": elsewhere}
    functions = [function for function in FUNCTIONS if function.name in SERVED]
    async with AsyncExitStack() as stack:
        pool = Pool(functions, groups=dict.fromkeys(SERVED, 1), env=variables, log_dir=logs)
        stack.push_async_callback(pool.close)
        await stack.enter_async_context(_serving(build_gateway(pool, ROUTES, fallback=_page), ours))
        await stack.enter_async_context(_serving(_page, theirs))
        playwright = await stack.enter_async_context(async_playwright())
        launching = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        _, browser = await asyncio.gather(pool.prewarm("admin"), launching)
        stack.push_async_callback(browser.close)
        yield Stage(origin, elsewhere, browser)


@pytest.fixture(scope="module")
def play(stack_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Script], None]]:
    """Run a script against the whole system and a browser, which are started once."""
    with OidcServer() as server, asyncio.Runner() as runner:
        environment = {
            **stack_env,
            "MINIRAG_SESSION_KEYS": f"browser:{'b' * 32}",
            "MINIRAG_OIDC_ISSUER": server.issuer,
            "MINIRAG_OIDC_CLIENT_ID": server.client_id,
            "MINIRAG_OIDC_CLIENT_SECRET": server.client_secret,
        }
        staged = _stage(environment, tmp_path_factory.mktemp("browser"))
        stage = runner.run(staged.__aenter__())
        try:
            yield lambda script: runner.run(script(stage))
        finally:
            runner.run(staged.__aexit__(None, None, None))


async def fetched(page: Page, url: str, **options: Any) -> dict[str, Any]:
    found: dict[str, Any] = await page.evaluate(FETCH, [url, options])
    return found


async def sent(page: Page, url: str, **options: Any) -> tuple[int, dict[str, Any]]:
    """The status on the wire, which the page may not see, and what the page saw."""
    async with page.expect_response(url) as expected:
        seen = await fetched(page, url, **options)
    return (await expected.value).status, seen


def json_of(text: str) -> dict[str, Any]:
    return {"method": "POST", "headers": {"Content-Type": "application/json"}, "body": text}


async def _signs_in_and_out(stage: Stage) -> None:
    context, page = await stage.signed_in()
    (cookie,) = await context.cookies(stage.ours)
    assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == ("minirag_session", True, "Lax")
    assert await page.evaluate("document.cookie") == ""
    me = await fetched(page, "/auth/me")
    assert (me["status"], '"ada@example.com"' in me["text"]) == (200, True)
    # Of another function than the one that signed in.
    assert (await fetched(page, "/api/v1/sources"))["text"] == '{"items":[],"next_cursor":null}'
    left = await fetched(page, "/auth/logout", **json_of("{}"))
    assert left["status"] == 204
    assert await context.cookies(stage.ours) == []
    assert (await fetched(page, "/auth/me"))["status"] == 401
    # Who had copied the cookie has nothing of it.
    await context.add_cookies([{"name": cookie["name"], "value": cookie["value"], "url": stage.ours}])
    assert (await fetched(page, "/auth/me"))["status"] == 401


async def _withstands_pages_of_others(stage: Stage) -> None:
    context, _ = await stage.signed_in()
    # What a page may send to whom it likes, without asking.
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    form = {"method": "POST", "credentials": "include", "mode": "no-cors", "headers": kind, "body": "name=Evil"}
    urls = f"{stage.ours}/api/v1/organizations", f"{stage.ours}/auth/logout"
    for origin, refusal in ((stage.neighbours, 403), (stage.theirs, 401)):
        page = await context.new_page()
        await page.goto(origin)
        for url in urls:
            # A neighbour's request has the cookie with it, another site's has not.
            status, seen = await sent(page, url, **form)
            assert (status, seen) == (refusal, {"status": 0, "type": "opaque", "text": ""})
        # What a form posts by going there.
        await page.set_content(f'<form method="post" action="{urls[0]}"><input name="name" value="Evil"></form>')
        async with page.expect_navigation() as expected:
            await page.evaluate("document.forms[0].submit()")
        answer = await expected.value
        assert (answer.url, answer.status) == (urls[0], refusal)
    ours = await context.new_page()
    await ours.goto(stage.ours)
    me = await fetched(ours, "/auth/me")
    assert (me["status"], "Evil" in me["text"]) == (200, False)


async def _shows_others_nothing(stage: Stage) -> None:
    context, _ = await stage.signed_in()
    page = await context.new_page()
    for origin in (stage.neighbours, stage.theirs):
        await page.goto(origin)
        assert await fetched(page, f"{stage.ours}/auth/me", credentials="include") == {"error": "TypeError"}


def _with_a_key(tenant: TestTenant) -> Script:
    async def script(stage: Stage) -> None:
        page = await stage.browser.new_page()
        url = f"{stage.ours}/auth/me"
        await page.goto(stage.theirs)
        listed = await fetched(page, url, headers=tenant.headers)
        assert (listed["status"], str(tenant.user_id) in listed["text"]) == (200, True)
        assert (await fetched(page, url))["status"] == 401
        await page.goto(stage.neighbours)
        assert await fetched(page, url, headers=tenant.headers) == {"error": "TypeError"}

    return script


def test_somebody_signs_in_is_known_and_signs_out_in_a_browser_that_shows_scripts_no_cookie(
    play: Callable[[Script], None],
) -> None:
    play(_signs_in_and_out)


def test_pages_of_other_origins_change_nothing_by_the_session(play: Callable[[Script], None]) -> None:
    play(_withstands_pages_of_others)


def test_pages_of_other_origins_see_nothing_of_the_session(play: Callable[[Script], None]) -> None:
    play(_shows_others_nothing)


def test_pages_of_listed_origins_may_use_a_key_and_others_may_not(
    play: Callable[[Script], None], tenant: TestTenant
) -> None:
    play(_with_a_key(tenant))
