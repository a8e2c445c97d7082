"""Signing in and out: by OpenID Connect (code, PKCE, state, nonce) into a session in a cookie.

What only this browser may bring back, the attempt, is kept in a signed cookie for ten minutes; its state is good once.
"""

import hashlib
import hmac
import re
from datetime import UTC, datetime
from typing import Annotated, Final
from uuid import UUID

from fastapi import Query, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from functions.admin import oidc
from functions.admin.app import app
from functions.admin.bodies import CallbackIn, CredentialOut, LogoutIn, MeOut, MeUserOut, ReceivedOut
from functions.admin.organizations import found, memberships_of, of_memberships, workspaces_of
from minirag.runtime import db, rates, settings, telemetry
from minirag.runtime.errors import Forbidden, MiniRagError, Unauthenticated, Unavailable
from minirag.runtime.http import client_ip, described, read_model
from minirag.tenancy import audit, browser, invitations, tokens, users
from minirag.tenancy.access import NOWHERE, body_of, needs, origin_of
from minirag.tenancy.credentials import ISSUER
from minirag.tenancy.identity import Principal
from minirag.tenancy.roles import IDENTIFIED

# A path of ours: a browser takes "//host" and "/\host" for another site, and drops tabs and line ends before it looks.
_PATH: Final = re.compile(r"/(?![/\\])[\x21-\x7e]{0,500}")

_REFUSALS_A_MINUTE: Final = 10
_REFUSED: Final = {
    "suspended": "This user is suspended. Ask an administrator.",
    "uninvited": "Nobody has invited this address. Ask somebody who is in to invite you.",
    "taken": "This address belongs to somebody else here. Ask an administrator.",
}


@app.get("/auth/google", status_code=302, response_class=Response)
async def begin(return_to: Annotated[str, Query(max_length=500)] = "/") -> Response:
    """Send the browser to the identity provider; `return_to`, a path, is where it goes once signed in."""
    url, attempt = oidc.begin(_client())
    path = return_to if _PATH.fullmatch(return_to) else "/"
    login = tokens.Login(attempt.state, attempt.nonce, attempt.verifier, path)
    token = tokens.sign_login(login, settings.current().session_keys, issuer=ISSUER, now=datetime.now(UTC))
    cookie = browser.set_cookie(browser.LOGIN, token, seconds=tokens.LOGIN_SECONDS)
    return RedirectResponse(url, 302, headers={"set-cookie": cookie})


@app.get("/auth/callback", status_code=303, response_class=Response)
async def callback(
    request: Request,
    code: Annotated[str, Query(max_length=4096)] = "",
    state: Annotated[str, Query(max_length=1024)] = "",
    error: Annotated[str, Query(max_length=1024)] = "",
) -> Response:
    """Where the provider sends the browser back to: signed in, and on to where it wanted."""
    if error or not code:
        raise Unauthenticated("The identity provider did not sign you in. Try again.", code="sign_in_failed")
    login, session = _sign_in(request, code, state)
    return _with_cookies(RedirectResponse(login.return_to, 303), session)


@app.post("/auth/callback", response_model=MeUserOut, openapi_extra=described(CallbackIn))
async def callback_by_page(request: Request) -> Response:
    """The same for a page of ours that took the provider's answer itself."""
    browser.check_same_origin(request.method, request.headers)
    body = await read_model(request, CallbackIn)
    _, session = _sign_in(request, body.code, body.state)
    with db.transaction(db.Tenant(user_id=session.user_id)) as tx:
        name = users.name_of(tx, session.user_id)
    user = MeUserOut(id=session.user_id, email=session.email, name=name, role=session.role)
    return _with_cookies(JSONResponse(user.model_dump(mode="json")), session)


@app.post("/auth/logout", status_code=204, response_class=Response, openapi_extra=described(LogoutIn))
async def logout(
    request: Request,
    caller: Annotated[Principal, needs(IDENTIFIED, named=NOWHERE)],
    body: Annotated[LogoutIn, body_of(LogoutIn)],
) -> Response:
    """End the session, or all of this user's `everywhere`."""
    if caller.session is None:
        raise Forbidden("An API key is no session: revoke it by DELETE /api/v1/api-keys/{id} instead.")
    with db.transaction(caller.tenant) as tx:
        if body.everywhere:
            users.end_all_sessions(tx, caller.user_id)
        users.end_session(tx, caller.session)
        action = "auth.sign_out_everywhere" if body.everywhere else "auth.sign_out"
        audit.record(tx, caller, action, str(caller.session.id), origin_of(request))
    response = Response(status_code=204)
    response.headers.append("set-cookie", browser.set_cookie(browser.SESSION, "", seconds=0))
    return response


@app.get("/auth/me", response_model=MeOut)
async def me(caller: Annotated[Principal, needs(IDENTIFIED, named=NOWHERE)]) -> MeOut:
    """Who the caller is, and what is open to them."""
    with db.transaction(caller.tenant) as tx:
        name = users.name_of(tx, caller.user_id)
        memberships = memberships_of(tx, caller)
        received = invitations.received(tx) if caller.tied_to is None else []
    return MeOut(
        user=MeUserOut(
            id=caller.user_id, email=caller.email, name=name, role="admin" if caller.platform_admin else "user"
        ),
        credential=CredentialOut(
            kind="key" if caller.session is None else "session",
            scopes=sorted(caller.scopes),
            workspace_id=caller.tied_to,
            expires_at=caller.expires_at,
        ),
        organizations=of_memberships(memberships),
        workspaces=workspaces_of(memberships),
        invitations=[ReceivedOut.model_validate(one) for one in received],
    )


def _client() -> oidc.Client:
    """Who we are at the provider. Raises Unavailable where nobody can sign in."""
    current = settings.current()
    if not (current.public_url and current.session_keys and current.oidc_client_id and current.oidc_client_secret):
        raise Unavailable(
            "Signing in is not set up here: MINIRAG_PUBLIC_URL, MINIRAG_SESSION_KEYS, MINIRAG_OIDC_CLIENT_ID and "
            "MINIRAG_OIDC_CLIENT_SECRET are needed.",
            code="sign_in_not_configured",
            retry_after=3600,
        )
    return oidc.Client(
        issuer=current.oidc_issuer,
        client_id=current.oidc_client_id,
        client_secret=current.oidc_client_secret,
        redirect_uri=f"{current.public_url}/auth/callback",
    )


def _sign_in(request: Request, code: str, state: str) -> tuple[tokens.Login, tokens.Session]:
    """The whole way back from the provider. Raises Unauthenticated, Forbidden, Unavailable."""
    client = _client()
    login = _attempt(request, state)
    with db.transaction(db.NOBODY) as tx:
        first = users.use_login_state(tx, hashlib.sha256(state.encode()).digest())
    try:
        if not first:
            raise Unauthenticated("This sign-in was used before. Begin again.", code="sign_in_failed")
        identity = oidc.finish(client, oidc.Attempt(login.state, login.nonce, login.verifier), code)
    except MiniRagError as error:
        _record_refusal(request, None, error.code)
        raise
    with db.transaction(db.NOBODY) as tx:
        signed_in = users.sign_in(
            tx,
            issuer=identity.issuer,
            subject=identity.subject,
            email=identity.email,
            name=identity.name,
            may_join=settings.current().sign_up == "open",
        )
    if signed_in.outcome in _REFUSED:
        _record_refusal(request, signed_in.user_id, signed_in.outcome)
        raise Forbidden(_REFUSED[signed_in.outcome], code=f"sign_in_{signed_in.outcome}")
    return login, _open_session(request, signed_in)


def _attempt(request: Request, state: str) -> tokens.Login:
    """The sign-in that this browser began. Raises Unauthenticated."""
    token = browser.cookie(request.headers, browser.LOGIN) or ""
    try:
        login = tokens.read_login(token, settings.current().session_keys, issuer=ISSUER)
    except tokens.BadToken as error:
        raise Unauthenticated(
            "This sign-in was not begun in this browser, or more than ten minutes ago. Begin again.",
            code="sign_in_failed",
        ) from error
    if not hmac.compare_digest(login.state.encode(), state.encode(errors="replace")):
        raise Unauthenticated("This is the answer to another sign-in. Begin again.", code="sign_in_failed")
    return login


def _open_session(request: Request, signed_in: users.SignedIn) -> tokens.Session:
    """A session of the user, who gets an organization of their own if they are new and nobody has invited them."""
    assert signed_in.user_id is not None
    assert signed_in.email is not None
    assert signed_in.role is not None
    assert signed_in.session_epoch is not None
    session = tokens.new_session(
        signed_in.user_id,
        email=signed_in.email,
        role=signed_in.role,
        epoch=signed_in.session_epoch,
        now=datetime.now(UTC),
    )
    telemetry.bind(user_id=str(signed_in.user_id))
    origin = origin_of(request)
    if signed_in.outcome == "new" and not signed_in.invited:
        found(signed_in.user_id, signed_in.name or signed_in.email, origin)
    with db.transaction(db.Tenant(user_id=signed_in.user_id)) as tx:
        first = {"first": signed_in.outcome == "new"}
        audit.append(tx, None, None, signed_in.user_id, None, "auth.sign_in", str(session.id), origin, first)
    return session


def _record_refusal(request: Request, user_id: UUID | None, reason: str) -> None:
    """Write a refusal down, so many a minute of one address: anybody may begin a sign-in, nobody fill the log."""
    turn = rates.take(f"sign_in_refused:{client_ip(request)}", limit=_REFUSALS_A_MINUTE)
    if turn is not None and not turn.allowed:
        telemetry.event("auth.sign_in_refused", reason=reason)
        return
    with db.transaction(db.NOBODY) as tx:
        audit.append(tx, None, None, user_id, None, "auth.sign_in_refused", reason, origin_of(request), {})


def _with_cookies(response: Response, session: tokens.Session) -> Response:
    token = tokens.sign_session(session, settings.current().session_keys, issuer=ISSUER)
    response.headers.append("set-cookie", browser.set_cookie(browser.SESSION, token, seconds=tokens.SESSION_SECONDS))
    response.headers.append("set-cookie", browser.set_cookie(browser.LOGIN, "", seconds=0))
    return response
