"""Nearest chunks by cosine: packed signatures are scanned in the process, exact vectors decide in the database.

    signatures  the signs of vectors, a bit a dimension: what is nearest by them
    store       vectors in rows of their own, their signatures with the segments of the index
    search      a question's vector -> the best chunks

The signatures follow the segments of `lexical`: they are committed with them, numbered, merged, removed and filtered
as they are, so that a search by meaning sees the snapshot that a search by words sees. Vectors of several models may
lie side by side.
"""
