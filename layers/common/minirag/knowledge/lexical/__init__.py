"""Exact BM25 inside ordinary PostgreSQL tables; readable as a library of its own.

    analyzer    text -> terms
    segment     chunks' terms -> a packed, immutable inverted index, its pages, and the merge of several
    index       what is written: one segment for each insertion, tombstones for what is removed
    merge       many small segments -> one, without what was removed
    view        a snapshot's chunks, numbered through its segments; what was removed, what a question may find
    search      postings of a question's terms -> the best chunks
    bm25        the scores

A workspace's index is a set of segments, as in Lucene: each immutable, each found by what commits it, merged by size.
Unlike there, segments are rows under the tenant's row-level security, and one transaction with the document itself.
"""
