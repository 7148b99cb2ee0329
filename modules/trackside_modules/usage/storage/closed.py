"""What a process holds of hours, days and weeks that are over: what was read of them, for as long as they are the same.

A page of a quarter reads some forty remembered buckets, and the next one the same ones again: they change when an hour
is over, or when something late falls into one of them. Each bucket says when it was made (see `memory`), in the
statement that every page begins with; so what was read of a set of buckets holds for as long as all of them are as they
were, in every process, without anybody telling anybody. What is going on or dirty is never held here.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import fields, is_dataclass, replace
from threading import Lock
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
from pyroaring import BitMap64
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from trackside_modules.usage.storage.memory import Plan

Found = TypeVar("Found")
MOST_BYTES = 64 << 20
"""What a process holds of a database, about."""


class Shelf:
    """What a process holds of a database: the least recently asked for goes first where it is too much."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._most = most
        self._found: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    @property
    def size(self) -> int:
        """About how many bytes are held."""
        return self._bytes

    def take(self, key: Hashable) -> Any:
        """Return what is held, None where nothing is."""
        with self._lock:
            kept = self._found.get(key)
            if kept is None:
                return None
            self._found.move_to_end(key)
            return kept[0]

    def keep(self, key: Hashable, found: Any) -> None:
        """Hold something, and let go of what nobody asked for longest."""
        size = weight(key) + weight(found)
        with self._lock:
            self._bytes += size - self._found.pop(key, (None, 0))[1]
            self._found[key] = (found, size)
            while self._bytes > self._most:
                self._bytes -= self._found.popitem(last=False)[1][1]


_SHELVES: WeakKeyDictionary[Engine, Shelf] = WeakKeyDictionary()


def of(session: Session) -> Shelf:
    """Return what this process holds of the session's database."""
    return _SHELVES.setdefault(session.connection().engine, Shelf())


def held(session: Session, what: Hashable, planned: Plan, read: Callable[[], Found]) -> Found:
    """Return what `read` finds in the buckets that a plan takes from memory; nobody may change it.

    Args:
        session: One that only reads.
        what: What is read and of whom, as one value: the same of the same buckets is the same answer.
        planned: Which buckets, and when each was made.
        read: Reads it, of nothing but those buckets: from what is remembered, or the tiers that it was made of.

    """
    shelf, key = of(session), (what, planned.made)
    found: Found | None = shelf.take(key)
    if found is None:
        found = read()
        shelf.keep(key, found)
    return found


def pieces(session: Session, what: Hashable, planned: Plan, read: Callable[[Plan], Found]) -> list[Found]:
    """Return what `read` finds in the buckets that a plan takes from memory (`held`), and in the rest of it."""
    found: list[Found] = []
    if planned.kept:
        over = replace(planned, parts=[])
        found.append(held(session, what, planned, lambda: read(over)))
    if planned.parts or not found:
        found.append(read(Plan(parts=planned.parts)))
    return found


def weight(found: Any) -> int:
    """Return about how many bytes a value takes."""
    if isinstance(found, np.ndarray):
        return 100 + int(found.nbytes)
    if isinstance(found, BitMap64):
        return 200 + 8 * min(len(found), 1 << 13)
    if isinstance(found, dict):
        return 200 + sum(100 + weight(value) for value in found.values())  # pyright: ignore[reportUnknownVariableType]
    if isinstance(found, (list, tuple)):
        return 100 + sum(map(weight, found))  # pyright: ignore[reportUnknownArgumentType]
    if is_dataclass(found):
        return 100 + sum(weight(getattr(found, each.name)) for each in fields(found))
    return 60 + (len(found) if isinstance(found, (bytes, str)) else 0)
