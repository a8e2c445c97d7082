"""What models take is counted when it is spent; under a monthly limit before that.

The most a call could cost is taken from what is left of the month, and afterwards what it did not cost is given back.
So the limit holds however many questions are under way; of a process that dies in between, the most stays counted.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from time import monotonic
from typing import Final

from functions.ask import prompt
from functions.ask.retrieve import Retrieved
from minirag.knowledge import cost
from minirag.knowledge.llm import Completion, LongerAnswer, Prompt, Provider, fail_over
from minirag.knowledge.llm.draft import SPENT
from minirag.knowledge.sdk import BROKE_OFF, UNREADABLE
from minirag.runtime import db
from minirag.runtime.errors import MiniRagError, OutOfTime, Unprocessable
from minirag.tenancy import quotas
from minirag.tenancy.identity import Caller

# Of what became of these calls nothing is known, or that they were paid for: the most stays counted.
_MAY_HAVE_COST: Final = frozenset({OutOfTime.code, SPENT, UNREADABLE, BROKE_OFF})


def complete(
    caller: Caller, providers: Sequence[Provider], asked: Prompt, *, seconds: float
) -> tuple[Completion, Prompt]:
    """Complete `asked`, or a part of it that fits, by the first of `providers` that can; with what was answered.

    Raises TooMany if the workspace may not spend what it could cost, Unprocessable if that is not known and a limit is
    set.
    """
    deadline = monotonic() + seconds
    while True:
        try:
            return _complete(caller, providers, asked, seconds=deadline - monotonic())
        except LongerAnswer:
            # Of that provider it is known now, so this comes once for each.
            continue


def _complete(
    caller: Caller, providers: Sequence[Provider], asked: Prompt, *, seconds: float
) -> tuple[Completion, Prompt]:
    most = Decimal(0) if caller.cost_left is None else max(_most(provider, asked) for provider in providers)
    if not most:
        completion, answered = fail_over.complete(providers, asked, seconds=seconds, shorten=prompt.shortened)
        _count(caller, written_usd(completion, providers))
        return completion, answered
    day = datetime.now(UTC).date()
    with db.transaction(caller.tenant) as tx:
        quotas.reserve(tx, caller.workspace_id, day, most)
    try:
        completion, answered = fail_over.complete(providers, asked, seconds=seconds, shorten=prompt.shortened)
    except MiniRagError as error:
        if error.code not in _MAY_HAVE_COST:
            _give_back(caller, day, most)
        raise
    _give_back(caller, day, most - (written_usd(completion, providers) or 0))
    return completion, answered


def written_usd(completion: Completion, providers: Sequence[Provider]) -> Decimal | None:
    """What writing took, by the model that the vendor named, else by the one that was asked; None without a price."""
    asked = [provider.model for provider in providers if provider.name == completion.provider]
    tokens = completion.prompt_tokens, completion.completion_tokens
    priced = (cost.cost_usd(model, *tokens) for model in (completion.model, *asked))
    return next((took for took in priced if took is not None), None)


def embedded_usd(retrieved: Retrieved) -> Decimal | None:
    """What embedding the question took; None if the model's price is not known."""
    if retrieved.embedding_model is None:
        return Decimal(0)
    return cost.cost_usd(retrieved.embedding_model, retrieved.embedding_tokens, 0)


def count_embedding(caller: Caller, retrieved: Retrieved) -> None:
    """Count what embedding the question took."""
    _count(caller, embedded_usd(retrieved))


def _most(provider: Provider, asked: Prompt) -> Decimal:
    tokens = provider.count(f"{asked.system}\n{asked.user}")
    most = cost.cost_usd(provider.model, tokens, provider.answer_tokens)
    if most is None:
        raise Unprocessable(
            f"The workspace has a limit of dollars a month, and the price of {provider.model!r} is not known: name "
            "another model, or let the operator set MINIRAG_PRICES.",
            code="price_unknown",
        )
    return most


def _give_back(caller: Caller, day: date, dollars: Decimal) -> None:
    with db.transaction(caller.tenant) as tx:
        quotas.settle(tx, caller.workspace_id, day, -dollars)


def _count(caller: Caller, dollars: Decimal | None) -> None:
    if dollars:
        with db.batch(caller.tenant) as tx:
            quotas.add_cost(tx, caller.workspace_id, dollars)
