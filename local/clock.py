"""Schedules on one machine: functions that the clock wakes, as EventBridge does on AWS."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Final

from local.function import InvokeError
from local.pool import Pool

_log: Final = logging.getLogger(__name__)


class Clock:
    """Invokes functions of a pool, each after so many seconds, again and again."""

    def __init__(self, pool: Pool, schedule: Mapping[str, float]) -> None:
        """Prepare; nothing is invoked before `start`."""
        self._pool = pool
        self._schedule = schedule
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin in this event loop."""
        self._tasks = [asyncio.create_task(self._repeat(name, after)) for name, after in self._schedule.items()]

    async def stop(self) -> None:
        """Invoke nothing more; what runs is killed."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _repeat(self, name: str, after: float) -> None:
        function = self._pool.function(name)
        while True:
            await asyncio.sleep(after)
            try:
                await self._pool.invoke(name, {}, wait_seconds=function.timeout_seconds)
            except InvokeError as error:
                _log.warning("%s failed: %s", name, error)
