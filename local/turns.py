"""Turn-taking: items of different groups are handed out alternately. Pure."""

from collections import OrderedDict, deque
from collections.abc import Container, Iterator
from typing import Generic, TypeVar

_Item = TypeVar("_Item")


class Turns(Generic[_Item]):
    """Items waiting in one line per group; each `take` gives every group one before any group gets its next."""

    def __init__(self) -> None:
        # The group whose turn it is stands first.
        self._lines: OrderedDict[str, deque[_Item]] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[_Item]:
        return (item for line in self._lines.values() for item in line)

    def add(self, group: str, item: _Item) -> None:
        """Put an item at the end of its group's line; a new group has its turn after all others."""
        self._lines.setdefault(group, deque()).append(item)
        self._length += 1

    def take(self, most: int, *, without: Container[str] = frozenset()) -> list[_Item]:
        """Remove and return up to `most` items, in turns; groups in `without` keep theirs, and their turn."""
        taken: list[_Item] = []
        passed: list[tuple[str, deque[_Item]]] = []
        while self._lines and len(taken) < most:
            group, line = self._lines.popitem(last=False)
            if group in without:
                passed.append((group, line))
                continue
            taken.append(line.popleft())
            if line:
                self._lines[group] = line
        for group, line in reversed(passed):
            self._lines[group] = line
            self._lines.move_to_end(group, last=False)
        self._length -= len(taken)
        return taken
