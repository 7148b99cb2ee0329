"""Values of many rows hung one after the other in one: what takes psycopg long row by row, numpy reads as it lies.

`run` selects numbers, which `numbers` reads; `hung` selects packed values, which `histograms` and `united` read.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from pyroaring import BitMap64
from sqlalchemy import BigInteger, LargeBinary, cast, func, literal_column
from sqlalchemy.dialects.postgresql import aggregate_order_by

from trackside_modules.usage.storage import reach
from trackside_modules.usage.storage.packs import Ints, joined

_NOTHING = literal_column("''::bytea", LargeBinary)


def run(column: Any, order: Any = None) -> Any:
    """Return a column of numbers hung one after the other, in an order where one is given."""
    value = func.int8send(cast(column, BigInteger))
    none = _NOTHING if order is None else aggregate_order_by(_NOTHING, order)
    return func.string_agg(value, none, type_=LargeBinary)


def numbers(data: bytes | None) -> Ints:
    """Return what `run` selected."""
    return np.frombuffer(data or b"", dtype=">i8").astype(np.int64)


def hung(column: Any) -> tuple[Any, Any]:
    """Return two columns: a group's packed values one after the other, and their lengths as 32-bit numbers."""
    sizes = func.int4send(func.octet_length(column))
    return func.string_agg(column, _NOTHING, type_=LargeBinary), func.string_agg(sizes, _NOTHING, type_=LargeBinary)


def histograms(pairs: Sequence[tuple[Any, Any]]) -> Ints:
    """Return a row of counts (see `packs`) for each group, from what `hung` selected of it."""
    lengths = [np.frombuffer(sizes, dtype=">i4") for _, sizes in pairs]
    owners = np.repeat(np.arange(len(pairs)), [len(each) for each in lengths])
    data = b"".join(bytes(packs) for packs, _ in pairs)
    return joined(data, np.concatenate(lengths) if lengths else [], owners, len(pairs))


def united(data: bytes, lengths: bytes) -> BitMap64:
    """Return everybody in any of the sets that were hung one after the other."""
    packed, ends = bytes(data), np.cumsum(np.frombuffer(lengths, dtype=">i4")).tolist()
    return reach.unite(packed[start:end] for start, end in pairwise([0, *ends]))
