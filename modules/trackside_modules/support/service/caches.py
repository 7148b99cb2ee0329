"""Everything that is made of events: the interaction as it is now, its links, its words, its metrics.

A history is gone through once, for all of them. `CACHES` are called with whole histories: after each piece of work and
by the rebuild to replace what they have of those interactions, and with `new` where they have nothing, which is half
the work. A new cache is one line here.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from sqlalchemy.orm import Session

from trackside_modules.support.clocks.walks import Walk, walk
from trackside_modules.support.history import Event
from trackside_modules.support.service import metrics, searching, states

Walks = Mapping[int, Walk]
"""What happened to some interactions, by their number."""


class Cache(Protocol):
    """Makes its rows of the interactions in `walks` anew; with `new` it has none of them."""

    def __call__(self, session: Session, walks: Walks, *, new: bool) -> None:
        """Write them."""
        ...


# words last: who writes one that another is writing waits for that one's commit
CACHES: tuple[Cache, ...] = (states.write, metrics.write, searching.write)


def write(session: Session, histories: Mapping[int, Sequence[Event]]) -> None:
    """Make all caches of the interactions in `histories` anew."""
    keep(session, {number: walk(events) for number, events in histories.items()})


def keep(session: Session, walks: Walks, *, new: bool = False) -> None:
    """Write all caches of the interactions in `walks`."""
    for cache in CACHES:
        cache(session, walks, new=new)
