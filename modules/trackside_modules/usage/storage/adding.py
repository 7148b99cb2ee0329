"""What a fold adds to the tiers: minutes, or hours and days where the minutes are no longer kept.

Minutes make their hour and their day dirty, and the roll-up makes those anew (see `rollup`). What is older than the
minutes is added to its hour, and only the day is made anew; what is older than the hours too is added to its day. Where
a tier begins is read under a lock that the retention takes alone before it moves that border (see `retention`): no row
is written to a partition that is about to go, and no bucket is made anew from a tier that has lost a part of it.
"""

from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
from psycopg import Connection

from trackside_modules.usage.models.names import UNMATCHED
from trackside_modules.usage.storage import pulse, tables
from trackside_modules.usage.storage.columns import Times, teach
from trackside_modules.usage.storage.counts import Counts, by_endpoint, by_user, of_user
from trackside_modules.usage.storage.packs import Ints
from trackside_modules.usage.storage.tables import Table

LOCK = 0x666F6C64
"""Advisory lock of the fold; the second key is the environment."""
KEEPING = 0x6B656570
"""Advisory lock: shared by whoever writes counts, taken alone by the retention to move the borders."""
HOUR, DAY = 3600, 86_400

_BORDERS = "select tier, kept_from from usage_horizon"
_NOWHERE = "select id from usage_endpoint where env_id = %s and route = %s"
_MARK = """
insert into usage_dirty (env_id, tier, at, number) select %s, %s, it.at, %s from unnest(%s) as it (at)
on conflict (env_id, tier, at) do update set number = excluded.number
"""


class Borders(NamedTuple):
    """Since when minutes and hours are kept, in seconds since 1970; 0 where all of them are."""

    minutes: int
    hours: int


def borders(connection: Connection[Any]) -> Borders:
    """Return where the tiers begin. The caller holds `KEEPING`, or reads in one snapshot."""
    found = {tier: int(kept_from.timestamp()) for tier, kept_from in connection.execute(_BORDERS)}
    hours = found.get("hour", 0)
    return Borders(max(found.get("minute", 0), hours), hours)


def nowhere(connection: Connection[Any], env_id: int) -> list[int]:
    """Return the endpoints that stand for what does not exist."""
    return [id_ for (id_,) in connection.execute(_NOWHERE, (env_id, UNMATCHED))]


def add(connection: Connection[Any], env_id: int, counts: Counts, number: int) -> None:
    """Add `counts`, and mark what has to be made anew with the fold's number."""
    if not len(counts):
        return
    begin = borders(connection)
    minutes = counts.where(counts.at >= begin.minutes)
    _write(connection, env_id, minutes, (tables.MINUTE, tables.ENDPOINT_MINUTE, None))
    late = counts.where((counts.at < begin.minutes) & (counts.at >= begin.hours)).per(HOUR)
    _write(connection, env_id, late, (tables.HOUR, tables.ENDPOINT_HOUR, tables.USER_HOUR))
    ancient = counts.where(counts.at < begin.hours).per(DAY)
    _write(connection, env_id, ancient, (tables.DAY, tables.ENDPOINT_DAY, tables.USER_DAY))
    for tier, changed in (("hour", late), ("day", ancient)):
        if len(changed):
            pulse.forget(connection, env_id, tier, map(moment, np.unique(changed.at).tolist()))
    # The marks last: from here to the commit the roll-up of these buckets waits.
    mark(connection, env_id, "day", _starts(counts.at[counts.at >= begin.hours], DAY), number)
    mark(connection, env_id, "hour", _starts(minutes.at, HOUR), number)


def mark(connection: Connection[Any], env_id: int, tier: str, starts: Ints, number: int) -> None:
    """Mark the buckets that begin at these seconds as changed by fold `number`."""
    if len(starts):
        teach(connection)
        connection.execute(_MARK, (env_id, tier, number, Times(starts)))


def moment(seconds: int) -> datetime:
    """Return the time that is so many seconds after the start of 1970."""
    return datetime.fromtimestamp(seconds, UTC)


def _starts(at: Ints, length: int) -> Ints:
    return np.unique(at - at % length)


def _write(
    connection: Connection[Any], env_id: int, counts: Counts, families: tuple[Table, Table, Table | None]
) -> None:
    if not len(counts):
        return
    detail, endpoints, users = families
    tables.add(connection, env_id, detail, by_user(counts))
    tables.add(connection, env_id, endpoints, by_endpoint(counts))
    if users:
        tables.add(connection, env_id, users, of_user(counts, nowhere(connection, env_id)))
