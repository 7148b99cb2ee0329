"""Columns of numbers and bytes on their way into PostgreSQL, as binary arrays.

psycopg would turn each number into bytes by itself; numpy does that for a whole column at once.
"""

from typing import Any

import numpy as np
from psycopg import Connection
from psycopg.adapt import Dumper
from psycopg.pq import Format

from trackside_modules.usage.storage.packs import Ints

_INT8, _INT8S, _TIME, _TIMES, _BYTEA, _BYTEAS = 20, 1016, 1184, 1185, 17, 1001
_EPOCH = 946_684_800
"""PostgreSQL counts microseconds from the start of 2000."""
_ELEMENT = np.dtype([("size", ">i4"), ("value", ">i8")])


class Numbers:
    """A `bigint[]`."""

    __slots__ = ("values",)

    def __init__(self, values: Ints) -> None:
        self.values = values


class Times:
    """A `timestamptz[]` of whole seconds since 1970."""

    __slots__ = ("values",)

    def __init__(self, values: Ints) -> None:
        self.values = values


class Blobs:
    """A `bytea[]`."""

    __slots__ = ("values",)

    def __init__(self, values: list[bytes]) -> None:
        self.values = values


def _header(oid: int, size: int) -> bytes:
    return np.array([1, 0, oid, size, 1], dtype=">i4").tobytes()


def _fixed(oid: int, values: Ints) -> bytes:
    elements = np.empty(len(values), dtype=_ELEMENT)
    elements["size"], elements["value"] = 8, values
    return _header(oid, len(values)) + elements.tobytes()


class _Numbers(Dumper):
    format, oid = Format.BINARY, _INT8S

    def dump(self, obj: Numbers) -> bytes:
        return _fixed(_INT8, obj.values)


class _Times(Dumper):
    format, oid = Format.BINARY, _TIMES

    def dump(self, obj: Times) -> bytes:
        return _fixed(_TIME, (obj.values - _EPOCH) * 1_000_000)


class _Blobs(Dumper):
    format, oid = Format.BINARY, _BYTEAS

    def dump(self, obj: Blobs) -> bytes:
        parts: list[bytes] = [_header(_BYTEA, len(obj.values))]
        for value in obj.values:
            parts += (len(value).to_bytes(4, "big"), value)
        return b"".join(parts)


def teach(connection: Connection[Any]) -> None:
    """Let statements of this connection take `Numbers`, `Times` and `Blobs`."""
    for kind, dumper in ((Numbers, _Numbers), (Times, _Times), (Blobs, _Blobs)):
        connection.adapters.register_dumper(kind, dumper)
