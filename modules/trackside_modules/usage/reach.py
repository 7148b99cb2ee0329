"""Sets of users as roaring bitmaps: exact, small where few called, and united in C."""

from collections.abc import Iterable

from pyroaring import BitMap64

EMPTY: bytes = BitMap64().serialize()


def pack(users: Iterable[int]) -> bytes:
    """Return a set of user ids as bytes; user 0, who is nobody known, is left out."""
    found = BitMap64(users)
    found.discard(0)
    return bytes(found.serialize())


def unpack(packed: bytes) -> BitMap64:
    """Return the set that `pack` wrote."""
    return BitMap64.deserialize(packed)


def unite(packed: Iterable[bytes]) -> BitMap64:
    """Return everybody in any of the sets."""
    return BitMap64().union(*map(BitMap64.deserialize, packed))
