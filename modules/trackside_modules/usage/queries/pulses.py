"""What calls of each hour and week came to: remembered where they are over, else summed up (see `storage.pulse`)."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from pyroaring import BitMap64
from sqlalchemy import ARRAY, DateTime, Select, Subquery, any_, bindparam, func, literal, literal_column, select
from sqlalchemy.orm import Session

from trackside_modules.usage.models import UsagePulse
from trackside_modules.usage.queries.figures import bucket
from trackside_modules.usage.queries.pieces import Question, Span, pieces
from trackside_modules.usage.queries.scope import Scope
from trackside_modules.usage.storage import reach
from trackside_modules.usage.storage.hung import hung, numbers, run, united
from trackside_modules.usage.storage.memory import dirty
from trackside_modules.usage.storage.packs import Ints
from trackside_modules.usage.storage.pulse import STEPS, Pulse, Unit, spans

_IT = UsagePulse.__table__.c
_MINE = _IT.service == bindparam("service")
_SPAN = (
    _IT.env_id == bindparam("env"),
    _IT.unit == bindparam("unit"),
    _MINE | (_IT.service == ""),
    _IT.at >= bindparam("start", type_=DateTime(timezone=True)),
    _IT.at < bindparam("end", type_=DateTime(timezone=True)),
)
_EPOCH = func.extract("epoch", _IT.at)
_COLUMNS = select(
    run(_EPOCH).filter(_IT.service == ""),
    *(run(value).filter(_MINE, _IT.calls > 0) for value in (_EPOCH, _IT.calls, _IT.server_errors)),
).where(*_SPAN)
_USERS = select(_IT.at, _IT.users).where(
    _SPAN[0], _SPAN[1], _MINE, _IT.at == any_(bindparam("times", type_=ARRAY(DateTime(timezone=True)))), _IT.calls > 0
)


def hours(session: Session, env_id: int, start: datetime, end: datetime, service: str = "") -> tuple[Ints, Ints, Ints]:
    """Return columns of the hours of `[start, end)` that had calls: start (seconds), calls, and those that failed."""
    at, calls, failed, missing = _remembered(session, env_id, "hour", (start, end), service)
    found = _summed(session, env_id, "hour", missing, service, users=False)
    more = [(int(at.timestamp()), it.calls, it.server_errors) for at, it in found.items()]
    columns = np.array(more, dtype=np.int64).reshape(-1, 3).T
    return tuple(np.concatenate(both) for both in zip((at, calls, failed), columns, strict=True))  # type: ignore[return-value]


def callers(
    session: Session, env_id: int, unit: Unit, start: datetime, end: datetime, *, service: str = ""
) -> dict[datetime, BitMap64]:
    """Return who called in each hour or week of `[start, end)` that had calls; merged users are apart."""
    at, _, _, missing = _remembered(session, env_id, unit, (start, end), service)
    values = {"env": env_id, "unit": unit, "service": service, "times": [_moment(each) for each in at.tolist()]}
    found = {at.astimezone(UTC): reach.unpack(packed) for at, packed in session.execute(_USERS, values)}
    counted = _summed(session, env_id, unit, missing, service, users=True)
    return found | {at: it.users for at, it in counted.items()}


def _remembered(
    session: Session, env_id: int, unit: Unit, span: tuple[datetime, datetime], service: str
) -> tuple[Ints, Ints, Ints, list[tuple[datetime, datetime]]]:
    """Return the columns of what is remembered and still true, and the stretches that are not."""
    start, end = span
    values = {"env": env_id, "unit": unit, "service": service, "start": start, "end": end}
    made, at, calls, failed = map(numbers, session.execute(_COLUMNS, values).one())
    gone = [int(at.timestamp()) for at in dirty(session, env_id, unit, start, end)]
    every = np.arange(int(start.timestamp()), int(end.timestamp()), int(STEPS[unit].total_seconds()))
    missing = spans(map(_moment, np.setdiff1d(every, made[~np.isin(made, gone)]).tolist()), STEPS[unit])
    kept = ~np.isin(at, gone)
    return at[kept], calls[kept], failed[kept], [(since, min(until, end)) for since, until in missing]


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _summed(
    session: Session,
    env_id: int,
    unit: Unit,
    spans: Sequence[tuple[datetime, datetime]],
    service: str,
    *,
    users: bool,
) -> dict[datetime, Pulse]:
    """Return the hours or weeks of spans that are not remembered as such, from shorter ones where those are."""
    found: dict[datetime, Pulse] = {}
    for start, end in spans:
        span = Span(Scope(env_id, service), start, end, STEPS[unit], whole=True)
        for piece in pieces(session, span, Question(_by_time, _pulses, (STEPS[unit], users), (("origin", start),))):
            for at, it in piece.items():
                before = found.get(at, Pulse())
                failed = before.server_errors + it.server_errors
                found[at] = Pulse(before.calls + it.calls, failed, before.users | it.users)
    return found


def _by_time(rows: Subquery, step: timedelta, users: bool) -> Select[*tuple[Any, ...]]:
    it = rows.c
    nobody = literal(b""), literal(b"")
    counted = func.sum(it.calls), func.sum(it.server_errors), *(hung(it.users) if users else nobody)
    return select(bucket(it, step), *counted).group_by(literal_column("1"))


def _pulses(found: Sequence[Any]) -> dict[datetime, Pulse]:
    return {
        at.astimezone(UTC): Pulse(int(calls), int(failed), united(packed, sizes))
        for at, calls, failed, packed, sizes in found
    }
