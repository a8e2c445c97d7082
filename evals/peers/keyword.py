"""Keyword search alone: rank-bm25, bm25s and PostgreSQL's own full text search."""

import re
from typing import Final

import psycopg
from psycopg import sql

from evals.peers.work import DEPTH, Run, Work

# What PostgreSQL and Snowball call the languages of the sets; others are searched without stemming.
_LANGUAGES: Final = {"en": "english", "es": "spanish"}

_TABLE: Final = """
CREATE TEMPORARY TABLE ts AS
SELECT n, to_tsvector({}, text) AS words FROM unnest(%s::text[]) WITH ORDINALITY AS t (text, n)
"""
# The words of the question joined by OR, as its author joins none.
_SEARCH: Final = """
SELECT n - 1
FROM ts, CAST(replace(CAST(plainto_tsquery({}, %s) AS text), '&', '|') AS tsquery) AS query
WHERE words @@ query
ORDER BY ts_rank(words, query) DESC, n
LIMIT %s
"""


def rank_bm25(work: Work, _url: str) -> Run:
    """rank-bm25's Okapi over lower-case words: it brings no tokenizer."""
    from rank_bm25 import BM25Okapi

    index = BM25Okapi([_words(text) for text in work.texts])
    found = {}
    for question, text in work.questions.items():
        scores = index.get_scores(_words(text))
        best = scores.argsort(kind="stable")[::-1][:DEPTH]
        found[question] = work.ranking(int(passage) for passage in best if scores[passage] > 0)
    return found


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def bm25s(work: Work, _url: str) -> Run:
    """bm25s with its tokenizer, and a stemmer and stop words where it has them for the language."""
    import bm25s as library
    import Stemmer

    name = _LANGUAGES.get(work.language)
    options = {"stopwords": work.language if name else None, "show_progress": False}
    stemmer = Stemmer.Stemmer(name) if name else None
    index = library.BM25()
    index.index(library.tokenize(list(work.texts), stemmer=stemmer, **options), show_progress=False)
    asked = library.tokenize(list(work.questions.values()), stemmer=stemmer, return_ids=False, **options)
    passages, scores = index.retrieve(asked, k=min(DEPTH, len(work.texts)), show_progress=False)
    return {
        question: work.ranking(int(one) for one, score in zip(of, by, strict=True) if score > 0)
        for question, of, by in zip(work.questions, passages, scores, strict=True)
    }


def ts_rank(work: Work, url: str) -> Run:
    """PostgreSQL's full text search as it comes, any of the words."""
    config = sql.Literal(_LANGUAGES.get(work.language, "simple"))
    search = sql.SQL(_SEARCH).format(config)
    with psycopg.connect(url) as connection:
        connection.execute(sql.SQL(_TABLE).format(config), [list(work.texts)])
        return {
            question: work.ranking(row[0] for row in connection.execute(search, (text, DEPTH)).fetchall())
            for question, text in work.questions.items()
        }
