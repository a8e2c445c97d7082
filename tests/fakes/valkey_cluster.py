"""A cache in cluster mode: nodes on loopback that have all slots between them."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import redis

from local import ports
from local.home import Secrets
from local.valkey import Valkey

SLOTS: Final = 16384
_FORM_SECONDS: Final = 30.0

# The files of a node lie in its folder; its bus has a port of its own, so that no port is too high.
_CONFIGURATION: Final = """
dir {folder}
cluster-enabled yes
cluster-port {bus}
cluster-node-timeout 5000
"""


class _Node(Valkey):
    def __init__(self, folder: Path, secrets: Secrets) -> None:
        super().__init__(folder, secrets)
        self._folder = folder
        self.bus = 0

    def _configuration(self) -> str:
        self.bus = ports.pick()
        return super()._configuration() + _CONFIGURATION.format(folder=self._folder, bus=self.bus)


class ValkeyCluster:
    """So many nodes; one alone has all slots, as the one address of a serverless ElastiCache seems to."""

    def __init__(self, folder: Path, nodes: int) -> None:
        secrets = Secrets(folder / "secrets.json")
        self.nodes = [_Node(folder / str(number), secrets) for number in range(nodes)]
        self._stack = ExitStack()

    @property
    def url(self) -> str:
        """The address of a node."""
        return self.nodes[0].url

    @property
    def spread(self) -> bool:
        """Whether a client must know which node has what: for MINIRAG_REDIS_CLUSTER."""
        return len(self.nodes) > 1

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for node in self.nodes:
                stack.enter_context(node)
            self._form([stack.enter_context(redis.Redis.from_url(node.url)) for node in self.nodes])
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def give_to_first(self, slot: int) -> None:
        """Let the first node have a slot of the last one's, in which nothing lies."""
        nodes = self.nodes[0], self.nodes[-1]
        with redis.Redis.from_url(nodes[0].url) as first, redis.Redis.from_url(nodes[1].url) as last:
            new, old = (client.cluster("myid").decode() for client in (first, last))
            first.cluster("setslot", slot, "IMPORTING", old)
            last.cluster("setslot", slot, "MIGRATING", new)
            for client in (first, last):
                client.cluster("setslot", slot, "NODE", new)

    def _form(self, clients: list["redis.Redis"]) -> None:
        bounds = [SLOTS * number // len(clients) for number in range(len(clients) + 1)]
        for number, client in enumerate(clients):
            client.cluster("addslotsrange", bounds[number], bounds[number + 1] - 1)
            client.cluster("set-config-epoch", number + 1)
        for node in self.nodes[1:]:
            clients[0].cluster("meet", ports.LOOPBACK, node.port, node.bus)
        for client in clients:
            _until(partial(self._agrees, client))

    def _agrees(self, client: "redis.Redis") -> bool:
        """Whether a node knows of all slots where they are."""
        ranges = client.cluster("slots")
        return len(ranges) == len(self.nodes) and client.cluster("info")["cluster_state"] == "ok"


def _until(formed: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _FORM_SECONDS
    while not formed():
        assert time.monotonic() < deadline, "the nodes do not become a cluster"
        time.sleep(0.02)
