"""Everything that is made of events: the interaction as it is now, its links, its words, its metrics.

`CACHES` are called with whole histories, after each piece of work and by the rebuild; each replaces what it has of
those interactions. A new cache is one line here.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from trackside_modules.support.history import Event, state_of
from trackside_modules.support.service import metrics, searching, states

Histories = Mapping[int, Sequence[Event]]
"""All events of some interactions, by their number."""
Cache = Callable[[Session, Histories, datetime], None]
"""`(session, histories, now)`: makes its rows of those interactions anew."""

CACHES: tuple[Cache, ...] = (searching.write, metrics.write)


def write(session: Session, histories: Histories, *, now: datetime) -> None:
    """Make all caches of the interactions in `histories` anew."""
    states.write(session, {number: state_of(events) for number, events in histories.items()})
    for cache in CACHES:
        cache(session, histories, now)
