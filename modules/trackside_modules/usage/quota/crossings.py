"""From a crossing in Redis to a row and an event.

The script that counts puts each crossing into a list in the same step, so a process that dies loses none. Here they are
stored, each once (the table refuses a second), committed, announced, and only then taken off the list: a crash in
between repeats the storing, which changes nothing. What is not guaranteed: a Redis that loses its memory within the
second before they are stored takes them along, and an event whose process dies between commit and announcement is in
the table alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import structlog
from redis import RedisError
from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from trackside.events import QuotaApproached, QuotaReached, announce
from trackside.runtime import Runtime
from trackside.workspace import environments
from trackside_modules.usage.models.quota import UsageQuota, UsageQuotaCrossing
from trackside_modules.usage.quota.counters import untold_key

log = structlog.get_logger(__name__)
KEPT = timedelta(days=30)
AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Crossing:
    """That a count reached a level; `used` and `amount` in units of cost, `since` the window's start."""

    quota_id: int
    member: str
    level: int
    since: datetime
    used: int
    amount: int
    at: datetime


def store(session: Session, env_id: int, found: Sequence[Crossing]) -> int:
    """Store crossings that are new and announce them with the commit; return how many were.

    Crossings of a limit that is gone are dropped.
    """
    ids = {each.quota_id for each in found}
    known = select(UsageQuota.id, UsageQuota.policy).where(UsageQuota.env_id == env_id, UsageQuota.id.in_(ids))
    names = {row.id: row.policy for row in session.execute(known)}
    values = [_values(env_id, names[each.quota_id], each) for each in found if each.quota_id in names]
    if not values:
        return 0
    statement = (
        insert(UsageQuotaCrossing).values(values).on_conflict_do_nothing(constraint="uq_usage_quota_crossing_once")
    )
    stored = session.scalars(statement.returning(UsageQuotaCrossing)).all()
    for row in stored:
        announce(session, _event(row))
    return len(stored)


def tell(runtime: Runtime, env_id: int) -> int:
    """Store and announce what waits in Redis for one environment; return how many were new. Raises RedisError."""
    client, key, told = runtime.redis.live, untold_key(env_id), 0
    while raw := cast("list[Any]", client.lrange(key, 0, AT_ONCE - 1)):
        with runtime.database.session() as session:
            told += store(session, env_id, [each for each in map(_read, raw) if each is not None])
        with client.pipeline(transaction=False) as pipe:
            # by value, not by number: another process may be at it too
            for each in raw:
                pipe.lrem(key, 1, each)
            pipe.execute()
    return told


def tell_all(runtime: Runtime) -> None:
    """Store and announce what waits in every environment; a Redis that is away keeps it for the next time."""
    with runtime.database.session() as session:
        env_ids = [each.id for each in environments(session)]
    try:
        for env_id in env_ids:
            tell(runtime, env_id)
    except RedisError as error:
        log.warning("usage.quota_untold", error=type(error).__name__)


def forget(session: Session, now: datetime) -> None:
    """Delete crossings of more than 30 days ago."""
    session.execute(delete(UsageQuotaCrossing).where(UsageQuotaCrossing.at < now - KEPT))


class Teller:
    """Tells promptly what this process has counted; the tick tells what a process that died left over."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._heard: set[int] = set()

    def hear(self, env_id: int) -> None:
        """Note that a crossing of an environment waits."""
        self._heard.add(env_id)

    def tell_soon(self) -> None:
        """Store and announce what was heard of; what fails is tried again."""
        while self._heard:
            env_id = self._heard.pop()
            try:
                tell(self._runtime, env_id)
            except RedisError as error:
                log.warning("usage.quota_untold", error=type(error).__name__)
            except BaseException:
                self._heard.add(env_id)
                raise


def _read(raw: bytes) -> Crossing | None:
    """Return a crossing as the script wrote it; None for what is none."""
    try:
        quota_id, member, level, since, used, amount, at = raw.decode().split(" ")
        when = datetime.fromtimestamp(int(at) / 10**6, UTC)
        return Crossing(
            int(quota_id), member, int(level), datetime.fromtimestamp(int(since), UTC), int(used), int(amount), when
        )
    except ValueError:
        log.warning("usage.quota_crossing_unreadable")
        return None


def _values(env_id: int, policy: str, it: Crossing) -> dict[str, Any]:
    kind, number = it.member[:1], it.member[1:]
    return {
        "env_id": env_id,
        "quota_id": it.quota_id,
        "policy": policy,
        "member": it.member,
        "account_id": int(number) if kind == "a" else None,
        "user_id": int(number) if kind == "u" else None,
        "level": it.level,
        "window_start": it.since,
        "used": it.used,
        "amount": it.amount,
        "at": it.at,
    }


def _event(row: UsageQuotaCrossing) -> QuotaApproached | QuotaReached:
    kind = QuotaReached if row.level >= 100 else QuotaApproached
    return kind(
        row.at,
        env_id=row.env_id,
        policy=row.policy,
        quota_id=row.quota_id,
        account_id=row.account_id,
        user_id=row.user_id,
        level=row.level,
        used=row.used,
        limit=row.amount,
    )
