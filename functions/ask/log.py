"""The answers that were given: the caller's own, for admins of the workspace everybody's; and what people thought."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Request

from functions.ask.app import app
from functions.ask.log_bodies import FeedbackIn, FeedbackOut, LoggedOut, LoggedPage, OneLoggedOut, ReplayOut
from functions.ask.replay import replay
from minirag.knowledge import answers
from minirag.runtime import db, page
from minirag.runtime.errors import NotFound
from minirag.runtime.http import described, remaining_seconds
from minirag.tenancy.access import body_of, needs
from minirag.tenancy.identity import Caller
from minirag.tenancy.roles import READ

Reader = Annotated[Caller, needs(READ)]
Limit = Annotated[int, Query(ge=1, le=page.MAX_LIMIT)]


@app.get("/api/v1/answers", response_model=LoggedPage)
async def list_answers(
    caller: Reader, user_id: UUID | None = None, limit: Limit = page.DEFAULT_LIMIT, cursor: str | None = None
) -> LoggedPage:
    """Answers that were given in the workspace, newest first."""
    after = page.decode(cursor)
    with db.transaction(caller.tenant) as tx:
        rows = answers.page(tx, caller.workspace_id, user_id=user_id, after=after, limit=limit + 1)
    items = [LoggedOut.model_validate(one) for one in rows[:limit]]
    return LoggedPage(items=items, next_cursor=page.next_cursor(rows, limit))


@app.get("/api/v1/answers/{answer_id}", response_model=OneLoggedOut)
async def get_answer(answer_id: UUID, caller: Reader) -> OneLoggedOut:
    """One of them, with what was thought of it."""
    with db.transaction(caller.tenant) as tx:
        answer = _answer(tx, caller, answer_id)
        given = answers.feedback(tx, caller.workspace_id, answer_id)
    shown = LoggedOut.model_validate(answer).model_dump()
    return OneLoggedOut(**shown, feedback=[FeedbackOut.model_validate(one) for one in given])


@app.post("/api/v1/answers/{answer_id}/feedback", response_model=FeedbackOut, openapi_extra=described(FeedbackIn))
async def rate_answer(
    answer_id: UUID,
    caller: Annotated[Caller, needs(READ, body=FeedbackIn)],
    body: Annotated[FeedbackIn, body_of(FeedbackIn)],
) -> FeedbackOut:
    """Say what one thinks of an answer; saying it again replaces what was said before."""
    with db.transaction(caller.tenant) as tx:
        _answer(tx, caller, answer_id)
        given = answers.rate(
            tx, caller.workspace_id, answer_id, caller.user_id, verdict=body.verdict, comment=body.comment
        )
    return FeedbackOut.model_validate(given)


@app.post("/api/v1/answers/{answer_id}/replay", response_model=ReplayOut)
async def replay_answer(
    request: Request, answer_id: UUID, caller: Annotated[Caller, needs(READ, counted=True)]
) -> ReplayOut:
    """Retrieve and build the prompt for it as would be done now, and tell what differs."""
    with db.transaction(caller.tenant) as tx:
        answer = _answer(tx, caller, answer_id)
    return ReplayOut.of(answer, replay(caller, answer, seconds=remaining_seconds(request)))


def _answer(tx: db.Connection, caller: Caller, answer_id: UUID) -> answers.Logged:
    answer = answers.find(tx, caller.workspace_id, answer_id)
    if answer is None:
        raise NotFound("There is no such answer.")
    return answer
