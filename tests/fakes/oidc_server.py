"""A real OpenID Connect server on loopback, oauth2-mock-server on Node, that signs in whom a test wants."""

import json
import select
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx

from local import leash

FOLDER: Final = Path(__file__).parent.parent / "oidc"

# What `make test` installs, and leaves when it is done.
_INSTALLED: Final = FOLDER / "node_modules" / ".installed"
_INSTALL: Final = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--engine-strict=false", "--loglevel=error")
_INSTALL_SECONDS: Final = 100.0
_START_SECONDS: Final = 20.0


class OidcServer:
    """One provider with one client; `tests/oidc/server.mjs` says what it can be told.

    `become` and `misbehave` hold until the next call, `reset` ends all misbehaviour.
    """

    client_id: Final = "test-client"
    client_secret: Final = "test-client-secret"

    def __init__(self) -> None:
        self.issuer = ""
        self._algorithm = "RS256"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        _install()
        self._process = leash.start((_program("node"), FOLDER / "server.mjs", "0"), stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], _START_SECONDS)
        self.issuer = self._process.stdout.readline().decode().strip() if ready else ""
        if not self.issuer:
            self.stop()
            raise RuntimeError("The OpenID Connect server of the tests does not start; its output says why.")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the server; nothing happens if it has ended."""
        if self._process is not None:
            leash.stop(self._process)
            assert self._process.stdout is not None
            self._process.stdout.close()

    def become(self, subject: str, email: str, name: str, **claims: object) -> None:
        """Sign this user in from now on; earlier users come back with their e-mail address as `login_hint`."""
        self._control(user={"sub": subject, "email": email, "name": name, **claims})

    def misbehave(self, kind: str, *, at: str = "/token") -> None:
        """Do this one thing wrong from now on, at this path."""
        self._control(misbehave={at: kind})

    def advertise(self, **fields: object) -> None:
        """Say this in the discovery document instead."""
        self._control(advertise=fields)

    def new_keys(self, algorithm: str) -> None:
        """Forget the keys, and sign with new ones by this algorithm."""
        self._control(keys=algorithm)
        self._algorithm = algorithm

    def reset(self) -> None:
        """Behave, by RS256, as Ada."""
        self._control(misbehave={}, advertise={})
        if self._algorithm != "RS256":
            self.new_keys("RS256")
        self.become("1", "ada@example.com", "Ada Lovelace")

    def asked(self, path: str) -> int:
        """How often this path was asked since the start."""
        counts: dict[str, int] = httpx.get(f"{self.issuer}/control", verify=False).raise_for_status().json()
        return counts.get(path, 0)

    def _control(self, **order: Any) -> None:
        # Not httpx's JSON, which has no lone surrogates; and no certificates, which take a while to load.
        httpx.post(f"{self.issuer}/control", content=json.dumps(order), verify=False).raise_for_status()


def _install() -> None:
    if not _INSTALLED.exists():
        subprocess.run((_program("npm"), *_INSTALL), cwd=FOLDER, check=True, timeout=_INSTALL_SECONDS)
        _INSTALLED.touch()


def _program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise RuntimeError(f"The tests of signing in need Node.js, and '{name}' is missing. On Debian: apt install npm")
    return path
