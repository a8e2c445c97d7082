"""How well signatures find the nearest vectors, and how fast: what docs/decisions/0010 rests on.

    python -m evals.signatures [--large]

The tables say which share of the truly nearest 10 and 100 is among the chunks whose exact vectors a search would read,
for real embeddings (the passages and questions of the English sets) and for seeded clusters, and how long a search for
300 of them takes in the processor. `--large` adds a million vectors.
"""

import argparse
from collections.abc import Iterator
from statistics import median
from time import thread_time
from typing import Final

import numpy as np
from numpy.typing import NDArray

from evals import sets
from evals.embeddings import Kept, documents, minilm
from minirag.knowledge.vectors.signatures import Signatures, words

READ: Final = (100, 200, 300, 400)  # chunks whose exact vectors are read
QUESTIONS: Final = 200
CENTRES: Final = 1000

Vectors = NDArray[np.float32]


def real() -> tuple[Vectors, Vectors]:
    """The vectors of all passages of the English sets, and of some of their questions."""
    model, rng = minilm(), np.random.default_rng(1)
    passages: list[Vectors] = []
    questions: list[Vectors] = []
    for name in (one for one in (*sets.ENGLISH, sets.SHIPPED) if one in sets.available()):
        chosen, kept = sets.load(name), Kept(model, name)
        passages += [windows for document in documents(chosen, kept) for windows in document.windows]
        questions.append(kept.embed(list(chosen.questions.values()), seconds=3600).vectors)
    asked = np.concatenate(questions)
    return np.concatenate(passages), asked[rng.permutation(len(asked))[:QUESTIONS]]


def clusters(count: int, dimension: int) -> tuple[Vectors, Vectors]:
    """Vectors around a thousand centres, and questions likewise.

    The variance of axis k is proportional to k ** -0.8 and all centres share a mean, which brings the cosines of the
    10th, 100th and 1000th nearest close to those of real sentences.
    """
    rng = np.random.default_rng(2)
    scale = np.arange(1, dimension + 1) ** -0.4
    turn = np.linalg.qr(rng.standard_normal((dimension, dimension)))[0]

    def draw(rows: int) -> Vectors:
        drawn = (rng.standard_normal((rows, dimension)) * scale).astype(np.float32)
        return _unit((drawn @ turn).astype(np.float32))

    centres: Vectors = _unit(draw(CENTRES) + draw(1) / np.float32(4))

    def near(rows: int) -> Vectors:
        return _unit(centres[rng.integers(0, CENTRES, rows)] + draw(rows))

    blocks = [near(min(50_000, count - first)) for first in range(0, count, 50_000)]
    return np.concatenate(blocks), near(QUESTIONS)


def _unit(vectors: Vectors) -> Vectors:
    found: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return found


def measure(vectors: Vectors, questions: Vectors) -> Iterator[str]:
    """For each number of chunks read, recall@10 and recall@100; then the milliseconds of a search."""
    packed = Signatures(words(vectors), np.arange(len(vectors)))
    shares: dict[int, list[tuple[float, float]]] = {read: [] for read in READ}
    times = []
    for question in questions:
        cosines = vectors @ question
        hundred = np.argpartition(-cosines, 100)[:100]
        ten = hundred[np.argsort(-cosines[hundred])[:10]]
        for read in READ:
            started = thread_time()
            found = packed.nearest(question, read, None)
            if read == 300:
                times.append((thread_time() - started) * 1000)
            shares[read].append((np.isin(ten, found).mean(), np.isin(hundred, found).mean()))
    for of_read in shares.values():
        at_10, at_100 = np.mean(of_read, axis=0)
        yield f"{at_10:.4f}/{at_100:.3f}"
    yield f"{median(times):.2f}"


def cases(*, large: bool) -> Iterator[tuple[str, Vectors, Vectors]]:
    """What is measured: name, vectors, questions."""
    yield "real passages, MiniLM", *real()
    for dimension in (384, 1536):
        for size in (10_000, 100_000, 1_000_000) if large else (10_000, 100_000):
            yield f"clusters, {dimension} dimensions", *clusters(size, dimension)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m evals.signatures")
    parser.add_argument("--large", action="store_true", help="also a million vectors of each dimension")
    large = parser.parse_args().large
    print(f"{'':34}", *(f"{f'{read} read':>13}" for read in READ), f"{'ms':>7}")
    for name, vectors, questions in cases(large=large):
        label = f"{name}, {len(vectors):,}"
        print(f"{label:34}", *(f"{one:>13}" for one in measure(vectors, questions)), flush=True)


if __name__ == "__main__":
    main()
