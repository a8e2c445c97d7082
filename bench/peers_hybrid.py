"""Hybrid peers, as their documentation composes them; run by bench.peers alone, whose interpreter has their packages.

Vectors lie in the same PostgreSQL as ours, in the tables that each peer makes, with an HNSW index of pgvector's default
measures, and are loaded by COPY because their own loading takes minutes. The question's vector is known, as it is to
ours. Each of two searches gives ten chunks, the fewest from which ten can be fused.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import numpy as np
import psycopg
import Stemmer
from langchain_classic.retrievers import EnsembleRetriever
from langchain_community.retrievers import BM25Retriever
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_postgres import PGEngine
from langchain_postgres import PGVectorStore as LangChainStore
from llama_index.core import VectorStoreIndex
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.llms import MockLLM
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores.utils import node_to_metadata_dict
from llama_index.retrievers.bm25 import BM25Retriever as BM25SRetriever
from llama_index.vector_stores.postgres import PGVectorStore as LlamaIndexStore

from bench.peers import TOP, texts

_LANGCHAIN: Final = "peer_langchain"
_LLAMA_INDEX: Final = "peer_llama_index"


class Known:
    """The vectors of all questions; of any other text, that of the first."""

    def __init__(self, command: dict[str, Any]) -> None:
        self._vectors = np.load(command["question_vectors"])
        self._rows = {question: row for row, question in enumerate(command["questions"])}

    def vector(self, text: str) -> list[float]:
        found: list[float] = self._vectors[self._rows.get(text, 0)].tolist()
        return found


class KnownLangChain(Embeddings):
    """Known vectors as LangChain takes them."""

    def __init__(self, known: Known) -> None:
        self._known = known

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self._known.vector(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return self._known.vector(text)


class LangChainEnsemble:
    """EnsembleRetriever over BM25Retriever, which is rank_bm25, and PGVectorStore."""

    def load(self, command: dict[str, Any]) -> None:
        engine = PGEngine.from_connection_string(command["url"].replace("postgresql://", "postgresql+psycopg://"))
        engine.init_vectorstore_table(_LANGCHAIN, vector_size=command["dimension"], overwrite_existing=True)
        contents = texts(command["corpus"])
        rows = (
            (_uuid(number), content, _literal(vector), json.dumps({"number": number}))
            for number, (content, vector) in enumerate(zip(contents, np.load(command["vectors"]), strict=True))
        )
        columns = "langchain_id, content, embedding, langchain_metadata"
        _copy(command["url"], _LANGCHAIN, columns, rows)
        embeddings = KnownLangChain(Known(command))
        self._store = LangChainStore.create_sync(engine, embeddings, _LANGCHAIN, k=TOP)
        self._documents = [
            Document(page_content=text, metadata={"number": number}) for number, text in enumerate(contents)
        ]
        self._compose()

    def _compose(self) -> None:
        keyword = BM25Retriever.from_documents(self._documents, k=TOP)
        nearest = self._store.as_retriever(search_kwargs={"k": TOP})
        self._retriever = EnsembleRetriever(retrievers=[keyword, nearest], weights=[0.5, 0.5])

    def ask(self, question: str, number: int) -> Sequence[int]:  # noqa: ARG002  the question's vector is found by its text
        return [int(document.metadata["number"]) for document in self._retriever.invoke(question)[:TOP]]

    def add(self, text: str) -> None:
        metadata = {"number": len(self._documents)}
        self._store.add_texts([text], [metadata])
        self._documents.append(Document(page_content=text, metadata=metadata))
        self._compose()


class KnownLlamaIndex(MockEmbedding):
    """Known vectors as LlamaIndex takes them."""

    _known: Any = None

    def _get_query_embedding(self, query: str) -> list[float]:
        found: list[float] = self._known.vector(query)
        return found

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_query_embedding(text)


class LlamaIndexPostgres:
    """PGVectorStore's own hybrid mode: ts_rank and cosine, in the database."""

    def load(self, command: dict[str, Any]) -> None:
        url = urlsplit(command["url"])
        store = LlamaIndexStore.from_params(
            host=url.hostname, port=str(url.port), database=url.path[1:], user=url.username, password=url.password,
            table_name=_LLAMA_INDEX, embed_dim=command["dimension"], hybrid_search=True,
        )  # fmt: skip
        store._initialize()  # noqa: SLF001  otherwise the first insertion makes the table
        self._nodes = [TextNode(id_=str(number), text=text) for number, text in enumerate(texts(command["corpus"]))]
        if not _filled(command["url"], f"data_{_LLAMA_INDEX}"):  # by the other peer that uses it
            rows = (
                (node.text, json.dumps(node_to_metadata_dict(node, remove_text=True)), node.id_, _literal(vector))
                for node, vector in zip(self._nodes, np.load(command["vectors"]), strict=True)
            )
            _copy(command["url"], f"data_{_LLAMA_INDEX}", "text, metadata_, node_id, embedding", rows)
        embedding = KnownLlamaIndex(embed_dim=command["dimension"])
        embedding._known = Known(command)  # noqa: SLF001  a private attribute is what pydantic lets alone
        self._index = VectorStoreIndex.from_vector_store(store, embed_model=embedding)
        self._compose()

    def _compose(self) -> None:
        self._retriever: Any = self._index.as_retriever(
            vector_store_query_mode="hybrid", similarity_top_k=TOP, sparse_top_k=TOP
        )

    def ask(self, question: str, number: int) -> Sequence[int]:  # noqa: ARG002  as above
        return [int(found.node.node_id) for found in self._retriever.retrieve(question)[:TOP]]

    def add(self, text: str) -> None:
        node = TextNode(id_=str(len(self._nodes)), text=text)
        self._nodes.append(node)
        self._index.insert_nodes([node])
        self._compose()


class LlamaIndexFusion(LlamaIndexPostgres):
    """QueryFusionRetriever over bm25s in memory and PGVectorStore, by reciprocal ranks."""

    def _compose(self) -> None:
        stemmer = Stemmer.Stemmer("english")
        keyword = BM25SRetriever.from_defaults(nodes=self._nodes, similarity_top_k=TOP, stemmer=stemmer)
        nearest = self._index.as_retriever(similarity_top_k=TOP)
        self._retriever = QueryFusionRetriever(
            [nearest, keyword], llm=MockLLM(), mode="reciprocal_rerank", similarity_top_k=TOP, num_queries=1,
            use_async=False,
        )  # fmt: skip


def _uuid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def _literal(vector: Iterable[float]) -> str:
    return "[" + ",".join([f"{value:.6g}" for value in vector]) + "]"


def _copy(url: str, table: str, columns: str, rows: Iterator[tuple[object, ...]]) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        with connection.cursor() as cursor, cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        connection.execute("SET maintenance_work_mem = '512MB'")
        connection.execute(f"CREATE INDEX ON {table} USING hnsw (embedding vector_cosine_ops)")
        connection.execute(f"VACUUM ANALYZE {table}")


def _filled(url: str, table: str) -> bool:
    with psycopg.connect(url) as connection:
        return connection.execute(f"SELECT FROM {table} LIMIT 1").rowcount > 0
