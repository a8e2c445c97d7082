"""The question API: answers with citations, and retrieval alone."""

from typing import Annotated

from fastapi import Request
from fastapi.responses import Response

from functions.ask import answer as path
from functions.ask import compose, log, spend
from functions.ask.app import app
from functions.ask.bodies import AskIn, AskOut, ChunkOut, ExplanationOut, QuestionIn, SearchIn, SearchOut
from functions.ask.explain import explain
from functions.ask.question import Question
from minirag.knowledge.filters import Filters
from minirag.runtime.http import add_header, described, json_response, remaining_seconds, written
from minirag.tenancy.access import body_of, needs
from minirag.tenancy.identity import Caller
from minirag.tenancy.roles import READ

__all__ = ["app", "log"]


@app.post("/api/v1/ask", response_model=AskOut, openapi_extra=described(AskIn, form=True))
async def ask(
    request: Request,
    caller: Annotated[Caller, needs(READ, body=AskIn, counted=True)],
    body: Annotated[AskIn, body_of(AskIn)],
) -> Response:
    """Answer a question from the workspace's documents, with citations that were checked."""
    question = _question(body, provider=body.provider, model=body.model)
    given = path.answer(caller, question, seconds=remaining_seconds(request))
    add_header(request, "X-Cache", given.cached)
    return json_response(given.body(request.state.request_id))


@app.post("/api/v1/search", response_model=SearchOut, openapi_extra=described(SearchIn, form=True))
async def search(
    request: Request,
    caller: Annotated[Caller, needs(READ, body=SearchIn, counted=True)],
    body: Annotated[SearchIn, body_of(SearchIn)],
) -> Response:
    """Find the passages that an answer would rest on."""
    question = _question(body)
    retrieved = compose.search(caller, question, seconds=remaining_seconds(request))
    spend.count_embedding(caller, retrieved)
    explanation = explain(caller, question.filters, retrieved, body.explain.source_id) if body.explain else None
    chunks = [ChunkOut.of(candidate, chunk) for candidate, chunk in retrieved.found]
    found = SearchOut(
        chunks=chunks,
        count=len(chunks),
        explanation=ExplanationOut.of(explanation) if explanation else None,
        request_id=request.state.request_id,
    )
    return written(found)


def _question(body: QuestionIn, *, provider: str | None = None, model: str | None = None) -> Question:
    filters = Filters(**body.filters.model_dump()) if body.filters else Filters()
    return Question(body.query, body.k, filters, provider, model)
