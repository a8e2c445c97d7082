"""What the index takes on disk while documents are replaced over and over.

Each step replaces one document and then merges as the worker does. The pace is steady; autovacuum looks every second
instead of every minute, because what takes a workspace days is done here in minutes.
"""

from time import perf_counter, sleep
from typing import Final

import numpy as np
import psycopg

from bench.engine import LEXICAL_TABLES, Merging
from bench.filled import CONTENT, compact
from bench.results import Results, say
from bench.tables import number, total_bytes
from bench.texts import SEED, Texts
from evals.store import Store

# Bytes on disk of the index, by what they are of.
_RELATIONS: Final = """
SELECT CASE c.relkind WHEN 'i' THEN 'indexes' WHEN 't' THEN 'long values' ELSE 'rows' END, sum(pg_relation_size(c.oid))
FROM pg_class t
JOIN pg_class c ON c.oid IN (t.oid, t.reltoastrelid)
    OR c.oid IN (SELECT indexrelid FROM pg_index WHERE indrelid IN (t.oid, t.reltoastrelid))
WHERE t.oid = ANY(%s::text[]::regclass[])
GROUP BY 1
ORDER BY 1
"""

_LENGTHS: Final = (10, 50)  # chunks of a document, by turns
_NAP_SECONDS: Final = 1
_ROUNDS: Final = 5  # times that all of it is replaced
_ROUND_SECONDS: Final = 40.0  # at least, for one of them
_LOOK_SECONDS: Final = 2.0
_MOST: Final = 100.0  # % of the text


def measure(results: Results, store: Store, texts: Texts, size: int) -> None:
    """Fill a workspace of `size` chunks, replace them `_ROUNDS` times, and look at the tables meanwhile."""
    say(f"{size:,} chunks: documents replaced {_ROUNDS} times over, at least {_ROUND_SECONDS:.0f} s each time")
    workspace = store.workspace()
    merging = Merging(workspace)
    series: list[tuple[float, float]] = []
    with psycopg.connect(store.postgres.superuser_url, autocommit=True) as superuser:
        superuser.execute(f"ALTER SYSTEM SET autovacuum_naptime = {_NAP_SECONDS}")
        superuser.execute("SELECT pg_reload_conf()")
        # What other parts removed lies in the tables still, as free space that is none of this one's.
        compact(superuser)
        documents = [
            analyzed
            for length in _LENGTHS
            for analyzed in texts.documents(size // len(_LENGTHS), passages=length, seed=SEED + length)
        ]
        ids = []
        for analyzed in documents:
            ids.append(workspace.add(analyzed.document, analyzed=analyzed.terms))
            merging.tidy()
        live = sum(analyzed.size for analyzed in documents)
        began = looked = perf_counter()
        steps = _ROUNDS * len(documents)
        rng = np.random.default_rng(SEED)
        merges = len(merging.merges)
        for step in range(steps):
            one = int(rng.integers(len(documents)))
            other = documents[one]
            workspace.remove(ids[one])
            ids[one] = workspace.add(other.document, analyzed=other.terms)
            merging.tidy()
            now = perf_counter()
            if now - looked >= _LOOK_SECONDS or step == steps - 1:
                series.append((step / len(documents), 100 * total_bytes(superuser, LEXICAL_TABLES) / live))
                looked = now
            sleep(max(0.0, began + (step + 1) * _ROUND_SECONDS * _ROUNDS / steps - perf_counter()))
        took = perf_counter() - began
        relations = superuser.execute(_RELATIONS, (list(LEXICAL_TABLES),)).fetchall()
        content = number(superuser, CONTENT)
        superuser.execute("ALTER SYSTEM RESET autovacuum_naptime")
        superuser.execute("SELECT pg_reload_conf()")
    results.series[f"churn {size}"] = series
    late = [share for at, share in series if at >= 1]
    results.fact("churn", size, "replaced", _ROUNDS * size / took, "chunks/s")
    results.fact("churn", size, "index on disk, median", float(np.median(late)), "% of the text", most=_MOST)
    results.fact("churn", size, "index on disk, largest", max(late), "% of the text", most=_MOST)
    for name, taken in relations:
        results.fact("churn", size, f"at the end: {name}", 100 * float(taken) / live, "% of the text")
    results.fact("churn", size, "at the end: what it holds", 100 * content / live, "% of the text")
    results.fact("churn", size, "merges", len(merging.merges) - merges, "")
    results.fact("churn", size, "longest merge", max(merging.merges, default=0.0), "s")
