"""The peers' names, in the order of the report."""

from typing import Final

KEYWORD: Final = ("rank-bm25", "bm25s", "Postgres ts_rank")
HYBRID: Final = ("LangChain Ensemble", "LlamaIndex fusion", "txtai hybrid")
SPLITTERS: Final = ("LangChain recursive", "LlamaIndex sentences", "LangChain tokens")
