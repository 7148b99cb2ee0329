"""Which endpoint follows which: a user's request, and the one before it within ten minutes.

The fold sorts the single requests it takes (plain events and server spans) by user and time, puts in what it last saw
of each user, and counts neighbours, for the day of the later one. So a request follows at most one other, whichever
batches the two came in. A late request finds what is before it only where that came with it; nothing counts twice.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast

import numpy as np
from psycopg import Connection

from trackside_modules.usage.folding.arrivals import Ints, Sightings
from trackside_modules.usage.storage import pulse

WINDOW = timedelta(minutes=10)
MOST = 20_000
"""Pairs of endpoints of an environment and day; what comes after is counted under the first of the two alone."""
REST = 0
"""Stands for every endpoint that came after the cap."""
_DAY = 24 * 3600 * 1000

_LAST = "select user_id, at, endpoint_id from usage_trail_last where env_id = %s and user_id = any(%s)"
_MOVE = """
insert into usage_trail_last (env_id, user_id, at, endpoint_id)
select %s, it.* from unnest(%s::bigint[], %s::bigint[], %s::bigint[]) as it
on conflict (env_id, user_id) do update set at = excluded.at, endpoint_id = excluded.endpoint_id
"""
_COUNT = """
select count(*) from (select from usage_follow where env_id = %s and day = %s limit %s) it
"""
_KNOWN = """
select f.from_endpoint, f.to_endpoint from usage_follow f
join unnest(%s::bigint[], %s::bigint[]) as k (from_endpoint, to_endpoint) using (from_endpoint, to_endpoint)
where f.env_id = %s and f.day = %s
"""
_ADD = """
insert into usage_follow (env_id, day, from_endpoint, to_endpoint, calls)
select %s, %s, it.* from unnest(%s::bigint[], %s::bigint[], %s::bigint[]) as it
on conflict (env_id, day, from_endpoint, to_endpoint) do update set calls = usage_follow.calls + excluded.calls
"""

Pairs = Counter[tuple[int, int]]
"""Calls by the endpoint before and the endpoint itself."""


def note(
    connection: Connection[Any],
    env_id: int,
    seen: Sightings,
    noticed: Counter[tuple[str, str]],
    now: datetime,
    *,
    most: int = MOST,
) -> None:
    """Count which request followed which, within the fold's transaction; tell `noticed` what was over the cap."""
    seen = seen.known()
    if not len(seen):
        return
    users = np.unique(seen.user).tolist()
    last = connection.execute(_LAST, (env_id, users)).fetchall()
    before = Sightings(*(np.array(column, np.int64) for column in zip(*last, strict=True))) if last else Sightings()
    pairs, ends = linked(before, seen)
    connection.execute(_MOVE, (env_id, *(column.tolist() for column in (ends.user, ends.at, ends.endpoint))))
    for day, counted in pairs.items():
        over = _add(connection, env_id, day, counted, most)
        if over:
            noticed["follow-over", ""] += over
    _forget(connection, env_id, pairs, now)


def _forget(connection: Connection[Any], env_id: int, days: Iterable[date], now: datetime) -> None:
    """No longer trust what is held of days that are over: spans may add to one that metrics had counted already."""
    starts = (datetime(day.year, day.month, day.day, tzinfo=UTC) for day in days)
    pulse.forget_past(connection, env_id, starts, now)


def linked(before: Sightings, seen: Sightings) -> tuple[dict[date, Pairs], Sightings]:
    """Return the pairs by day, and the last sighting of each user.

    Args:
        before: At most one earlier sighting of each user; counts as what came before, never as what followed.
        seen: The new ones, in any order; those of the same moment keep theirs.

    """
    user, at, endpoint = (np.concatenate(both) for both in zip(before.columns(), seen.columns(), strict=True))
    order = np.lexsort((at, user))
    user, at, endpoint, new = user[order], at[order], endpoint[order], order >= len(before)
    same = user[1:] == user[:-1]
    follows = np.flatnonzero(same & (np.diff(at) <= int(WINDOW.total_seconds() * 1000)) & new[1:]) + 1
    pairs: dict[date, Pairs] = {}
    for (day, first, then), calls in _counted(at[follows] // _DAY, endpoint[follows - 1], endpoint[follows]):
        pairs.setdefault(datetime.fromtimestamp(day * 86400, UTC).date(), Counter())[first, then] = calls
    ends = np.append(np.flatnonzero(~same), len(user) - 1)
    return pairs, Sightings(user[ends], at[ends], endpoint[ends])


def _counted(*columns: Ints) -> Iterator[tuple[tuple[int, ...], int]]:
    """Return each combination of the columns' values and how often it is there."""
    order = np.lexsort(columns)
    ordered = [column[order] for column in columns]
    new = np.ones(len(order), dtype=bool)
    new[1:] = np.any([column[1:] != column[:-1] for column in ordered], axis=0)
    firsts = np.flatnonzero(new)
    keys = zip(*(column[firsts].tolist() for column in ordered), strict=True)
    return zip(keys, np.diff(firsts, append=len(order)).tolist(), strict=True)


def _add(connection: Connection[Any], env_id: int, day: date, counted: Pairs, most: int) -> int:
    """Add pairs to a day; return how many calls had to be counted under `REST`."""
    over = 0
    row = connection.execute(_COUNT, (env_id, day, most + 1)).fetchone()
    stored = row[0] if row else 0
    if stored + len(counted) > most:
        columns = [list(column) for column in zip(*counted, strict=True)]
        known = set(
            cast("list[tuple[int, int]]", connection.execute(_KNOWN, (*columns, env_id, day), prepare=False).fetchall())
        )
        fresh = [pair for pair in counted if pair not in known and pair[1] != REST]
        for first, then in fresh[max(0, most - stored) :]:
            calls = counted.pop((first, then))
            counted[first, REST] += calls
            over += calls
    keys = sorted(counted)
    values = [[key[0] for key in keys], [key[1] for key in keys], [counted[key] for key in keys]]
    connection.execute(_ADD, (env_id, day, *values))
    return over
