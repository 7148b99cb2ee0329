"""How the tiers stand: what each holds, since when, and what waits to be made anew; for shell, doctor and metrics."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from trackside.doctor import Finding
from trackside.metrics import Gauge
from trackside.runtime import Runtime
from trackside_modules.usage.models import UsageDay, UsageHorizon, UsageHour, UsageMinute
from trackside_modules.usage.quota import door as quota_door
from trackside_modules.usage.storage.partitions import TABLES
from trackside_modules.usage.storage.tiers import LENGTHS, Unit

OVERDUE = timedelta(minutes=30)
"""How long after its end a bucket that is still dirty shows that nobody makes it."""

_TABLE = text("""
select count(*), coalesce(sum(pg_stat_get_live_tuples(i.inhrelid)), 0)::bigint,
    coalesce(sum(pg_total_relation_size(i.inhrelid)), 0)::bigint
from pg_inherits i where i.inhparent = any(cast(:tables as regclass[]))
""")
_DIRTY = text("""
select tier, count(*), min(at),
    count(*) filter (where at + case tier when 'day' then interval '1 day' else interval '1 hour' end <= :overdue)
from usage_dirty group by tier
""")
_TIMES = {"minute": UsageMinute.minute, "hour": UsageHour.at, "day": UsageDay.at}


@dataclass(frozen=True, slots=True)
class Stand:
    """A tier: its rows (as PostgreSQL estimates), bytes on disk, partitions, first time, and dirty buckets."""

    tier: Unit
    rows: int
    size_bytes: int
    partitions: int
    oldest: datetime | None
    kept_from: datetime | None
    """What is older went with the retention; None where nothing ever did."""
    dirty: int = 0
    dirty_since: datetime | None = None
    overdue: int = 0
    """Dirty buckets that ended more than half an hour ago."""


def stands(session: Session, now: datetime) -> list[Stand]:
    """Return how each tier stands, the finest first."""
    kept = {row.tier: row.kept_from for row in session.execute(select(UsageHorizon.tier, UsageHorizon.kept_from))}
    dirty = {tier: tuple(rest) for tier, *rest in session.execute(_DIRTY, {"overdue": now - OVERDUE})}
    found: list[Stand] = []
    for unit, tables in TABLES.items():
        partitions, rows, size = session.execute(_TABLE, {"tables": list(tables)}).one()
        oldest = session.scalar(select(func.min(_TIMES[unit])))
        held = (unit, rows, size, partitions, oldest, kept.get(unit))
        found.append(Stand(*held, *dirty.get(unit, (0, None, 0))))
    return found


def overdue(session: Session, now: datetime) -> tuple[int, int, float]:
    """Return how many buckets are dirty, how many of them are overdue, and the seconds since the first was over."""
    rows = session.execute(_DIRTY, {"overdue": now - OVERDUE}).all()
    ends = [since + LENGTHS["day" if tier == "day" else "hour"] for tier, _, since, late in rows if late]
    waited = max([(now - end).total_seconds() for end in ends], default=0.0)
    return sum(row[1] for row in rows), sum(row[3] for row in rows), waited


def gauges(runtime: Runtime, session: Session) -> list[Gauge]:
    """Return the figures of the roll-up, and of rate limits. Pages stay exact while it is behind, only slower."""
    dirty, late, waited = overdue(session, runtime.clock.now())
    return [
        Gauge("usage_dirty_buckets", "Hours and days to be made anew, the ones going on included", dirty),
        Gauge("usage_overdue_buckets", "Hours and days that nobody made within half an hour", late, behind=late > 0),
        Gauge("usage_rollup_lag_seconds", "How long the first overdue bucket has waited", waited),
        *quota_door.gauges(runtime),
    ]


def check(runtime: Runtime) -> Finding:
    """Say whether hours and days are made, and old minutes can go."""
    with runtime.database.session() as session:
        dirty, late, waited = overdue(session, runtime.clock.now())
    if not late:
        return Finding("usage tiers", "ok", f"Hours and days are made; {dirty} buckets are going on or about to be.")
    words = f"{late} hours and days wait to be made, the first for {waited / 3600:.1f} h"
    fix = "Run `trackside worker rollups` (one is enough) and `trackside schedule`, or `trackside usage backfill`."
    return Finding("usage tiers", "warning", f"{words}: pages are exact but slow, and old minutes are kept.", fix)
