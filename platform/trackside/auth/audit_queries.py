"""The audit log as it is read: filtered, the newest first."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from trackside.auth.models import AuditEntry
from trackside.errors import InputError

EXPORT_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """What to show; empty shows all."""

    who: str = ""
    """Part of the actor's name."""
    action: str = ""
    object_kind: str = ""
    object_id: str = ""
    since: date | None = None
    until: date | None = None
    """The last day shown."""


def entries(session: Session, wanted: AuditFilter, limit: int, before: int | None = None) -> list[AuditEntry]:
    """Return up to `limit` entries older than the entry numbered `before`."""
    query = _where(select(AuditEntry), wanted).order_by(AuditEntry.id.desc()).limit(limit)
    return list(session.scalars(query.where(AuditEntry.id < before) if before is not None else query))


def every_entry(session: Session, wanted: AuditFilter) -> Iterator[AuditEntry]:
    """Yield all entries, a thousand at a time, so that an export of any size takes no memory."""
    before: int | None = None
    while found := entries(session, wanted, EXPORT_AT_ONCE, before):
        yield from found
        before = found[-1].id
        session.expunge_all()


def actions(session: Session) -> list[str]:
    """Return every action there is, without reading the whole log: from one to the next in the index."""
    found: list[str] = []
    while True:
        after = select(AuditEntry.action).order_by(AuditEntry.action).limit(1)
        action = session.scalar(after.where(AuditEntry.action > found[-1]) if found else after)
        if action is None:
            return found
        found.append(action)


def day(raw: str, field: str) -> date | None:
    """Return the day in `raw` (`2026-11-22`), None for nothing; raises InputError naming `field`."""
    if not raw:
        return None
    try:
        found = date.fromisoformat(raw)
    except ValueError:
        found = date.min
    if not 2000 <= found.year <= 9000:
        problem = "Write a day like 2026-11-22."
        raise InputError(f"{field}: {problem}", {field: problem})
    return found


def _where(query: Select[AuditEntry], wanted: AuditFilter) -> Select[AuditEntry]:
    if wanted.who:
        query = query.where(AuditEntry.actor.icontains(wanted.who, autoescape=True))
    for column, value in (
        (AuditEntry.action, wanted.action),
        (AuditEntry.object_kind, wanted.object_kind),
        (AuditEntry.object_id, wanted.object_id),
    ):
        if value:
            query = query.where(column == value)
    if wanted.since:
        query = query.where(AuditEntry.at >= _midnight(wanted.since))
    if wanted.until:
        query = query.where(AuditEntry.at < _midnight(wanted.until) + timedelta(days=1))
    return query


def _midnight(on: date) -> datetime:
    return datetime.combine(on, time(), UTC)
