"""Chunks as LangChain and LlamaIndex cut them, each as its documentation shows it for a model's tokens.

`python -m evals.peers.splitters <folder>`: in the folder is documents.json, [text], and cuts.json, [[name, size in
tokens, overlap in tokens]]; what comes back is chunks.json, [[[text of a chunk] of a document] of a cut].
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from evals.peers.names import SPLITTERS

_ENCODING: Final = "cl100k_base"

Split = Callable[[str], list[str]]


def _recursive(size: int, overlap: int) -> Split:
    from langchain_classic.text_splitter import RecursiveCharacterTextSplitter

    splitter = RecursiveCharacterTextSplitter.from_tiktoken_encoder(
        encoding_name=_ENCODING, chunk_size=size, chunk_overlap=overlap
    )
    split: Split = splitter.split_text
    return split


def _tokens(size: int, overlap: int) -> Split:
    from langchain_classic.text_splitter import TokenTextSplitter

    split: Split = TokenTextSplitter(encoding_name=_ENCODING, chunk_size=size, chunk_overlap=overlap).split_text
    return split


def _sentences(size: int, overlap: int) -> Split:
    import tiktoken
    from llama_index.core.node_parser import SentenceSplitter

    encode = tiktoken.get_encoding(_ENCODING).encode
    split: Split = SentenceSplitter(chunk_size=size, chunk_overlap=overlap, tokenizer=encode).split_text
    return split


_MADE: Final = dict(zip(SPLITTERS, (_recursive, _sentences, _tokens), strict=True))


def main(folder: Path) -> None:
    """Cut every document in every way."""
    texts = json.loads((folder / "documents.json").read_text("utf-8"))
    chunks = []
    for name, size, overlap in json.loads((folder / "cuts.json").read_text("utf-8")):
        split = _MADE[name](size, overlap)
        chunks.append([[chunk for chunk in split(text) if chunk.strip()] for text in texts])
    (folder / "chunks.json").write_text(json.dumps(chunks), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
