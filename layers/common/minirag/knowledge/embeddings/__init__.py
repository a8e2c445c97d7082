"""Text embeddings behind one small protocol; SDKs and the local model are imported on first use."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Embedded:
    """Unit vectors of shape (texts, dimension), float32, and the tokens they cost."""

    vectors: NDArray[np.float32]
    tokens: int


def titled(title: str, part: str) -> str:
    """A part of a document as it is embedded."""
    return f"{title}\n{part}" if title else part


class Embedder(Protocol):
    """Turns texts into unit vectors."""

    @property
    def model(self) -> str: ...

    @property
    def dimension(self) -> int: ...

    @property
    def batch(self) -> int:
        """How many texts to embed in one call, so that progress shows and little is lost with a worker."""
        ...

    @property
    def languages(self) -> frozenset[str] | None:
        """The languages the model was trained on, as ISO 639-1; None if it takes any."""
        ...

    def windows(self, passage: str, title: str = "") -> list[str]:
        """The parts of a passage that are embedded one by one, so that none of it is cut off unseen.

        Each begins with the title of the document, which says what the part is about.
        """
        ...

    def embed(self, texts: Sequence[str], *, seconds: float) -> Embedded:
        """Embed within `seconds`, or raise Unavailable or OutOfTime."""
        ...
