"""Two readers and an ingester in every order of their steps, each a process that goes on when it is told to.

    python -m tests.functions.ask.interleaved KEY NTH [ungenerated]

A reader's steps are who asks (with the workspace's generation), the look into the cache, retrieval and publishing; the
ingester's is its commit. Tried is every NTH order, and those that tell most, for each way it may go: all is well; the
ingester's transaction is rolled back; a reader dies right after it took the lead. With `ungenerated` the key of the
cache does not know the generation, and all must go wrong that it is there for. Prints, last, counts as JSON. The
environment is a function's.
"""

import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import IO, Any, Final, Literal, TypeAlias

import redis  # noqa: F401  before there are more processes

from functions.ask import answer, compose, handler  # noqa: F401
from functions.ingest import index
from functions.ingest.extract.document import Document
from minirag.runtime import cache, db, single_flight
from minirag.tenancy import workspaces
from tests.functions.ask.ingesting import Client, question_about, versions_in
from tests.layers.runtime.flying import PATIENT_SECONDS

Fate: TypeAlias = Literal["well", "rolled back", "dead"]

NAME: Final = "Pharos"
READER_STEPS: Final = 4
# Of one that dies when it has the lead.
STEPS_OF_THE_DEAD: Final = 2
INGESTER: Final = "I"
# How long a dead reader keeps the others waiting.
_DEAD_LEASE_MS: Final = 300


def orders(steps: dict[str, int]) -> Iterator[str]:
    """All orders of so many steps of each, as strings of their names."""
    if not any(steps.values()):
        yield ""
    for name, left in steps.items():
        if left:
            for rest in orders({**steps, name: left - 1}):
                yield name + rest


def fates() -> list[tuple[Fate, str]]:
    """All that is to be tried."""
    whole = {"A": READER_STEPS, "B": READER_STEPS, INGESTER: 1}
    rolled_back = [order[:4] + INGESTER + order[4:] for order in orders({"A": READER_STEPS, "B": READER_STEPS})]
    return [
        *(("well", order) for order in orders(whole)),
        *(("rolled back", order) for order in rolled_back),
        *(("dead", order) for order in orders({**whole, "A": STEPS_OF_THE_DEAD})),
    ]


def tells_most(order: str) -> bool:
    """Whether one asks after the commit what the other retrieved before it."""
    before, _, after = order.partition(INGESTER)
    return any(before.count(one) >= 3 and other not in before and other in after for one, other in ("AB", "BA"))


class Child:
    """A process that does one thing after the other, as it is told, and says what came of it."""

    _descriptors: Final[list[int]] = []

    def __init__(self, work: Callable[["Child"], None]) -> None:
        ours_out, theirs_in = os.pipe()
        theirs_out, ours_in = os.pipe()
        self.pid = os.fork()
        mine, others = ((ours_out, ours_in), (theirs_out, theirs_in)) if self.pid else (
            (theirs_out, theirs_in), (ours_out, ours_in)
        )  # fmt: skip
        # What belongs to other children is none of this one's, or nobody would see them end.
        for descriptor in others if self.pid else (*others, *self._descriptors):
            os.close(descriptor)
        self._mine = mine
        self._descriptors.extend(mine)
        self._in: IO[str] = os.fdopen(mine[0], "r")
        self._out: IO[str] = os.fdopen(mine[1], "w")
        if not self.pid:
            try:
                work(self)
            finally:
                os._exit(0)

    def say(self, what: object) -> None:
        self._out.write(json.dumps(what) + "\n")
        self._out.flush()

    def hear(self) -> Any:
        """What the other side says; None if it has ended."""
        line = self._in.readline()
        return json.loads(line) if line else None

    def ask(self, what: object) -> Any:
        self.say(what)
        return self.hear()

    def end(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        for descriptor in self._mine:
            self._descriptors.remove(descriptor)
        self._in.close()
        self._out.close()


def read(key: str, lease_ms: int, me: Child, *, ungenerated: bool) -> None:
    """A reader: asks through the handler, and stops before each of its steps."""
    single_flight._LEASE_MS = lease_ms  # type: ignore[misc]
    single_flight._LONGEST_PAUSE_SECONDS = single_flight._FIRST_PAUSE_SECONDS  # type: ignore[misc]
    joined = False

    def stop(before: str) -> None:
        if me.ask({"before": before}) == "die":
            os.kill(os.getpid(), signal.SIGKILL)

    def gated(module: Any, name: str, before: Callable[..., str | None]) -> None:
        whole = getattr(module, name)

        def stopping(*given: Any, **more: Any) -> Any:
            step = before(*given)
            if step is not None:
                stop(step)
            return whole(*given, **more)

        setattr(module, name, stopping)

    def script(script: str, *_: Any) -> str | None:
        nonlocal joined
        if script == single_flight._JOIN:
            first, joined = not joined, True
            return "join" if first else "look again"
        return "publish" if script == single_flight._PUBLISH else None

    gated(db, "look_up", lambda *_: "identify")
    gated(cache, "run_script", script)
    gated(compose, "retrieve", lambda *_: "retrieve")
    if ungenerated:
        whole_key = answer._key
        vars(answer)["_key"] = lambda caller, *more: whole_key(replace(caller, generation=0), *more)
    client = Client(key)
    while (question := me.hear()) is not None:
        joined = False
        response = client.http.post("/api/v1/ask", json={"query": question})
        said = {"status": response.status_code, "cached": response.json().get("cached"), "said": response.text}
        me.say({"answer": said})


def ingest(key: str, me: Child) -> None:
    """The ingester: prepares the next version of the document, commits it, or has it rolled back."""
    # The process that reads documents would take most of the time, and has no part in this.
    vars(index)["extract"] = lambda data, *_, **__: Document("text", data.decode())
    client = Client(key)
    source_id: str | None = None
    version = 0
    waiting: list[dict[str, Any]] = []
    whole = workspaces.next_generation

    def rolled_back(*given: Any, **more: Any) -> None:
        whole(*given, **more)
        raise ZeroDivisionError

    while (told := me.hear()) is not None:
        match told:
            case "prepare":
                version += 1
                job = client.paste(NAME, version, source_id)
                source_id = job["source_id"]
                while not waiting:
                    client.route()
                    waiting = client.jobs()
                me.say(version)
            case "roll back":
                vars(workspaces)["next_generation"] = rolled_back
                me.say([client.work(message) for message in waiting])
                vars(workspaces)["next_generation"] = whole
            case "commit":
                assert all([client.work(message) for message in waiting])  # noqa: C419  each of them
                waiting = []
                assert client.status(job) == "done"
                me.say(version)


@dataclass
class Reader:
    """A reader as its scheduler sees it: where it stands, and what it must not fall behind."""

    child: Child
    at: Any = None
    # The newest version that was committed when it was told who asks.
    least: int | None = None
    dead: bool = False

    @property
    def answered(self) -> bool:
        return self.at is not None and "answer" in self.at


@dataclass
class Run:
    """Everything that is tried, and what came of it."""

    key: str
    ungenerated: bool
    counts: Counter[str] = field(default_factory=Counter)

    def reader(self, lease_ms: int) -> Reader:
        return Reader(Child(lambda me: read(self.key, lease_ms, me, ungenerated=self.ungenerated)))

    def everything(self, tried: Sequence[tuple[Fate, str]]) -> None:
        ingester = Child(lambda me: ingest(self.key, me))
        ingester.ask("prepare")
        self.committed = ingester.ask("commit")
        readers: dict[str, Reader] = {}
        lease_ms = 0
        for number, (fate, order) in enumerate(tried):
            wanted = _DEAD_LEASE_MS if fate == "dead" else 6000
            for name in "AB":
                if name not in readers or readers[name].dead or wanted != lease_ms:
                    if name in readers:
                        readers[name].child.end()
                    readers[name] = self.reader(wanted)
            lease_ms = wanted
            ingester.ask("prepare")
            self.one(fate, order, number, readers, ingester)
        for child in (ingester, *(reader.child for reader in readers.values())):
            child.end()

    def one(self, fate: Fate, order: str, number: int, readers: dict[str, Reader], ingester: Child) -> None:
        """Go through one order, then let everybody end."""
        pending = True
        for reader in readers.values():
            # One of its own, so that nothing is found of the orders before.
            reader.at, reader.least = reader.child.ask(f"{question_about(NAME)} {number}"), None
        for name in order:
            if name != INGESTER:
                self.step(readers[name], dies=fate == "dead" and name == "A")
            elif fate == "rolled back":
                assert ingester.ask("roll back") == [False]
            else:
                self.committed, pending = ingester.ask("commit"), False
        while waiting := [reader for reader in readers.values() if not reader.answered and not reader.dead]:
            for reader in waiting:
                self.step(reader)
        for reader in readers.values():
            self.count(reader)
        if pending:
            self.committed = ingester.ask("commit")
        self.counts["orders"] += 1
        self.counts[f"orders, {fate}"] += 1

    def step(self, reader: Reader, *, dies: bool = False) -> None:
        if reader.answered or reader.dead:
            return
        if reader.at == {"before": "identify"}:
            reader.least = self.committed
        reader.at = reader.child.ask("go")
        if dies and reader.at == {"before": "retrieve"}:
            reader.child.say("die")
            assert reader.child.hear() is None
            reader.dead = True

    def count(self, reader: Reader) -> None:
        if reader.dead:
            self.counts["dead"] += 1
            return
        answer = reader.at["answer"]
        assert answer["status"] == 200, answer["said"]
        told = versions_in(answer["said"], NAME)
        assert told, answer["said"]
        assert reader.least is not None
        self.counts["answers"] += 1
        self.counts[answer["cached"]] += 1
        self.counts["stale"] += min(told) < reader.least
        # Of what was never committed, nobody tells.
        self.counts["early"] += max(told) > self.committed


def main(key: str, nth: int, *, ungenerated: bool) -> None:
    cache._TIMEOUT_SECONDS = PATIENT_SECONDS  # type: ignore[misc]
    with os.fdopen(os.dup(1), "w") as out:
        # The log of so many requests is nobody's.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        run = Run(key, ungenerated)
        everything = fates()
        run.everything([one for number, one in enumerate(everything) if number % nth == 0 or tells_most(one[1])])
        out.write(json.dumps(run.counts) + "\n")


if __name__ == "__main__":
    key, nth, *more = sys.argv[1:]
    main(key, int(nth), ungenerated=more == ["ungenerated"])
