"""SQS event source mappings on one machine: receive, batch in turns, invoke, delete what succeeded."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from local.event import Json, sqs_event
from local.function import InvokeError
from local.pool import Pool
from local.turns import Turns

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import (
        ChangeMessageVisibilityBatchRequestEntryTypeDef,
        DeleteMessageBatchRequestEntryTypeDef,
        MessageTypeDef,
    )

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

# SQS's limit for one call, receiving, deleting or changing.
_CALL_SIZE: Final = 10
# One long poll; it also bounds how long `stop` waits for the last one.
_POLL_SECONDS: Final = 1
# After an error of the queue, before the next try.
_RETRY_SECONDS: Final = 1.0
# A message that waited longer than this is hidden anew for the whole timeout when its function gets it.
_FRESH_SECONDS: Final = 1.0

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Mapping:
    """One queue feeding one function, with ReportBatchItemFailures.

    batch_size: messages in one invocation, at most (1 gives the fairest turns).
    visibility_seconds: how long a message stays hidden once the function has it, at least 1; failures come back after
        it. None: the queue's own.
    group_turns: messages of different MessageGroupIds take turns, and none of them gets the last environment while it
        has another, so that one that comes new need not wait; without it they go in the order received.
    buffer_size: messages held at most while they wait for their turn (turns reach no deeper than this); they are kept
        hidden meanwhile.
    """

    queue_url: str
    function_name: str
    batch_size: int = 10
    visibility_seconds: int | None = None
    group_turns: bool = False
    buffer_size: int = 10_000


@dataclass(slots=True)
class _Held:
    """A received message and when it was last hidden, in the loop's time."""

    message: "MessageTypeDef"
    hidden_at: float


class Poller:
    """Polls every mapping's queue and invokes its function, one batch per environment of the function's group."""

    def __init__(self, pool: Pool, sqs: "SQSClient", mappings: Iterable[Mapping]) -> None:
        """Prepare; nothing is polled before `start`.

        sqs: a boto3 client (`boto3.client("sqs", endpoint_url=…)`), called from this poller's own threads.
        Raises ValueError for a function that is not in the pool.
        """
        self._mappings = list(mappings)
        groups = {pool.function(mapping.function_name).concurrency_group for mapping in self._mappings}
        # Shared by the mappings of a group: the next batch is chosen only when an environment can have it.
        slots = {group: asyncio.Semaphore(pool.limit(group)) for group in groups}
        # For each queue one long poll and one other call at a time without waiting.
        self._threads = ThreadPoolExecutor(2 * len(self._mappings) or 1, thread_name_prefix="poller")
        self._sources = [
            _Source(pool, sqs, mapping, slots[pool.function(mapping.function_name).concurrency_group], self._threads)
            for mapping in self._mappings
        ]

    async def start(self) -> None:
        """Read the queues' attributes and begin polling in this event loop. Raises ClientError for a missing queue."""
        for source in self._sources:
            await source.start()

    async def stop(self, *, grace_seconds: float = 5.0) -> None:
        """Stop receiving, let running batches finish for grace_seconds, give back what was received but not begun.

        What still runs then is killed; its messages come back after their visibility timeout. Call it before
        `Pool.close` and before the SQS server stops.
        """
        await asyncio.gather(*(source.stop(grace_seconds) for source in self._sources))
        self._threads.shutdown()


class _Source:
    """One mapping at work: a task that receives, one that dispatches, one that keeps waiting messages hidden."""

    def __init__(
        self, pool: Pool, sqs: "SQSClient", mapping: Mapping, slots: asyncio.Semaphore, threads: ThreadPoolExecutor
    ) -> None:
        self._pool = pool
        self._sqs = sqs
        self._mapping = mapping
        self._slots = slots
        self._threads = threads
        self._arn = ""
        self._visibility = 0
        self._waiting: Turns[_Held] = Turns()
        self._limit = pool.limit(pool.function(mapping.function_name).concurrency_group)
        self._busy: Counter[str] = Counter()  # batches at work, by group
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._stopping = False
        self._receiver: asyncio.Task[None] | None = None
        self._others: list[asyncio.Task[None]] = []
        self._running: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        answer = await self._call(
            self._sqs.get_queue_attributes,
            QueueUrl=self._mapping.queue_url,
            AttributeNames=["QueueArn", "VisibilityTimeout"],
        )
        self._arn = answer["Attributes"]["QueueArn"]
        self._visibility = self._mapping.visibility_seconds or int(answer["Attributes"]["VisibilityTimeout"]) or 1
        self._receiver = asyncio.create_task(self._receive())
        self._others = [asyncio.create_task(self._dispatch()), asyncio.create_task(self._keep_hidden())]
        for task in (self._receiver, *self._others):
            task.add_done_callback(self._report)

    async def stop(self, grace_seconds: float) -> None:
        self._stopping = True
        self._room.set()
        for task in self._others:
            task.cancel()
        await asyncio.gather(*self._others, return_exceptions=True)
        # The last poll is waited for, not cancelled: what it receives would stay hidden.
        if self._receiver is not None:
            await self._receiver
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=grace_seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._hide(self._waiting.take(len(self._waiting)), 0)

    async def _call(
        self, method: Callable[_Parameters, _Result], *args: _Parameters.args, **parameters: _Parameters.kwargs
    ) -> _Result:
        call = partial(method, *args, **parameters)
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    async def _receive(self) -> None:
        while not self._stopping:
            if len(self._waiting) >= self._mapping.buffer_size:
                self._room.clear()
                await self._room.wait()
                continue
            try:
                answer = await self._call(
                    self._sqs.receive_message,
                    QueueUrl=self._mapping.queue_url,
                    MaxNumberOfMessages=_CALL_SIZE,
                    WaitTimeSeconds=_POLL_SECONDS,
                    VisibilityTimeout=self._visibility,
                    MessageSystemAttributeNames=["All"],
                    MessageAttributeNames=["All"],
                )
            except (BotoCoreError, ClientError) as error:
                _log.warning("cannot receive from %s: %s", self._arn, error)
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            hidden_at = asyncio.get_running_loop().time()
            for message in answer.get("Messages", []):
                self._waiting.add(self._group(message), _Held(message, hidden_at))
                self._arrived.set()

    async def _dispatch(self) -> None:
        while True:
            await self._arrived.wait()
            await self._slots.acquire()
            batch = self._waiting.take(self._mapping.batch_size, without=self._full())
            self._room.set()
            if not batch or not self._waiting:
                # Until something arrives, or a group that is full has a batch less.
                self._arrived.clear()
            if not batch:
                self._slots.release()
                continue
            groups = {self._group(held.message) for held in batch}
            self._busy.update(groups)
            task = asyncio.create_task(self._deliver(batch))
            self._running.add(task)
            task.add_done_callback(partial(self._delivered, groups))

    def _group(self, message: "MessageTypeDef") -> str:
        return message.get("Attributes", {}).get("MessageGroupId", "") if self._mapping.group_turns else ""

    def _full(self) -> frozenset[str]:
        """The groups that have all environments but one."""
        if not self._mapping.group_turns or self._limit == 1:
            return frozenset()
        return frozenset(group for group, busy in self._busy.items() if busy >= self._limit - 1)

    def _delivered(self, groups: set[str], task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._busy.subtract(groups)
        self._slots.release()
        if self._waiting:
            self._arrived.set()
        self._report(task)

    def _report(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("polling %s failed", self._arn, exc_info=error)

    async def _deliver(self, batch: Sequence[_Held]) -> None:
        """Invoke the function on one batch and delete what it does not report as failed."""
        await self._hide([held for held in batch if self._age(held) > _FRESH_SECONDS], self._visibility)
        function = self._pool.function(self._mapping.function_name)
        event = sqs_event([held.message for held in batch], queue_arn=self._arn)
        try:
            result = await self._pool.invoke(function.name, event, wait_seconds=function.timeout_seconds)
        except InvokeError as error:
            _log.warning("a batch of %d from %s failed: %s", len(batch), self._arn, error)
            return
        failed = failures(result, {held.message["MessageId"] for held in batch})
        done = [held for held in batch if held.message["MessageId"] not in failed]
        for some in _calls(done):
            entries: list[DeleteMessageBatchRequestEntryTypeDef] = [
                {"Id": str(n), "ReceiptHandle": held.message["ReceiptHandle"]} for n, held in enumerate(some)
            ]
            try:
                await self._call(self._sqs.delete_message_batch, QueueUrl=self._mapping.queue_url, Entries=entries)
            except (BotoCoreError, ClientError) as error:
                # They come again after their visibility timeout: delivery is at least once.
                _log.warning("cannot delete %d messages from %s: %s", len(some), self._arn, error)

    async def _keep_hidden(self) -> None:
        while True:
            await asyncio.sleep(self._visibility / 4)
            await self._hide(
                [held for held in self._waiting if self._age(held) > self._visibility / 2], self._visibility
            )

    def _age(self, held: _Held) -> float:
        return asyncio.get_running_loop().time() - held.hidden_at

    async def _hide(self, batch: Sequence[_Held], seconds: int) -> None:
        """Hide messages for so many seconds from now; 0 gives them back."""
        for some in _calls(batch):
            entries: list[ChangeMessageVisibilityBatchRequestEntryTypeDef] = [
                {"Id": str(n), "ReceiptHandle": held.message["ReceiptHandle"], "VisibilityTimeout": seconds}
                for n, held in enumerate(some)
            ]
            hidden_at = asyncio.get_running_loop().time()
            try:
                await self._call(
                    self._sqs.change_message_visibility_batch, QueueUrl=self._mapping.queue_url, Entries=entries
                )
            except (BotoCoreError, ClientError) as error:
                _log.warning("cannot hide %d messages of %s: %s", len(some), self._arn, error)
            else:
                for held in some:
                    held.hidden_at = hidden_at


def _calls(batch: Sequence[_Held]) -> Iterator[Sequence[_Held]]:
    """The batch in parts as large as one call to SQS takes."""
    return (batch[start : start + _CALL_SIZE] for start in range(0, len(batch), _CALL_SIZE))


def failures(result: Json, message_ids: set[str]) -> set[str]:
    """The ids that a function's answer to a batch reports as failed.

    As AWS documents it: no answer, or none or an empty list under batchItemFailures, is success; anything else that
    is no list of itemIdentifiers from this batch fails the whole batch.
    """
    if result is None:
        return set()
    if not isinstance(result, dict):
        return message_ids
    items = result.get("batchItemFailures")
    if items is None:
        return set()
    if not isinstance(items, list):
        return message_ids
    failed: set[str] = set()
    for item in items:
        message_id = item.get("itemIdentifier") if isinstance(item, dict) else None
        if not isinstance(message_id, str) or message_id not in message_ids:
            return message_ids
        failed.add(message_id)
    return failed
