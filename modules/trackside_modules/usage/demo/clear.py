"""What the demo leaves in usage, taken away again: everything its service ever sent, waiting or counted."""

from datetime import timedelta
from typing import Any

import msgspec
from psycopg import Connection, sql
from sqlalchemy import ColumnElement, Select, Table, delete, func, not_, or_, select, update
from sqlalchemy.orm import Session

from trackside.db import Base
from trackside.demo import SERVICE
from trackside.runtime import Runtime
from trackside.workspace import WorkspaceFact, environments
from trackside_modules.usage.demo import limits
from trackside_modules.usage.demo.history import FACT
from trackside_modules.usage.ingest.batch import unpack
from trackside_modules.usage.models import (
    UsageBatch,
    UsageCrowd,
    UsageEndpoint,
    UsageError,
    UsageErrorHour,
    UsageErrorSum,
    UsageFailure,
    UsageFold,
    UsageInbox,
    UsagePiece,
    UsagePulse,
    UsageRemembered,
    UsageStream,
    UsageSum,
    UsageTurn,
    UsageWarning,
)
from trackside_modules.usage.storage import adding, pulse, rollup, tables
from trackside_modules.usage.storage.adding import LOCK
from trackside_modules.usage.storage.counts import of_user

_AT_ONCE = 500
_ENDPOINT_COLUMNS = ("endpoint_id", "from_endpoint", "to_endpoint")
_REMEMBERED = (UsagePulse, UsageRemembered, UsageSum, UsageCrowd, UsageFailure, UsageTurn, UsageErrorSum, UsagePiece)
_BULK = {"synchronize_session": False}
_DAYS = "select distinct date_trunc('day', at) from {} where env_id = %s"


def clear(runtime: Runtime, session: Session) -> None:
    """Remove the demo's batches, counts and endpoints in every environment; the live counters follow within seconds."""
    limits.clear(session)
    for environment in environments(session):
        # The fold's own lock: otherwise it may be adding what we are about to remove.
        session.execute(select(func.pg_advisory_xact_lock(LOCK, environment.id)))
        session.execute(select(func.pg_advisory_xact_lock(pulse.LOCK, environment.id)))
        _clear_inbox(session, environment.id)
        _clear_counts(session, environment.id)
    session.execute(delete(WorkspaceFact).where(WorkspaceFact.key == FACT), execution_options=_BULK)


def _clear_counts(session: Session, env_id: int) -> None:
    ours = select(UsageEndpoint.id).where(UsageEndpoint.env_id == env_id, UsageEndpoint.service == SERVICE)
    if session.scalar(ours.limit(1)) is None:
        return
    groups = select(UsageError.id).where(UsageError.env_id == env_id)
    for statement in (
        *(delete(table).where(table.c.env_id == env_id, told) for table, told in _told_by(ours)),
        delete(UsageErrorHour).where(UsageErrorHour.env_id == env_id, not_(UsageErrorHour.error_id.in_(groups))),
        delete(UsageEndpoint).where(UsageEndpoint.id.in_(ours)),
        *(delete(table).where(table.env_id == env_id) for table in _REMEMBERED),  # made again of what is left
        delete(UsageWarning).where(UsageWarning.env_id == env_id, UsageWarning.about == SERVICE),
        # A number that Redis has not heard of makes it count anew from what is left.
        update(UsageFold).where(UsageFold.env_id == env_id).values(number=UsageFold.number + 1),
    ):
        session.execute(statement, execution_options=_BULK)
    driver: Any = session.connection().connection.driver_connection
    _count_users_anew(driver, env_id)


def _told_by(ours: Select[int]) -> list[tuple[Table, ColumnElement[bool]]]:
    """Return the tables whose rows name an endpoint or a service, and which of their rows are the demo's."""
    found: list[tuple[Table, ColumnElement[bool]]] = []
    for table in Base.metadata.tables.values():
        if not table.name.startswith("usage_") or table.name == UsageEndpoint.__tablename__:
            continue
        told: list[ColumnElement[bool]] = [table.c[name].in_(ours) for name in _ENDPOINT_COLUMNS if name in table.c]
        if "service" in table.c:
            told.append(table.c.service == SERVICE)
        if told:
            found.append((table, or_(*told)))
    return found


def _count_users_anew(connection: Connection[Any], env_id: int) -> None:
    """Make the rows by user anew from what is left by endpoint and user: they do not tell whose service was called."""
    nowhere = adding.nowhere(connection, env_id)
    for detail, users in ((tables.HOUR, tables.USER_HOUR), (tables.DAY, tables.USER_DAY)):
        days = sql.SQL(_DAYS).format(sql.Identifier(users.name))
        for (day,) in connection.execute(days, (env_id,)).fetchall():
            bucket = tables.Bucket(env_id, day, day + timedelta(days=1))
            tables.put(connection, bucket, users, of_user(rollup.read(connection, detail, bucket, None), nowhere))


def _clear_inbox(session: Session, env_id: int) -> None:
    """Remove batches that hold the demo's requests and nobody else's; a batch is of one sender, so no other mixes."""
    last = 0
    while True:
        query = select(UsageInbox.id, UsageInbox.batch, UsageInbox.body)
        query = query.where(UsageInbox.env_id == env_id, UsageInbox.id > last).order_by(UsageInbox.id).limit(_AT_ONCE)
        rows = session.execute(query).all()
        if not rows:
            return
        last = rows[-1].id
        ours, names, streams = [], [], set[bytes]()
        for row in rows:
            services, read = _contents(row.body)
            if services == {SERVICE}:
                ours.append(row.id)
                names.append(row.batch)
                streams |= read
        for statement in (
            delete(UsageInbox).where(UsageInbox.env_id == env_id, UsageInbox.id.in_(ours)),
            delete(UsageBatch).where(UsageBatch.env_id == env_id, UsageBatch.batch.in_(names)),
            delete(UsageStream).where(UsageStream.env_id == env_id, UsageStream.stream.in_(streams)),
        ):
            session.execute(statement, execution_options={"synchronize_session": False})


def _contents(body: bytes) -> tuple[set[str], set[bytes]]:
    """Return the services whose requests a batch holds, and its cumulative streams; none where it cannot be read."""
    try:
        batch = unpack(body)
    except msgspec.MsgspecError:
        return set(), set()
    services = {each.subject.service for each in batch.calls} | {each.subject.service for each in batch.readings}
    return services, {each.stream for each in batch.readings}
