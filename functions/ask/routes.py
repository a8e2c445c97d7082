"""The question API: answers with citations, and retrieval alone."""

from typing import Any, Final

from fastapi import Request
from pydantic import BaseModel

from functions.ask import answer as path
from functions.ask.answer import Question
from functions.ask.bodies import AskIn, AskOut, ChunkOut, ExplanationOut, QuestionIn, SearchIn, SearchOut
from functions.ask.explain import explain
from minirag.knowledge.filters import Filters
from minirag.runtime import settings
from minirag.runtime.errors import Unprocessable
from minirag.runtime.http import create_app, read_model, remaining_seconds, workspace_of
from minirag.tenancy.identity import Caller, credential, identify

app = create_app("ask")


def _body(model: type[BaseModel]) -> dict[str, Any]:
    schema = {"schema": model.model_json_schema()}
    return {"requestBody": {"content": {"application/json": schema, "application/x-www-form-urlencoded": schema}}}


_SEARCH_BODY: Final = _body(SearchIn)
_ASK_BODY: Final = _body(AskIn)


@app.post("/api/v1/ask", response_model=AskOut, openapi_extra=_ASK_BODY)
async def ask(request: Request) -> AskOut:
    """Answer a question from the workspace's documents, with citations that were checked."""
    key = credential(request.headers)
    body = await read_model(request, AskIn)
    caller = _caller(request, key, body)
    question = _question(body, provider=body.provider, model=body.model)
    answer = path.answer(caller, question, seconds=remaining_seconds(request))
    return AskOut.of(answer, request.state.request_id)


@app.post("/api/v1/search", response_model=SearchOut, openapi_extra=_SEARCH_BODY)
async def search(request: Request) -> SearchOut:
    """Find the passages that an answer would rest on."""
    key = credential(request.headers)
    body = await read_model(request, SearchIn)
    caller = _caller(request, key, body)
    question = _question(body)
    retrieved = path.search(caller, question, seconds=remaining_seconds(request))
    explanation = explain(caller, question.filters, retrieved, body.explain.source_id) if body.explain else None
    chunks = [ChunkOut.of(candidate, chunk) for candidate, chunk in retrieved.found]
    return SearchOut(
        chunks=chunks,
        count=len(chunks),
        explanation=ExplanationOut.of(explanation) if explanation else None,
        request_id=request.state.request_id,
    )


def _caller(request: Request, key: str, body: QuestionIn) -> Caller:
    limit = settings.current().max_query_chars
    if len(body.query) > limit:
        raise Unprocessable(f"The question has {len(body.query)} characters; at most {limit} are accepted.")
    return identify(key, workspace_of(request, body.workspace_id), scope="read")


def _question(body: QuestionIn, *, provider: str | None = None, model: str | None = None) -> Question:
    filters = Filters(**body.filters.model_dump()) if body.filters else Filters()
    return Question(body.query, body.k, filters, provider, model)
