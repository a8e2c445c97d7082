"""Where the time of a call goes: each moment is counted for the innermost span that is open."""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import wraps
from inspect import iscoroutinefunction
from time import perf_counter
from typing import Any, Final, ParamSpec, TypeVar, cast
from unittest import mock

REST: Final = "the rest"

P = ParamSpec("P")
T = TypeVar("T")


class Spans:
    """Seconds by span, in the thread that made this; calls in other threads are no spans."""

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._clock = clock
        self._open: list[str] = []
        self._since = 0.0
        self._thread = threading.get_ident()

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        """Count what happens within for `name`, but for the spans that are opened within."""
        if threading.get_ident() != self._thread:
            yield
            return
        self._turn()
        self._open.append(name)
        try:
            yield
        finally:
            self._turn()
            self._open.pop()

    def _turn(self) -> None:
        now = self._clock()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now

    def around(self, name: str, function: Callable[P, T]) -> Callable[P, T]:
        """The same function, whose calls are spans."""
        if iscoroutinefunction(function):

            @wraps(function)
            async def later(*args: P.args, **more: P.kwargs) -> object:
                with self.span(name):
                    return await function(*args, **more)

            return cast("Callable[P, T]", later)

        @wraps(function)
        def now(*args: P.args, **more: P.kwargs) -> T:
            with self.span(name):
                return function(*args, **more)

        return now

    def beside(self, name: str, of: str, function: Callable[P, T]) -> Callable[P, T]:
        """The same function, which runs in another thread while the span `of` waits for it: counted here, not there."""

        @wraps(function)
        def now(*args: P.args, **more: P.kwargs) -> T:
            began = self._clock()
            try:
                return function(*args, **more)
            finally:
                took = self._clock() - began
                self.seconds[name] += took
                self.seconds[of] -= took

        return now

    def table(self) -> list[tuple[str, float, float]]:
        """(span, seconds, share of all), the largest first and REST last."""
        total = sum(self.seconds.values()) or 1.0
        ordered = sorted(self.seconds.items(), key=lambda item: (item[0] == REST, -item[1]))
        return [(name, seconds, seconds / total) for name, seconds in ordered]


@contextmanager
def watched(spans: Spans, places: Mapping[str, Sequence[tuple[Any, str]]]) -> Iterator[None]:
    """Within, calls of the functions at these (owner, attribute) are spans."""
    with ExitStack() as stack:
        for name, owners in places.items():
            for owner, attribute in owners:
                function = getattr(owner, attribute)
                stack.enter_context(mock.patch.object(owner, attribute, spans.around(name, function)))
        yield
