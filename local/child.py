"""The parent's side of one execution environment: its process and socket, one answer for each event."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from local.environment import LENGTH, PAYLOAD_LIMIT
from local.event import Json
from local.function import Crashed, FunctionConfig, FunctionError, InitFailed, TimedOut
from local.home import REPOSITORY


class Child:
    """An execution environment; `start`, then `init` once, then `run` one event at a time, then `kill`."""

    def __init__(
        self,
        function: FunctionConfig,
        log: Path,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Only `start` calls this."""
        self.function = function
        self._log = log
        self._process = process
        self._reader = reader
        self._writer = writer
        self._end = asyncio.create_task(self._wait_for_end())

    @classmethod
    async def start(cls, function: FunctionConfig, env: Mapping[str, str], log: Path) -> "Child":
        """Start the process with `env` and its output appended to `log`; its handler is not imported yet."""
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("environments die with the thread that starts them: use the pool in the main thread")
        ours, theirs = socket.socketpair()
        with theirs, log.open("ab") as output:
            ours.setblocking(False)
            reader, writer = await asyncio.open_unix_connection(sock=ours, limit=PAYLOAD_LIMIT)
            descriptor = theirs.fileno()
            try:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "local.environment", function.handler, str(descriptor), str(os.getpid())),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=_lambda_environment(function, env),
                    cwd=REPOSITORY,
                    pass_fds=(descriptor,),
                    # A group of its own: what a handler starts is killed with it, and Ctrl-C reaches only the parent.
                    start_new_session=True,
                )
            except BaseException:
                writer.close()
                raise
        return cls(function, log, process, reader, writer)

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    async def init(self, seconds: float) -> None:
        """Wait until the handler is imported. Raises InitFailed."""
        handler = self.function.handler
        try:
            async with asyncio.timeout(seconds):
                ready = await self._answer()
        except TimeoutError:
            raise InitFailed(f"{handler} was not imported within {seconds} s") from None
        except Crashed as error:
            raise InitFailed(f"{error}: it was importing {handler}") from error
        if "error" in ready:
            raise InitFailed(f"{handler} cannot be imported: {': '.join(ready['error'].values())}")

    async def run(self, payload: bytes) -> Json:
        """The handler's result for one event, given as JSON.

        Raises FunctionError, after which the environment can go on, TimedOut or Crashed, after which it cannot.
        """
        function, request_id = self.function, str(uuid4())
        deadline_ms = int((time.time() + function.timeout_seconds) * 1000)
        message = b'{"request_id":"%b","deadline_ms":%d,"event":%b}' % (request_id.encode(), deadline_ms, payload)
        self._writer.write(LENGTH.pack(len(message)) + message)
        try:
            async with asyncio.timeout(function.timeout_seconds):
                answer = await self._answer()
        except TimeoutError:
            sentence = f"Task timed out after {function.timeout_seconds:.2f} seconds"
            with self._log.open("a") as log:
                log.write(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ} {request_id} {sentence}\n")
            raise TimedOut(f"{function.name}: {sentence}") from None
        if "error" in answer:
            raise FunctionError(function.name, answer["error"]["errorType"], answer["error"]["errorMessage"])
        return answer["result"]

    async def kill(self) -> None:
        """End the process and what it started; return when it is gone."""
        if self.alive:
            self._kill_group()
        await asyncio.wait({self._end})
        self._writer.close()

    async def _answer(self) -> dict[str, Json]:
        """The child's next message. Raises Crashed if it ends instead."""
        try:
            (length,) = LENGTH.unpack(await self._reader.readexactly(LENGTH.size))
            message: dict[str, Json] = json.loads(await self._reader.readexactly(length))
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            status = await self._process.wait()
            how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"exited with status {status}"
            raise Crashed(f"the environment of {self.function.name} {how} before it answered") from error
        return message

    async def _wait_for_end(self) -> None:
        """When the process has ended, end what it left behind: Lambda ends the whole sandbox.

        That also closes the last copies of the socket, so whoever waits for an answer learns that none will come.
        """
        await self._process.wait()
        self._kill_group()

    def _kill_group(self) -> None:
        # Nobody may be left in it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)


def _lambda_environment(function: FunctionConfig, env: Mapping[str, str]) -> dict[str, str]:
    """What the process gets: `env`, the function's own variables, and those that Lambda sets."""
    given = {"AWS_REGION": "us-east-1", **env, **function.environment}
    paths = [str(REPOSITORY), str(REPOSITORY / "layers" / "common"), given.get("PYTHONPATH", "")]
    return given | {
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": f"{datetime.now(UTC):%Y/%m/%d}/[$LATEST]{uuid4().hex}",
    }
