"""Which model embeds."""

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from minirag.knowledge.embeddings import Embedder
from minirag.knowledge.embeddings.openai import OpenAIEmbedder
from minirag.runtime.settings import Settings

# What the local model is called (minilm.MODEL, without importing numpy and all).
MINILM: Final = "all-MiniLM-L6-v2-int8"


def embedder(settings: Settings, model: str | None = None) -> Embedder | None:
    """The embedder of `model`, None if it cannot be had here. One embedder per process, settings and model.

    For None, this deployment's own: OpenAI's if there is a key, else MiniLM if its files are given and onnxruntime is
    installed, else none, and documents are found by their words alone.
    """
    return _embedder(settings, model or (settings.openai_embedding_model if settings.openai_api_key else MINILM))


@lru_cache(maxsize=16)
def _embedder(settings: Settings, model: str) -> Embedder | None:
    if model != MINILM:
        key = settings.openai_api_key
        return OpenAIEmbedder(model, key, settings.openai_base_url) if key else None
    if settings.minilm_model and settings.minilm_tokenizer and find_spec("onnxruntime") and find_spec("tokenizers"):
        from minirag.knowledge.embeddings.minilm import MiniLM

        return MiniLM(Path(settings.minilm_model), Path(settings.minilm_tokenizer))
    return None
