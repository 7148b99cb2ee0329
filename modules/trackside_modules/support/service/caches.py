"""Everything that is made of events: the interaction as it is now, its links, its words, its metrics.

`CACHES` are called with whole histories, after each piece of work and by the rebuild; each replaces what it has of
those interactions. A history is gone through once, for all of them. A new cache is one line here.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from trackside_modules.support.clocks.walks import Walk, walk
from trackside_modules.support.history import Event
from trackside_modules.support.service import metrics, searching, states

Histories = Mapping[int, Sequence[Event]]
"""All events of some interactions, by their number."""
Cache = Callable[[Session, Mapping[int, Walk], datetime], None]
"""`(session, walks, now)`: makes its rows of those interactions anew."""

# words last: who writes one that another is writing waits for that one's commit
CACHES: tuple[Cache, ...] = (metrics.write, searching.write)


def write(session: Session, histories: Histories, *, now: datetime) -> None:
    """Make all caches of the interactions in `histories` anew."""
    walks = {number: walk(events) for number, events in histories.items()}
    states.write(session, {number: each.state for number, each in walks.items()})
    for cache in CACHES:
        cache(session, walks, now)
