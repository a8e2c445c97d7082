"""Which model embeds."""

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from minirag.knowledge.embeddings import Embedder
from minirag.knowledge.embeddings.openai import OpenAIEmbedder
from minirag.runtime.settings import Settings


@lru_cache(maxsize=4)
def embedder(settings: Settings) -> Embedder | None:
    """OpenAI if there is a key, else MiniLM if its files are given and onnxruntime is installed, else None.

    None means that documents are found by their words alone. One embedder per process and settings.
    """
    if settings.openai_api_key:
        return OpenAIEmbedder(settings.openai_embedding_model, settings.openai_api_key, settings.openai_base_url)
    if settings.minilm_model and settings.minilm_tokenizer and find_spec("onnxruntime") and find_spec("tokenizers"):
        from minirag.knowledge.embeddings.minilm import MiniLM

        return MiniLM(Path(settings.minilm_model), Path(settings.minilm_tokenizer))
    return None
