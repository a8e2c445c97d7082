"""Vectors as pgvector takes them in binary: no digits to write and to read."""

from dataclasses import dataclass
from struct import pack

import numpy as np
from numpy.typing import NDArray
from psycopg import Cursor
from psycopg.adapt import Dumper
from psycopg.pq import Format
from psycopg.rows import TupleRow

from minirag.runtime.db import Connection


@dataclass(frozen=True, slots=True)
class HalfVector:
    """A parameter that the statement casts to halfvec."""

    values: NDArray[np.float32]


class _HalfVectorDumper(Dumper):
    """Of no type, so that the server takes it for what it is cast to; which number halfvec has, differs."""

    format = Format.BINARY
    oid = 0

    def dump(self, obj: HalfVector) -> bytes:
        return pack(">HH", len(obj.values), 0) + obj.values.astype(">f2").tobytes()


def cursor(tx: Connection) -> Cursor[TupleRow]:
    """A binary cursor that takes HalfVector; a connection knows only what was registered before it was opened."""
    cursor = tx.cursor(binary=True)
    cursor.adapters.register_dumper(HalfVector, _HalfVectorDumper)
    return cursor
