"""The Overview: the figures, charts and rows of a range, put together for the page."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from sqlalchemy.orm import Session

from trackside.module import Mark
from trackside.runtime import Runtime
from trackside.web.charts import Chart, Series
from trackside_modules.usage import queries
from trackside_modules.usage.folding import live, warnings
from trackside_modules.usage.queries import Figures, Scope, endpoints
from trackside_modules.usage.queries.endpoints import EndpointRow
from trackside_modules.usage.queries.figures import quantiles_of
from trackside_modules.usage.queries.window import MINUTE, Window

_TOO_YOUNG = timedelta(seconds=10)
"""A bucket shows a rate once this much of it is over: before, one request would read as sixty a minute."""
_FEWEST = 15
"""Buckets that a chart shows at least."""
_BEHIND = timedelta(seconds=20)


@dataclass(frozen=True, slots=True)
class Now:
    """The last minutes: requests in the last full minute and in this one, users active in five minutes."""

    minute: datetime
    """The start of the last full minute."""
    last_minute: int
    this_minute: int
    active_users: int
    from_redis: bool


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything the page shows."""

    figures: Figures
    before: Figures
    now: Now
    endpoints: list[EndpointRow]
    charts: list[Chart]
    notes: list[str]
    """What one should know about what services send."""
    unknown_share: float | None
    waiting_since: datetime | None


def overview(
    runtime: Runtime,
    session: Session,
    scope: Scope,
    window: Window,
    marks: list[Mark],
    *,
    compare: bool = True,
    zone: tzinfo = UTC,
    url: Callable[[datetime], str] | None = None,
) -> Overview:
    """Return the page's content for a range, compared with the span before; `url` leads to a bucket's rows."""
    found = queries.series(session, scope, window)
    figures, before = queries.total(found), queries.Figures()
    earlier: dict[datetime, Figures] = {}
    if compare:
        earlier = queries.series(session, scope, window.previous())
        before = queries.total(earlier)
    waiting = queries.waiting(session, scope.env_id)
    noticed = queries.warnings(session, scope.env_id, window.now - timedelta(hours=24))
    return Overview(
        figures,
        before,
        _now(runtime, session, scope, window.now),
        _top(session, scope, window),
        _charts(found, earlier, window, _Frame(marks, zone, url)),
        [warnings.sentence(it.kind, it.about) for it in noticed],
        queries.unknown_share(session, scope, window, figures),
        waiting if waiting and waiting < window.now - _BEHIND else None,
    )


def _top(session: Session, scope: Scope, window: Window, most: int = 10) -> list[EndpointRow]:
    """Return the endpoints with the most calls."""
    found = endpoints.ordered(endpoints.listed(session, scope, window, compare=False), "-calls")[:most]
    endpoints.add_users(session, scope, window, found)
    return found


def _now(runtime: Runtime, session: Session, scope: Scope, now: datetime) -> Now:
    """Return the last minutes, from Redis where it knows them, else from the counts."""
    this = int(now.timestamp()) // 60
    start = datetime.fromtimestamp((this - 1) * 60, UTC)
    found = None if scope.service else live.read(runtime, scope.env_id, 2)
    if found is not None:
        (_, last), (_, current) = found.minutes
        return Now(start, last.calls, current.calls, found.active_users, from_redis=True)
    return Now(start, *queries.lately(session, scope, now), from_redis=bool(scope.service))


@dataclass(frozen=True, slots=True)
class _Frame:
    """What all charts of the page share."""

    marks: list[Mark]
    zone: tzinfo
    url: Callable[[datetime], str] | None


def _charts(
    found: dict[datetime, Figures], before: dict[datetime, Figures], window: Window, frame: _Frame
) -> list[Chart]:
    """Return the charts: rate, errors, latency; each bucket's own numbers, the span before as a ghost."""
    window = _from_first(window, found, before)
    times, shown = window.times, [found.get(at) for at in window.times]
    old_rates = rates(before, window.previous())
    quantiles = quantiles_of(shown)
    client = [it.client_error_rate if it else None for it in shown]
    server = [it.error_rate if it else None for it in shown]

    def chart(title: str, unit: str, *series: Series, previous: Series | None = None) -> Chart:
        return Chart(
            title,
            unit,
            times,
            series,
            key=f"chart-{title.lower()}",
            previous=previous,
            marks=frame.marks,
            step=window.step,
            zone=frame.zone,
            url=frame.url,
            unfinished=window.elapsed(times[-1]) < window.step,
        )

    return [
        chart(
            "Requests",
            "per minute",
            Series("now", rates(found, window)),
            previous=Series("before", old_rates) if any(value for value in old_rates) else None,
        ),
        chart("Errors", "%", Series("5xx", percent(server)), Series("4xx", percent(client))),
        chart("Latency", "ms", *(Series(f"p{q}", [it[n] for it in quantiles]) for n, q in enumerate((50, 95, 99)))),
    ]


def _from_first(window: Window, found: dict[datetime, Figures], before: dict[datetime, Figures]) -> Window:
    """Return the window from its first requests on where there were none before: a young workspace fills its charts."""
    if before or not found:
        return window
    start = min(*found, window.end - _FEWEST * window.step)
    return Window(window.name, max(start, window.start), window.end, window.step, window.now)


def rates(found: Mapping[datetime, Figures], window: Window, *, always: bool = False) -> list[float | None]:
    """Return the requests per minute of each bucket; none for one that has just begun, or before the first of all.

    With `always`, there may have been others before the first of these, so it was none then too.
    """
    first = window.start if always else min(found, default=window.end)
    values: list[float | None] = []
    for at in window.times:
        elapsed = window.elapsed(at)
        calls = found[at].calls if at in found else 0
        values.append(None if elapsed < _TOO_YOUNG or at < first else calls / (elapsed / MINUTE))
    return values


def percent(shares: list[float | None]) -> list[float | None]:
    """Return shares in per cent."""
    return [None if share is None else share * 100 for share in shares]
