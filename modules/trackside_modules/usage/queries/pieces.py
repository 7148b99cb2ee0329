"""What is asked of the rows of a span: of those that are over once for all pages, of the rest by every page.

The first is held by the process (see `closed`). A statement about the rest differs from one page to the next in times
alone, so each shape of it is composed once: putting one together takes longer than running it.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Generic, TypeVar

from sqlalchemy import DateTime, Row, Select, Subquery, bindparam, false, select
from sqlalchemy.orm import Session

from trackside_modules.usage.queries.scope import ALL_UNITS, Scope, units_for
from trackside_modules.usage.storage import closed, memory, tiers
from trackside_modules.usage.storage import sums as remembered
from trackside_modules.usage.storage.tiers import Part, Unit

Found = TypeVar("Found")
_TIME = DateTime(timezone=True)


@dataclass(frozen=True, slots=True)
class Question(Generic[Found]):
    """A statement over rows, and what its answer comes to."""

    compose: Callable[..., Select[*tuple[Any, ...]]]
    """Composes the statement, given the rows (or parts of tiers, see `in_tiers`) and `args`; a function of a module."""
    take: Callable[[Sequence[Row[*tuple[Any, ...]]]], Found]
    args: tuple[Hashable, ...] = ()
    """What shapes the statement."""
    values: tuple[tuple[str, Hashable], ...] = ()
    """The values of its own parameters, by name; a tuple for a list."""


@dataclass(frozen=True, slots=True)
class Span:
    """What is read of the calls of a scope: `[start, end)`, in rows none longer than `step`, endpoints apart or not.

    The rows have their calls by sort (see `sums.COLUMNS`). With `whole` endpoints need not be told apart, and of users
    alone not whether latency is approximate.
    """

    scope: Scope
    start: datetime
    end: datetime
    step: timedelta = memory.STEPS["week"]
    whole: bool = False


def pieces(session: Session, span: Span, question: Question[Found]) -> list[Found]:
    """Return the answer about a span in pieces that are to be added up; nobody may change them."""
    scope, units = span.scope, units_for(span.step)
    if scope.by_user or scope.status:
        parts = tiers.parts(session, scope.env_id, span.start, span.end, tiers.unit_for(span.step))
        return [_of_parts(session, span, question, parts)]
    planned = _planned(session, span, units)
    found: list[Found] = []
    key = (scope, span.whole, question.compose, question.args, question.values)
    if planned.kept:
        found.append(closed.held(session, key, planned, lambda: _of_kept(session, span, question, planned)))

    def read(parts: Sequence[Part]) -> Found:
        return _of_parts(session, span, question, parts)

    return found + _rest(session, span, planned, key, read)


def in_tiers(
    session: Session,
    span: Span,
    question: Question[Found],
    *,
    units: tuple[memory.Unit, ...] = ALL_UNITS,
) -> list[Found]:
    """Return what `pieces` does of what is not remembered: the question is composed over parts of the tiers.

    `units` are those of the remembered buckets that may be read together, as days or hours; without any the whole
    span is read as minutes.
    """

    def read(parts: Sequence[Part]) -> Found:
        return question.take(ask(session, question.compose, parts, question.args, question.values))

    planned = _planned(session, span, units)
    key = (question.compose, question.args, question.values)
    found = [closed.held(session, key, planned, lambda: read(planned.over()))] if planned.kept else []
    return found + _rest(session, span, planned, key, read)


def _planned(session: Session, span: Span, units: tuple[memory.Unit, ...]) -> memory.Plan:
    if units:
        return memory.plan(session, span.scope.env_id, span.start, span.end, units)
    return memory.Plan(parts=[Part("minute", span.start.astimezone(UTC), span.end.astimezone(UTC))])


def _rest(
    session: Session, span: Span, planned: memory.Plan, key: Hashable, read: Callable[[Sequence[Part]], Found]
) -> list[Found]:
    """Return the pieces of what a plan reads from the tiers: minutes of hours that are over are held as well."""
    over, rest = memory.settled(session, span.scope.env_id, planned.parts)
    ends = [(part.start, part.end) for part in over.parts]
    found = [closed.held(session, (key, *ends), over, lambda: read(over.parts))] if ends else []
    return [*found, read(rest)] if rest or not (found or planned.kept) else found


def ask(
    session: Session,
    compose: Callable[..., Select[*tuple[Any, ...]]],
    parts: Sequence[Part],
    args: tuple[Hashable, ...] = (),
    values: tuple[tuple[str, Hashable], ...] = (),
) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return the rows of the statement that `compose` makes of parts and `args`, once for each shape."""
    given: dict[str, Any] = {name: list(it) if isinstance(it, tuple) else it for name, it in values}
    for place, part in enumerate(parts):
        given |= {f"start_{place}": part.start, f"end_{place}": part.end}
    statement = _composed(compose, tuple(part.unit for part in parts), args)
    return session.connection().execute(statement, given).all()


@lru_cache(maxsize=512)
def _composed(
    compose: Callable[..., Select[*tuple[Any, ...]]], units: tuple[Unit, ...], args: tuple[Hashable, ...]
) -> Select[*tuple[Any, ...]]:
    def moment(name: str) -> Any:  # stands where a part has a time
        return bindparam(name, type_=_TIME)

    return compose([Part(unit, moment(f"start_{n}"), moment(f"end_{n}")) for n, unit in enumerate(units)], *args)


def _of_kept(session: Session, span: Span, question: Question[Found], planned: memory.Plan) -> Found:
    over, scope = replace(planned, parts=[]), span.scope
    if scope.service or scope.endpoint_id is not None:
        rows = remembered.of(scope.env_id, over, scope.narrow)
    else:
        rows = remembered.of(scope.env_id, over, whole=span.whole)
    given: dict[str, Any] = {name: list(it) if isinstance(it, tuple) else it for name, it in question.values}
    return question.take(session.execute(question.compose(rows, *question.args), given).all())


def _of_parts(session: Session, span: Span, question: Question[Found], parts: Sequence[Part]) -> Found:
    args = (span.scope.shape, span.whole, question.compose, question.args)
    users = tuple((name, tuple(value)) for name, value in span.scope.given.items())
    return question.take(ask(session, _over, parts, args, question.values + users))


def _over(
    parts: Sequence[Part],
    scope: Scope,
    whole: bool,
    compose: Callable[..., Select[*tuple[Any, ...]]],
    args: tuple[Hashable, ...],
) -> Select[*tuple[Any, ...]]:
    """Compose a question over the rows of parts."""
    return compose(_rows(parts, scope, whole), *args)


def _rows(parts: Sequence[Part], scope: Scope, whole: bool) -> Subquery:
    if whole and scope.only_users:
        names = ("calls", "client_errors", "server_errors", "slow", "latency")
        it = tiers.of_user(scope.env_id, parts, scope.narrow, names).c
        return select(it.at, *(it[name] for name in names), false().label("approximate")).subquery()
    family = tiers.by_user if scope.by_user else tiers.by_endpoint
    return remembered.split(family(scope.env_id, parts, scope.narrow), users=not scope.by_user).subquery()
