"""What the peers get and give back: files in a folder, one folder a set.

    set.json            {"language", "questions": {id: text}}
    passages.jsonl      {"document", "text"}: the title and the passage, in the order of the vectors
    passages.npy        (passages, dimension) float32, unit vectors; none where the model does not know the language
    questions.npy       (questions, dimension) float32, in the order of the questions
    <system>.json       {question: [document, best first]}, written by the peer

Needs numpy alone, because both environments import it.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

# How many passages each leg of a system finds.
DEPTH: Final = 100

Run = Mapping[str, Sequence[str]]
Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Work:
    """One set; `documents[i]` is whose passage `texts[i]` is."""

    name: str
    language: str
    questions: Mapping[str, str]
    documents: Sequence[str]
    texts: Sequence[str]
    passage_vectors: Vectors
    question_vectors: Vectors

    def vector_of(self) -> dict[str, list[float]]:
        """The vectors by text, for systems that ask a model for them."""
        texts = [*self.texts, *self.questions.values()]
        vectors = np.concatenate([self.passage_vectors, self.question_vectors])
        return dict(zip(texts, vectors.tolist(), strict=True))

    def ranking(self, passages: Iterable[int]) -> list[str]:
        """The documents of passages: each where its best passage stands."""
        return list(dict.fromkeys(self.documents[passage] for passage in passages))


def write(folder: Path, work: Work) -> None:
    """Leave a set for the peers."""
    folder.mkdir(parents=True, exist_ok=True)
    about = {"language": work.language, "questions": work.questions}
    (folder / "set.json").write_text(json.dumps(about), "utf-8")
    rows = zip(work.documents, work.texts, strict=True)
    lines = [json.dumps({"document": document, "text": text}) + "\n" for document, text in rows]
    (folder / "passages.jsonl").write_text("".join(lines), "utf-8")
    np.save(folder / "passages.npy", work.passage_vectors)
    np.save(folder / "questions.npy", work.question_vectors)


def read(folder: Path) -> Work:
    """What `write` left."""
    about = json.loads((folder / "set.json").read_text("utf-8"))
    rows = [json.loads(line) for line in (folder / "passages.jsonl").read_text("utf-8").splitlines()]
    return Work(
        name=folder.name,
        language=about["language"],
        questions=about["questions"],
        documents=[row["document"] for row in rows],
        texts=[row["text"] for row in rows],
        passage_vectors=np.load(folder / "passages.npy"),
        question_vectors=np.load(folder / "questions.npy"),
    )
