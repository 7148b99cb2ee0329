"""Sets of users as roaring bitmaps: exact, small where few called, and united in C."""

from collections.abc import Iterable, Mapping

from pyroaring import BitMap, BitMap64
from sqlalchemy import select
from sqlalchemy.orm import Session

from trackside.customers.models import User

_NEAR = BitMap64([1]).serialize()[:12]
"""How every set starts whose users are all below 2**32: one map of 32 bits follows, and its number is 0."""

_MERGED = select(User.id, User.merged_into).where(User.merged_into.is_not(None))
"""Composed once: most pages ask it."""


def pack(users: Iterable[int]) -> bytes:
    """Return a set of user ids as bytes; user 0, who is nobody known, is left out."""
    found = BitMap64(users)
    found.discard(0)
    return bytes(found.serialize())


def unpack(packed: bytes) -> BitMap64:
    """Return the set that `pack` wrote."""
    return BitMap64.deserialize(packed)


def unite(packed: Iterable[bytes]) -> BitMap64:
    """Return everybody in any of the sets; those of 32 bits, as most are, are united several times as fast."""
    sets = [bytes(each) for each in packed]
    start = len(_NEAR)
    near = BitMap().union(*[BitMap.deserialize(each[start:]) for each in sets if each.startswith(_NEAR)])
    far = [BitMap64.deserialize(each) for each in sets if not each.startswith(_NEAR)]
    return BitMap64.deserialize(_NEAR + near.serialize()).union(*far)


class People:
    """Who is who: users that were merged count as the one they were merged into, whatever was written before."""

    def __init__(self, heads: Mapping[int, int]) -> None:
        self._heads = heads
        self._merged = BitMap64(heads)

    def of(self, users: BitMap64) -> BitMap64:
        """Return the set with each person once."""
        merged = users & self._merged
        if not merged:
            return users
        return (users - merged) | BitMap64(self._heads[user] for user in merged)

    def ids(self, users: BitMap64) -> BitMap64:
        """Return the set with every id that these people were ever counted under."""
        return users | BitMap64(merged for merged, head in self._heads.items() if head in users)


def people(session: Session) -> People:
    """Return who was merged into whom."""
    return People({merged: head for merged, head in session.execute(_MERGED) if head is not None})
