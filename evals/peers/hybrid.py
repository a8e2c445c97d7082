"""Hybrids: words and vectors fused, by LangChain, LlamaIndex and txtai, each as its documentation shows."""

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evals.peers.work import DEPTH, Run, Work


def langchain(work: Work, url: str) -> Run:
    """LangChain's EnsembleRetriever, half and half, over its BM25Retriever and its PGVectorStore."""
    from langchain_classic.retrievers import EnsembleRetriever
    from langchain_community.retrievers import BM25Retriever
    from langchain_core.embeddings import Embeddings
    from langchain_postgres import PGEngine, PGVectorStore

    known = work.vector_of()

    class Given(Embeddings):  # type: ignore[misc]  # its types are not in the environment that checks this
        """The vectors that are there."""

        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return [known[text] for text in texts]

        def embed_query(self, text: str) -> list[float]:
            return known[text]

    engine = PGEngine.from_connection_string(url.replace("postgresql:", "postgresql+psycopg:", 1))
    table = f"langchain_{work.name}"
    engine.init_vectorstore_table(table, vector_size=work.passage_vectors.shape[1], overwrite_existing=True)
    store = PGVectorStore.create_sync(engine, Given(), table, k=DEPTH)
    rows = [{"passage": number} for number in range(len(work.texts))]
    store.add_embeddings(list(work.texts), work.passage_vectors.tolist(), rows)
    words = BM25Retriever.from_texts(list(work.texts), rows, k=DEPTH)
    both = EnsembleRetriever(retrievers=[words, store.as_retriever(search_kwargs={"k": DEPTH})], weights=[0.5, 0.5])
    return {
        question: work.ranking(found.metadata["passage"] for found in both.invoke(text))[:DEPTH]
        for question, text in work.questions.items()
    }


def llamaindex(work: Work, url: str) -> Run:
    """LlamaIndex's QueryFusionRetriever, reciprocal ranks, over its BM25Retriever and its PGVectorStore."""
    import Stemmer
    from llama_index.core import VectorStoreIndex
    from llama_index.core.base.embeddings.base import BaseEmbedding
    from llama_index.core.llms import MockLLM
    from llama_index.core.retrievers import QueryFusionRetriever
    from llama_index.core.schema import TextNode
    from llama_index.retrievers.bm25 import BM25Retriever
    from llama_index.vector_stores.postgres import PGVectorStore

    known = work.vector_of()

    class Given(BaseEmbedding):  # type: ignore[misc]  # as above
        """The vectors that are there."""

        def _get_text_embedding(self, text: str) -> list[float]:
            return known[text]

        def _get_query_embedding(self, query: str) -> list[float]:
            return known[query]

        async def _aget_query_embedding(self, query: str) -> list[float]:
            return known[query]

    logging.getLogger("bm25s").setLevel(logging.WARNING)
    vectors = work.passage_vectors.tolist()
    nodes = [TextNode(id_=str(number), text=text, embedding=vectors[number]) for number, text in enumerate(work.texts)]
    store = PGVectorStore.from_params(
        connection_string=url.replace("postgresql:", "postgresql+psycopg2:", 1),
        async_connection_string=url.replace("postgresql:", "postgresql+asyncpg:", 1),
        table_name=f"llamaindex_{work.name}",
        embed_dim=work.passage_vectors.shape[1],
    )
    store.add(nodes)
    index = VectorStoreIndex.from_vector_store(store, embed_model=Given())
    depth = min(DEPTH, len(nodes))
    words = BM25Retriever.from_defaults(
        nodes=nodes, similarity_top_k=depth, stemmer=Stemmer.Stemmer("english"), language="english"
    )
    both = QueryFusionRetriever(
        [words, index.as_retriever(similarity_top_k=depth)],
        llm=MockLLM(),
        mode="reciprocal_rerank",
        similarity_top_k=depth,
        num_queries=1,
        use_async=False,
    )
    return {
        question: work.ranking(int(found.node.node_id) for found in both.retrieve(text))
        for question, text in work.questions.items()
    }


def txtai(work: Work, _url: str) -> Run:
    """Txtai's hybrid index with its default weights: faiss and its own BM25."""
    from txtai import Embeddings

    known = work.vector_of()

    def given(texts: list[str]) -> NDArray[np.float32]:
        return np.array([known[text] for text in texts], dtype=np.float32)

    settings: dict[str, Any] = {"method": "external", "transform": given, "hybrid": True}
    index = Embeddings(**settings)
    index.index((number, text, None) for number, text in enumerate(work.texts))
    return {
        question: work.ranking(int(passage) for passage, _ in index.search(text, DEPTH))
        for question, text in work.questions.items()
    }
