"""What the demo leaves in usage, taken away again: everything its service ever sent, waiting or counted."""

import msgspec
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from trackside.demo import SERVICE
from trackside.runtime import Runtime
from trackside.workspace import environments
from trackside_modules.usage.adding import LOCK
from trackside_modules.usage.batch import unpack
from trackside_modules.usage.demo import limits
from trackside_modules.usage.models import (
    UsageBatch,
    UsageEndpoint,
    UsageEndpointMinute,
    UsageFold,
    UsageInbox,
    UsageMinute,
    UsagePulse,
    UsageStream,
    UsageVersion,
    UsageWarning,
)

_AT_ONCE = 500


def clear(runtime: Runtime, session: Session) -> None:
    """Remove the demo's batches, counts and endpoints in every environment; the live counters follow within seconds."""
    limits.clear(session)
    for environment in environments(session):
        # The fold's own lock: otherwise it may be adding what we are about to remove.
        session.execute(select(func.pg_advisory_xact_lock(LOCK, environment.id)))
        _clear_inbox(session, environment.id)
        endpoints = select(UsageEndpoint.id).where(
            UsageEndpoint.env_id == environment.id, UsageEndpoint.service == SERVICE
        )
        theirs = (UsageMinute.env_id == environment.id, UsageMinute.endpoint_id.in_(endpoints))
        for statement in (
            delete(UsageMinute).where(*theirs),
            delete(UsageEndpointMinute).where(UsageEndpointMinute.endpoint_id.in_(endpoints)),
            delete(UsageEndpoint).where(UsageEndpoint.id.in_(endpoints)),
            delete(UsagePulse).where(UsagePulse.env_id == environment.id),  # made again of what is left
            delete(UsagePulse).where(UsagePulse.env_id == environment.id),  # made again of what is left
            delete(UsageVersion).where(UsageVersion.env_id == environment.id, UsageVersion.service == SERVICE),
            delete(UsageWarning).where(UsageWarning.env_id == environment.id, UsageWarning.about == SERVICE),
            # A number that Redis has not heard of makes it count anew from what is left.
            update(UsageFold).where(UsageFold.env_id == environment.id).values(number=UsageFold.number + 1),
        ):
            session.execute(statement, execution_options={"synchronize_session": False})


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
