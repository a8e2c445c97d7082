"""Lambda on one machine: each invocation in a process of its own, kept warm, within the limits of its group."""

import asyncio
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from local.child import Child
from local.environment import PAYLOAD_LIMIT
from local.event import Json
from local.function import (
    Crashed,
    FunctionConfig,
    FunctionError,
    InitFailed,
    InvokeError,
    NoCapacity,
    RequestTooLarge,
    TimedOut,
)

__all__ = [
    "Crashed",
    "FunctionConfig",
    "FunctionError",
    "InitFailed",
    "InvokeError",
    "NoCapacity",
    "Pool",
    "RequestTooLarge",
    "TimedOut",
]


class _Group:
    """A concurrency group: one slot for each environment it may have, held by the invocation that uses it.

    Every started environment is idle or belongs to a slot's holder, so a holder that has none finds either room for
    a new one or an idle one to evict.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.slots = asyncio.Semaphore(limit)
        self.started = 0
        self.idle: list[Child] = []  # the longest idle first

    def pop_idle(self, function: FunctionConfig) -> Child | None:
        """The function's environment that was used last."""
        child = next((idle for idle in reversed(self.idle) if idle.function is function), None)
        if child is not None:
            self.idle.remove(child)
        return child


class Pool:
    """The environments of all functions: started when needed, reused warm, never more at once than a group's limit."""

    def __init__(
        self,
        functions: Iterable[FunctionConfig],
        *,
        groups: Mapping[str, int],
        env: Mapping[str, str],
        log_dir: str | os.PathLike[str],
        init_seconds: float = 30.0,
    ) -> None:
        """Prepare; nothing is started before the first `invoke` or `prewarm`.

        groups: environments at most per group, e.g. {"http": 4, "worker": 2}.
        env: the whole environment of the children (nothing is inherited); the repository's root and layers/common
            are put in front of its PYTHONPATH, the AWS_LAMBDA_* variables are added.
        log_dir: made if missing; each function appends its output to `<log_dir>/<name>.log`.
        init_seconds: what importing a handler may take.

        All methods belong to one event loop, which must run in the main thread (children die with the thread that
        started them). Raises ValueError for a function whose group is unknown or a limit below 1.
        """
        self._functions = {function.name: function for function in functions}
        for function in self._functions.values():
            if function.concurrency_group not in groups:
                raise ValueError(f"function {function.name} names no group of the pool: {function.concurrency_group}")
        for name, limit in groups.items():
            if limit < 1:
                raise ValueError(f"group {name} needs at least one environment, not {limit}")
        self._groups = {name: _Group(limit) for name, limit in groups.items()}
        self._env = dict(env)
        self._log_dir = Path(log_dir)
        self._log_dir.mkdir(parents=True, exist_ok=True)
        self._init_seconds = init_seconds
        self._busy: set[Child] = set()
        self._closing = False

    def function(self, name: str) -> FunctionConfig:
        """The function of this name. Raises ValueError if there is none."""
        if name not in self._functions:
            raise ValueError(f"the pool has no function {name}; it has {', '.join(sorted(self._functions))}")
        return self._functions[name]

    def limit(self, group: str) -> int:
        """How many environments a group may have at once."""
        return self._groups[group].limit

    async def invoke(self, name: str, event: Json, *, wait_seconds: float = 29.0) -> Json:
        """Run the function on one event and return what its handler returned, as JSON.

        Waits its turn for an environment up to wait_seconds; the function's own timeout starts after that and after
        the import. Cancelling it kills the environment it runs in. Raises InvokeError, ValueError for an unknown
        function.
        """
        function = self.function(name)
        payload = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
        if len(payload) > PAYLOAD_LIMIT:
            raise RequestTooLarge(f"the event for {name} has {len(payload)} bytes, the limit is {PAYLOAD_LIMIT}")
        group = self._groups[function.concurrency_group]
        try:
            async with asyncio.timeout(wait_seconds):
                await group.slots.acquire()
        except TimeoutError:
            raise NoCapacity(f"no environment was free for {name} within {wait_seconds} s") from None
        try:
            return await self._run(await self._take(function, group), group, payload)
        finally:
            group.slots.release()

    async def prewarm(self, name: str) -> None:
        """Start one more idle environment for the function, if its group has room for it. Raises InvokeError."""
        function = self.function(name)
        group = self._groups[function.concurrency_group]
        async with group.slots:
            if group.started < group.limit:
                self._rest(await self._start(function, group), group)

    async def close(self) -> None:
        """Kill every child and wait until all are gone; running invocations raise Crashed, waiting ones NoCapacity."""
        self._closing = True
        await asyncio.gather(*(child.kill() for child in self._busy))
        for group in self._groups.values():
            # Who holds all the slots is alone in the group.
            for _ in range(group.limit):
                await group.slots.acquire()
            while group.idle:
                await self._end(group.idle.pop(), group)
            for _ in range(group.limit):
                group.slots.release()

    async def _take(self, function: FunctionConfig, group: _Group) -> Child:
        """A warm environment of the function, or a new one, evicting the group's longest idle if it needs the room."""
        self._check_open(function)
        while (child := group.pop_idle(function)) is not None:
            self._busy.add(child)
            if child.alive:
                return child
            await self._end(child, group)
        if group.started >= group.limit:
            await self._end(group.idle.pop(0), group)
        return await self._start(function, group)

    async def _start(self, function: FunctionConfig, group: _Group) -> Child:
        """A new environment with its handler imported. Raises InitFailed."""
        group.started += 1
        try:
            child = await Child.start(function, self._env, self._log_dir / f"{function.name}.log")
        except BaseException:
            group.started -= 1
            raise
        self._busy.add(child)
        try:
            self._check_open(function)
            await child.init(self._init_seconds)
        except BaseException:
            await self._end(child, group)
            raise
        return child

    async def _run(self, child: Child, group: _Group, payload: bytes) -> Json:
        """One event in an environment that the caller holds; afterwards it is idle or gone."""
        try:
            result = await child.run(payload)
        except FunctionError:
            self._rest(child, group)
            raise
        except BaseException:
            await self._end(child, group)
            raise
        self._rest(child, group)
        return result

    def _check_open(self, function: FunctionConfig) -> None:
        if self._closing:
            raise NoCapacity(f"{function.name} is not run any more: the pool is closing")

    def _rest(self, child: Child, group: _Group) -> None:
        self._busy.discard(child)
        group.idle.append(child)

    async def _end(self, child: Child, group: _Group) -> None:
        """Kill an environment that the caller holds; there is room for another after that."""
        try:
            await child.kill()
        finally:
            self._busy.discard(child)
            group.started -= 1
