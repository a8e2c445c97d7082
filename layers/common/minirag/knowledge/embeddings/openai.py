"""Embeddings by OpenAI."""

from collections.abc import Iterator, Sequence
from time import monotonic
from typing import Final

import numpy as np
from numpy.typing import NDArray

from minirag.knowledge import sdk
from minirag.knowledge.embeddings import Embedded, titled

# text-embedding-3-large gives 3072 dimensions, and is asked for the first 1536 (it is trained to be cut), so that
# vectors of both models take the same room, half of which -large would spend for about one point of MTEB.
_DIMENSION: Final = 1536

# The API's bounds of one request are 2048 inputs and 300,000 tokens. A token is at least one byte of UTF-8.
_BATCH_TEXTS: Final = 2048
_BATCH_BYTES: Final = 280_000


class OpenAIEmbedder:
    """text-embedding-3-small or -large, 1536 dimensions either way; others must accept `dimensions`."""

    dimension = _DIMENSION
    batch = 256
    languages = None

    def __init__(self, model: str, key: str, base_url: str | None) -> None:
        self.model = model
        self._key = key
        self._base_url = base_url

    def windows(self, passage: str, title: str = "") -> list[str]:
        """The passage below its title: the model reads 8191 tokens, far more than a chunk has."""
        return [titled(title, passage)]

    def embed(self, texts: Sequence[str], *, seconds: float) -> Embedded:
        """Embed in as few requests as the API's bounds allow, all within `seconds`."""
        deadline = monotonic() + seconds
        vectors = np.empty((len(texts), _DIMENSION), dtype=np.float32)
        tokens = at = 0
        for batch in _batches(texts):
            part, spent = self._request(batch, deadline - monotonic())
            vectors[at : at + len(batch)] = part
            tokens += spent
            at += len(batch)
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        return Embedded(vectors, tokens)

    def _request(self, batch: list[str], seconds: float) -> tuple[NDArray[np.float32], int]:
        client = sdk.openai_client(self._key, self._base_url)

        def request(left: float) -> tuple[NDArray[np.float32], int]:
            answer = client.embeddings.create(input=batch, model=self.model, dimensions=_DIMENSION, timeout=left)
            ordered = sorted(answer.data, key=lambda item: item.index)
            vectors = np.array([item.embedding for item in ordered], dtype=np.float32)
            if vectors.shape != (len(batch), _DIMENSION):
                raise ValueError(f"embeddings of shape {vectors.shape} for {len(batch)} texts")
            return vectors, answer.usage.total_tokens

        vendor = sdk.openai_vendor("MINIRAG_OPENAI_EMBEDDING_MODEL", selectable=False)
        return sdk.call(vendor, request, seconds=seconds)


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for text in texts:
        length = len(text.encode("utf-8", "replace"))
        if batch and (len(batch) == _BATCH_TEXTS or size + length > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(text or " ")  # the API refuses empty texts
        size += length
    if batch:
        yield batch
