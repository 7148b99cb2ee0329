"""Versions of services: noted when first seen, and shown as marks on every time chart."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from psycopg import Connection
from sqlalchemy import select
from sqlalchemy.orm import Session

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


def first_seen(session: Session, env_id: int, start: datetime, end: datetime, limit: int = 50) -> list[UsageVersion]:
    """Return the versions first seen in `[start, end)`, the newest first."""
    query = select(UsageVersion).where(
        UsageVersion.env_id == env_id, UsageVersion.first_seen_at >= start, UsageVersion.first_seen_at < end
    )
    return list(session.scalars(query.order_by(UsageVersion.first_seen_at.desc()).limit(limit)))
