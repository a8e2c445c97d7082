"""Embeddings by all-MiniLM-L6-v2 on this machine's processor: no key, no network.

The model (Apache-2.0, Reimers and Gurevych 2019) averages the states of up to 256 word pieces into 384 dimensions.
Its weights are stored in eight bits and computed with in 32.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from minirag.knowledge.embeddings import Embedded, titled
from minirag.knowledge.sentences import sentences
from minirag.runtime.errors import OutOfTime, Unavailable

if TYPE_CHECKING:
    import onnxruntime  # type: ignore[import-untyped]
    from tokenizers import Encoding, Tokenizer

MODEL: Final = "all-MiniLM-L6-v2-int8"

_DIMENSION: Final = 384
_BEGIN: Final = 101
_END: Final = 102
# Word pieces of a title before each part: a long one would leave no room.
_TITLE_ROOM: Final = 40
_ROOM: Final = 254  # word pieces of a text; with the marks of its beginning and end, the 256 the model was trained on
# Word pieces in one run of the model. Short texts share one; long ones would wait for each other's padding and leave
# the processor's cache: on two cores, 30 texts of 200 pieces take 1.2 s one by one, in batches of 16 2.0 s.
_RUN_PIECES: Final = 256


@dataclass(frozen=True, slots=True)
class _Loaded:
    session: "onnxruntime.InferenceSession"
    tokenizer: "Tokenizer"


class MiniLM:
    """all-MiniLM-L6-v2 on onnxruntime; the model is loaded by the first call that needs it."""

    model = MODEL
    dimension = _DIMENSION
    batch = 32
    languages = frozenset({"en"})

    def __init__(self, model_path: Path, tokenizer_path: Path, *, threads: int | None = None) -> None:
        """`threads`: texts embedded at the same time; by default one for each processor, four at most."""
        self._model_path = model_path
        self._tokenizer_path = tokenizer_path
        self._threads = threads or min(4, os.cpu_count() or 1)
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="minilm")
        self._loading = Lock()
        self._loaded: _Loaded | None = None

    def windows(self, passage: str, title: str = "") -> list[str]:
        """The parts of `passage` that fit the model below its title, of about the same length.

        They are cut between sentences or words. Of a long title the beginning is taken.
        """
        heading = self._encode(title).offsets[:_TITLE_ROOM]
        title = title[: heading[-1][1]] if heading else ""
        return [titled(title, part) for part in self._parts(passage, _ROOM - len(heading))]

    def _parts(self, passage: str, room: int) -> list[str]:
        pieces = self._encode(passage)
        offsets, words = pieces.offsets, pieces.word_ids
        if len(offsets) <= room:
            return [passage]
        begins_sentence = {start for start, _ in sentences(passage)}
        found = []
        first = 0
        while (left := len(offsets) - first) > room:
            windows = -(-left // room)
            ideal = first + left / windows
            earliest = first + max(1, left - (windows - 1) * room)  # any earlier would cost a window more
            # Never within a word, of which the tokenizer makes 100 pieces at most.
            possible = [i for i in range(first + 1, first + room + 1) if words[i] != words[i - 1]]
            cut = min(
                [i for i in possible if i >= earliest] or possible,
                # A cut between sentences is worth half a window's distance.
                key=lambda i: abs(i - ideal) + (0 if offsets[i][0] in begins_sentence else room / 2),
            )
            found.append(passage[offsets[first][0] : offsets[cut][0]].strip())
            first = cut
        found.append(passage[offsets[first][0] :].strip())
        return found

    def embed(self, texts: Sequence[str], *, seconds: float) -> Embedded:
        """Embed `texts`, of which the first 256 word pieces count; tokens cost nothing here and are none."""
        deadline = monotonic() + seconds
        pieces = [self._encode(text).ids[:_ROOM] for text in texts]
        vectors = np.empty((len(texts), _DIMENSION), dtype=np.float32)

        def run(rows: list[int]) -> None:
            if monotonic() >= deadline:
                raise OutOfTime(
                    f"{MODEL} embedded not all of {len(texts)} texts within {seconds:.1f} seconds; try again"
                )
            vectors[rows] = self._run([pieces[row] for row in rows])

        runs = list(_runs([len(ids) for ids in pieces]))
        if len(runs) == 1:
            run(runs[0])
        else:
            # Texts side by side on threads use the processors better than one text split among them.
            list(self._pool.map(run, runs))
        return Embedded(vectors, 0)

    def _encode(self, text: str) -> "Encoding":
        # A lone surrogate counts as an unknown character.
        valid = text.encode("utf-8", "replace").decode("utf-8")
        return self._load().tokenizer.encode(valid, add_special_tokens=False)

    def _run(self, pieces: list[list[int]]) -> NDArray[np.float32]:
        """Unit vectors of texts given as word pieces: the states of all that is no padding, averaged."""
        ids = np.zeros((len(pieces), max(map(len, pieces)) + 2), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, text in enumerate(pieces):
            ids[row, : len(text) + 2] = [_BEGIN, *text, _END]
            mask[row, : len(text) + 2] = 1
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        states = self._load().session.run(None, inputs)[0]
        summed = np.einsum("rpd,rp->rd", states, mask.astype(np.float32))
        unit: NDArray[np.float32] = summed / np.linalg.norm(summed, axis=1, keepdims=True)
        return unit

    def _load(self) -> _Loaded:
        with self._loading:
            if self._loaded is None:
                self._loaded = _load(self._model_path, self._tokenizer_path)
            return self._loaded


def _load(model_path: Path, tokenizer_path: Path) -> _Loaded:
    import onnxruntime
    from tokenizers import Tokenizer

    for path, variable in ((model_path, "MINIRAG_MINILM_MODEL"), (tokenizer_path, "MINIRAG_MINILM_TOKENIZER")):
        if not path.is_file():
            raise Unavailable(
                f"The embedding model's file {path.name} is missing: the operator should check {variable}",
                code="model_missing",
            )
    tokenizer = Tokenizer.from_file(os.fspath(tokenizer_path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(os.fspath(model_path), options, providers=["CPUExecutionProvider"])
    return _Loaded(session, tokenizer)


def _runs(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Indices of the texts that one run of the model takes, longest texts first."""
    run: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if run and (len(run) + 1) * lengths[run[0]] > _RUN_PIECES:
            yield run
            run = []
        run.append(index)
    if run:
        yield run
