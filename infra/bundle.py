"""Packages for Lambda, built without Docker: `python -m infra.bundle` is `make layers`.

The common layer holds `minirag` and the libraries that every function needs; the package of a function holds its
own folder under its import name and the libraries that only it needs (`requirements/layer-common.in`,
`requirements/function-NAME.in`; after a change there, `python -m infra.bundle --lock`). uv takes wheels for the
target from pinned, hashed requirements, whatever machine this runs on.
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infra import ranks

ROOT: Final = Path(__file__).resolve().parent.parent
BUILD: Final = ROOT / ".build"
REQUIREMENTS: Final = ROOT / "requirements"

PACKAGES: Final = ("admin", "ask", "ingest", "webhooks")
"""The packages, each named like its folder in functions/; ingest's serves three functions."""

LIMIT_BYTES: Final = 250 * 1024 * 1024
"""What a function and its layers may take together, unzipped: Lambda's quota."""

RANKS_FOLDER: Final = "tiktoken_ranks"
"""Where the ranks of tiktoken lie in the packages that tokenize: /var/task/tiktoken_ranks."""

TOKENIZING: Final = ("ask", "ingest")
"""Those packages: ask counts what a prompt takes, ingest cuts documents."""

_COMMON: Final = "layer-common"
_OLDEST_PYTHON: Final = "3.11"


@dataclass(frozen=True)
class Target:
    """A Python and a platform; `platform` None is the machine this runs on. uv and pip name platforms differently."""

    python: str
    platform: str | None = None
    pip_platforms: tuple[str, ...] = ()


LAMBDA: Final = Target(
    python="3.13",
    platform="aarch64-manylinux_2_28",
    pip_platforms=("manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64"),
)
HERE: Final = Target(python=f"{sys.version_info.major}.{sys.version_info.minor}")


class BundleError(Exception):
    """The packages cannot be built; says what to do."""


def interpreter_of(python: str) -> str | None:
    """An interpreter of this version on this machine, whose bytecode that Python accepts."""
    if python == HERE.python:
        return sys.executable
    # A version manager's stand-in may be on the path without the version behind it: ask before believing.
    managed = Path.home().glob(f".pyenv/versions/{python}.*/bin/python{python}")
    for candidate in (shutil.which(f"python{python}"), *map(str, managed)):
        if candidate and subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode == 0:
            return candidate
    return None


def _run(command: list[str]) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BundleError(f"{' '.join(command[:4])} failed:\n{done.stderr.strip()}")


def _uv(*arguments: str) -> None:
    uv = Path(sys.executable).parent / "uv"
    _run([str(uv) if uv.exists() else "uv", "pip", *arguments])


def _requirements(name: str) -> Path:
    return REQUIREMENTS / f"{name}.txt"


def install(name: str, destination: Path, target: Target) -> None:
    """Install requirements/NAME.txt, if there is one; its pins are complete, so nothing is resolved anew.

    By uv, or by pip where only pip knows the way to the packages. Raises BundleError.
    """
    if not _requirements(name).exists():
        return
    common = ["install", "--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
    common += ["--target", str(destination), "--python-version", target.python, "-r", str(_requirements(name))]
    try:
        _uv(*common, *(["--python-platform", target.platform] if target.platform else []))
    except BundleError:
        platforms = [part for platform in target.pip_platforms for part in ("--platform", platform)]
        _run([sys.executable, "-m", "pip", *common, "--disable-pip-version-check", *platforms])
    # Console scripts name this machine's interpreter, and nothing on Lambda calls them.
    shutil.rmtree(destination / "bin", ignore_errors=True)
    (destination / ".lock").unlink(missing_ok=True)


def _copy(source: Path, destination: Path) -> None:
    shutil.copytree(source, destination, ignore=shutil.ignore_patterns("__pycache__", "*.partial"))


def build(destination: Path = BUILD, *, target: Target = LAMBDA, libraries: bool = True) -> None:
    """Build `destination`/layer and `destination`/functions/NAME.

    Without `libraries` only the product's own code is packed: enough to synthesize, not to run. Raises BundleError.
    """
    layer = destination / "layer"
    packages = {name: destination / "functions" / name for name in PACKAGES}
    for folder in (layer, destination / "functions"):
        shutil.rmtree(folder, ignore_errors=True)
    if libraries:
        install(_COMMON, layer / "python", target)
        for name, package in packages.items():
            install(f"function-{name}", package, target)
        for name in TOKENIZING:
            _copy(ranks.build(), packages[name] / RANKS_FOLDER)
    _copy(ROOT / "layers" / "common" / "minirag", layer / "python" / "minirag")
    for name, package in packages.items():
        _copy(ROOT / "functions" / name, package / "functions" / name)
        shutil.copy(ROOT / "functions" / "__init__.py", package / "functions")


def add_bytecode(destination: Path, interpreter: str) -> None:
    """Compile every package in place, since a function cannot write to where it lies on Lambda.

    Unchecked, because packing sets every file's time to the same moment. What does not compile (a library's
    template of a module, say) is left as it is.
    """
    folders = {destination / "layer" / "python": "/opt/python"}
    folders |= {destination / "functions" / name: "/var/task" for name in PACKAGES}
    for folder, mounted_at in folders.items():
        command = [interpreter, "-m", "compileall", "-qq", "-j", "0", "--invalidation-mode", "unchecked-hash"]
        command += ["-s", str(folder), "-p", mounted_at, str(folder)]
        subprocess.run(command, check=False, stdout=subprocess.DEVNULL)


def size(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def sizes(destination: Path = BUILD) -> Iterator[tuple[str, int]]:
    """(package, bytes of it and the layer together), each to be held against LIMIT_BYTES."""
    layer = size(destination / "layer")
    for name in PACKAGES:
        yield name, layer + size(destination / "functions" / name)


def locked(name: str) -> dict[str, set[str]]:
    """Package → pinned versions of one requirements file (two where a marker tells Pythons apart)."""
    pins: dict[str, set[str]] = {}
    for line in _requirements(name).read_text().splitlines():
        package, equals, rest = line.partition("==")
        if equals and not line.startswith((" ", "#")):
            pins.setdefault(package, set()).add(rest.split()[0])
    return pins


def lock() -> None:
    """Write the hashed requirements of the layer and of each function, with the versions of run.txt.

    What the layer has is left out of the functions' files. Raises BundleError.
    """
    common = [
        "compile", "--quiet", "--universal", "--generate-hashes", "--python-version", _OLDEST_PYTHON,
        "--no-header", "--no-annotate", "-c", "requirements/run.txt",
    ]  # fmt: skip
    _uv(*common, f"requirements/{_COMMON}.in", "-o", f"requirements/{_COMMON}.txt")
    in_layer = [part for package in locked(_COMMON) for part in ("--no-emit-package", package)]
    for source in sorted(REQUIREMENTS.glob("function-*.in")):
        _uv(*common, *in_layer, f"requirements/{source.name}", "-o", f"requirements/{source.stem}.txt")
    _uv(
        *common,
        "-c",
        "requirements/test.txt",
        "requirements/runtime-client.in",
        "-o",
        "requirements/runtime-client.txt",
    )


def _mib(count: int) -> str:
    return f"{count / 1024 / 1024:6.1f} MiB"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.bundle", description="Build the packages for Lambda.")
    parser.add_argument("--lock", action="store_true", help="only write requirements/{layer,function}-*.txt anew")
    if parser.parse_args().lock:
        lock()
        return 0
    build()
    interpreter = interpreter_of(LAMBDA.python)
    if interpreter is None:
        print(f"No Python {LAMBDA.python} on this machine, so no bytecode is added: cold starts will take longer.")
    else:
        add_bytecode(BUILD, interpreter)
    print(f"layer            {_mib(size(BUILD / 'layer'))}")
    too_large = False
    for name, total in sizes():
        too_large |= total > LIMIT_BYTES
        print(
            f"{name:16} {_mib(size(BUILD / 'functions' / name))}, with the layer {_mib(total)} of {_mib(LIMIT_BYTES)}"
        )
    return 1 if too_large else 0


if __name__ == "__main__":
    sys.exit(main())
