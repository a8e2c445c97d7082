"""How long the first question takes in a new environment: its start, and all that is loaded when it is first used.

    python -m bench.first_ask [--runs N]

The function runs from its package, with bytecode, in the Runtime Interface Emulator on one core, as `bench.cold_start`
starts it, and finds what it would on AWS: its settings in a secret, a cache, a database with a filled workspace. Models
are stand-ins on loopback, so what is left is the product's own time and its SDKs'. SnapStart, which brings a function
back with its imports done, does not load what only the first question does.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from itertools import count
from pathlib import Path
from time import perf_counter, time
from typing import Any, Final

import boto3
import httpx
import numpy as np
import redis

from bench import texts
from bench.asker import K, add, documents, own_core, servers_core
from bench.engine import minilm
from evals.store import Document, Store, Workspace, store
from infra import bundle
from infra.specs import Spec, spec_of
from local.moto import Moto
from local.valkey import Valkey
from minirag.knowledge.embeddings.choose import MINILM, embedder
from minirag.runtime import settings
from tests.fakes.anthropic_server import AnthropicServer
from tests.fakes.openai_server import OpenAIServer, vector
from tests.rie.emulator import Emulator, Packages
from tests.transport import invocation

_CHUNKS: Final = 2000
_KNOWN: Final = 200  # sentences
_MOST_MS: Final = 5000.0
_SPEC: Final = spec_of("ask")
_AWS: Final = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
_EMBEDDING: Final = "text-embedding-3-small"

# What is loaded by the first question, by itself, after the handler is there.
_LOADED: Final = {
    "boto3, for the settings' secret": "import boto3; boto3.client('secretsmanager', region_name='us-east-1')",
    "the client of Redis": "import redis, redis.backoff, redis.maint_notifications, redis.retry",
    "OpenAI's SDK": "import openai; c = openai.OpenAI(api_key='k'); c.chat.completions; c.embeddings",
    "Anthropic's SDK": "import anthropic; anthropic.Anthropic(api_key='k').messages",
    "the tokenizer's ranks": "from minirag.knowledge.llm import tokens; tokens.count('text')",
}
_TIMED: Final = """
import time, functions.ask.handler
began = time.perf_counter()
{work}
print((time.perf_counter() - began) * 1000)
"""


@dataclass(frozen=True, slots=True)
class Way:
    """Who answers and who embeds; `on_one_machine` with the local model, which is in no package."""

    name: str
    vendors: tuple[str, ...]
    provider: str
    model: str | None
    on_one_machine: bool = False


_WAYS: Final = (
    Way("extractive, by words alone", (), "extractive", None),
    Way("OpenAI answers and embeds", ("openai",), "openai", _EMBEDDING),
    Way("Anthropic answers, by words alone", ("anthropic",), "anthropic", None),
    Way("Anthropic answers, OpenAI embeds", ("openai", "anthropic"), "anthropic", _EMBEDDING),
    Way("extractive, MiniLM embeds (one machine)", (), "extractive", MINILM, on_one_machine=True),
    Way(
        "Anthropic answers, MiniLM embeds (one machine)",
        ("anthropic",), "anthropic", MINILM, on_one_machine=True,
    ),
)  # fmt: skip


class OneMachine(Packages):
    """The function as it runs on one machine: from the repository, with all that is installed for it."""

    def search_path(self, spec: Spec) -> list[str]:  # noqa: ARG002  all find the same
        root = bundle.ROOT
        installed = [path for path in sys.path if path.endswith("site-packages")]
        return [os.fspath(root), os.fspath(root / "layers" / "common"), *installed]


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds: of the start, of the first question after it, and of another one."""

    start: float
    first: float
    second: float


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.first_ask", description="Measure first questions.")
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        packages = Packages.build(folder / "packages")
        with servers_core():
            moto = stack.enter_context(Moto(folder / "moto"))
            valkey = stack.enter_context(Valkey(folder / "valkey"))
            database = stack.enter_context(store(**minilm()))
        stack.enter_context(own_core())
        print(f"{_CHUNKS:,} chunks, median of {arguments.runs} starts; load {os.getloadavg()[0]:.1f}")
        print(f"{'':48} {'start':>7} {'first':>7} {'sum':>7} {'most':>7} {'second':>7}  ms")
        filled: dict[str | None, Workspace] = {}
        numbers = count()
        for way in _WAYS:
            if way.model not in filled:
                filled[way.model] = _fill(database, way.model)
            used = OneMachine(packages.folder, sys.executable) if way.on_one_machine else packages
            # Of an earlier way that was asked the same.
            with redis.Redis.from_url(valkey.url) as client:
                client.flushall()
            with _vendors(way) as variables:
                values = variables | {
                    "MINIRAG_DATABASE_URL": database.postgres.app_url, "MINIRAG_REDIS_URL": valkey.url
                }  # fmt: skip
                environment = _environment(moto, used, values)
                times = [_times(used, environment, way, filled[way.model], numbers) for _ in range(arguments.runs + 1)]
            _row(way.name, times[1:])
        _loaded(packages, arguments.runs)
    return 0


def _fill(database: Store, model: str | None) -> Workspace:
    """A workspace whose vectors are synthetic, but for those of the sentences that questions are asked about."""
    workspace = database.workspace()
    dimension, windows = (1536, 1) if model == _EMBEDDING else (384, 3)
    for document in documents(texts.load(), _CHUNKS, dimension=dimension, windows=windows):
        add(workspace, document, model)
        workspace.tidy()
    known = [_sentence(number) for number in range(_KNOWN)]
    if model == _EMBEDDING:
        vectors = np.array([vector(one, dimension) for one in known], dtype=np.float32)
    else:
        using = embedder(settings.current(), MINILM)
        assert using is not None
        vectors = using.embed(known, seconds=600).vectors
    add(workspace, Document("Sentences", known, list(vectors[:, np.newaxis])), model)
    return workspace


def _sentence(number: int) -> str:
    return texts.load().sentences[number]


@contextmanager
def _vendors(way: Way) -> Iterator[dict[str, str]]:
    """Stand-ins of those that this way needs, and their variables."""
    variables: dict[str, str] = {}
    with ExitStack() as stack:
        if "openai" in way.vendors:
            openai = stack.enter_context(OpenAIServer())
            variables |= {"OPENAI_API_KEY": openai.key, "OPENAI_BASE_URL": openai.url}
        if "anthropic" in way.vendors:
            anthropic = stack.enter_context(AnthropicServer())
            variables |= {"ANTHROPIC_API_KEY": anthropic.key, "ANTHROPIC_BASE_URL": anthropic.url}
        yield variables


def _environment(moto: Moto, packages: Packages, values: Mapping[str, str]) -> dict[str, str]:
    """What the function finds: the settings in a secret, as on AWS; on one machine in its variables."""
    if isinstance(packages, OneMachine):
        ranks = bundle.BUILD / "tiktoken"
        return {**values, **minilm(), "TIKTOKEN_CACHE_DIR": os.fspath(ranks)}
    client = boto3.client(
        "secretsmanager", endpoint_url=moto.endpoint, region_name="us-east-1",
        aws_access_key_id="test", aws_secret_access_key="test",
    )  # fmt: skip
    secret = client.create_secret(Name=f"settings/{time()}", SecretString=json.dumps(dict(values)))
    ranks = packages.folder / "functions" / _SPEC.package / bundle.RANKS_FOLDER
    return {
        **_AWS, "AWS_ENDPOINT_URL": moto.endpoint, "MINIRAG_SECRET_ID": secret["ARN"],
        "TIKTOKEN_CACHE_DIR": os.fspath(ranks),
    }  # fmt: skip


def _times(
    packages: Packages, environment: Mapping[str, str], way: Way, workspace: Workspace, numbers: Iterator[int]
) -> Times:
    # Each question is a sentence of its own, so that no answer to it is there.
    first, second = (_sentence(next(numbers) % _KNOWN) for _ in range(2))
    with Emulator(_SPEC, packages, environment) as emulator:
        # The start is in the first answer's time, and told apart by the log.
        together = _ask(emulator, way, workspace, first)
        start = emulator.init_ms()
        return Times(start, together - start, _ask(emulator, way, workspace, second))


def _ask(emulator: Emulator, way: Way, workspace: Workspace, question: str) -> float:
    body = {"query": question, "k": K, "provider": way.provider}
    request = httpx.Request("POST", "https://bench/api/v1/ask", json=body, headers=workspace.tenant.headers)
    _, event = invocation(request)
    began = perf_counter()
    response = emulator.invoke(event)
    took = (perf_counter() - began) * 1000
    assert response["statusCode"] == HTTPStatus.OK, (response, emulator.log())
    answer: dict[str, Any] = json.loads(response["body"])
    assert (answer["cached"], answer["outcome"], answer["provider"]) == ("miss", "answered", way.provider), answer
    assert (answer["usage"]["completion_tokens"] > 0) == bool(way.vendors), answer
    assert any(chunk["ranks"]["vector"] is not None for chunk in answer["chunks"]) == (way.model is not None), answer
    return took


def _row(name: str, times: Sequence[Times]) -> None:
    sums = [one.start + one.first for one in times]
    middle = [statistics.median(getattr(one, part) for one in times) for part in ("start", "first")]
    verdict = "kept" if max(sums) <= _MOST_MS else "MISSED"
    second = statistics.median(one.second for one in times)
    print(f"{name:48} {middle[0]:7.0f} {middle[1]:7.0f} {statistics.median(sums):7.0f} {max(sums):7.0f} {second:7.0f}  "
          f"(<= {_MOST_MS:.0f}: {verdict})")  # fmt: skip


def _loaded(packages: Packages, runs: int) -> None:
    print("\nWhat first questions load, each by itself, beside the imported handler, ms")
    ranks = packages.folder / "functions" / _SPEC.package / bundle.RANKS_FOLDER
    environment = {"PYTHONPATH": ":".join(packages.search_path(_SPEC)), "TIKTOKEN_CACHE_DIR": os.fspath(ranks)}
    for name, work in _LOADED.items():
        command = [packages.interpreter, "-S", "-c", _TIMED.format(work=work)]
        done = [
            subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=True).stdout
            for _ in range(runs + 1)
        ]
        print(f"{name:48} {statistics.median(map(float, done[1:])):7.0f}")


if __name__ == "__main__":
    sys.exit(main())
