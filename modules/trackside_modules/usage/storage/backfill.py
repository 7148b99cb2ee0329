"""Making hours and days anew at will, from minutes and hours that are still kept."""

from datetime import datetime
from typing import LiteralString

from trackside.runtime import Runtime
from trackside_modules.usage.storage import adding

_FIRST: LiteralString = """
select (select min(minute) from usage_minute where env_id = %(env)s),
    (select min(at) from usage_hour where env_id = %(env)s)
"""
_MARK: LiteralString = """
insert into usage_dirty (env_id, tier, at, number)
select %(env)s, tier, at, 0 from unnest(%(tiers)s::text[]) tier,
    generate_series(date_trunc(%(unit)s, %(start)s::timestamptz, 'UTC'), %(end)s::timestamptz - interval '1 us',
        %(length)s::interval) at
order by tier, at on conflict do nothing
"""


def mark(runtime: Runtime, env_id: int, start: datetime | None, end: datetime) -> int:
    """Mark every hour and day of `[start, end)` as to be made anew, where the tier below is kept; return how many.

    Without `start` it begins with the first row. The retention is kept from moving its borders meanwhile; whatever
    dies afterwards, the roll-up goes on with what is marked.
    """
    with runtime.database.pool.connection() as connection, connection.transaction():
        connection.execute("select pg_advisory_xact_lock_shared(%s)", (adding.KEEPING,))
        begin = adding.borders(connection)
        row = connection.execute(_FIRST, {"env": env_id}).fetchone()
        minute, hour = row or (None, None)
        first = min((it for it in (minute, hour) if it), default=None)
        marked = 0
        for tiers, unit, held, border in (
            (["hour", "minute"], "hour", minute, begin.minutes),
            (["day"], "day", first, begin.hours),
        ):
            if held is None:
                continue
            since = max(held, adding.moment(border), start or held)
            values = {"env": env_id, "tiers": tiers, "unit": unit, "start": since, "end": end, "length": f"1 {unit}"}
            marked += connection.execute(_MARK, values).rowcount
    return marked
