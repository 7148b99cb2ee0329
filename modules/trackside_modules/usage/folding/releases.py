"""Versions of services: noted when first seen, and shown as marks on every time chart."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from psycopg import Connection
from sqlalchemy import Row, bindparam, select
from sqlalchemy.orm import Session

from trackside.compiled import Compiled
from trackside_modules.usage.ingest.batch import Release
from trackside_modules.usage.models import UsageVersion

MOST = 2000
"""Versions of an environment; a client that makes one up for each request fills no more than that."""

_NOTE = """
insert into usage_version (env_id, service, version, first_seen_at)
select %(env)s, it.service, it.version, %(at)s
from unnest(%(services)s::text[], %(versions)s::text[]) as it (service, version)
where (select count(*) from usage_version where env_id = %(env)s) < %(most)s
on conflict (env_id, service, version) do update
set first_seen_at = least(usage_version.first_seen_at, excluded.first_seen_at)
where excluded.first_seen_at < usage_version.first_seen_at
"""


def note(connection: Connection[Any], env_id: int, seen: Iterable[tuple[datetime, Release]]) -> None:
    """Remember when each version was first seen, given when a batch that names it arrived."""
    first: dict[Release, datetime] = {}
    for at, release in seen:
        first[release] = min(at, first.get(release, at))
    for at in set(first.values()):
        named = sorted((it.service, it.version) for it, when in first.items() if when == at)
        values = {"env": env_id, "at": at, "most": MOST}
        values |= {"services": [service for service, _ in named], "versions": [version for _, version in named]}
        connection.execute(_NOTE, values)


_FIRST_SEEN = Compiled(
    select(*UsageVersion.__table__.c)
    .where(UsageVersion.env_id == bindparam("env"))
    .where(UsageVersion.first_seen_at >= bindparam("start"), UsageVersion.first_seen_at < bindparam("end"))
    .order_by(UsageVersion.first_seen_at.desc())
    .limit(50)
)


def first_seen(session: Session, env_id: int, start: datetime, end: datetime) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return the versions first seen in `[start, end)`, the newest 50, the newest first: rows of `usage_version`."""
    return _FIRST_SEEN(session, env=env_id, start=start, end=end)
