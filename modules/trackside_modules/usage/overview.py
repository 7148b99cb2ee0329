"""The Overview: the figures, charts and rows of a range, put together for the page."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from sqlalchemy.orm import Session

from trackside.module import Mark
from trackside.runtime import Runtime
from trackside.web.charts import Chart, Series
from trackside_modules.usage import live, queries, warnings
from trackside_modules.usage.queries import EndpointRow, Figures, Scope
from trackside_modules.usage.window import MINUTE, Window

_TOO_YOUNG = timedelta(seconds=10)
"""A bucket shows a rate once this much of it is over: before, one request would read as sixty a minute."""
_FEWEST = 15
"""Buckets that a chart shows at least."""
_BEHIND = timedelta(seconds=20)


@dataclass(frozen=True, slots=True)
class Now:
    """The last minutes: requests in the last full minute and in this one, users active in five minutes."""

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
    runtime: Runtime, session: Session, scope: Scope, window: Window, marks: list[Mark], *, zone: tzinfo = UTC
) -> Overview:
    """Return the page's content for a range, compared with the same span before."""
    found, before = queries.series(session, scope, window), queries.series(session, scope, window.previous())
    waiting = queries.waiting(session, scope.env_id)
    noticed = queries.warnings(session, scope.env_id, window.now - timedelta(hours=24))
    return Overview(
        queries.total(found),
        queries.total(before),
        _now(runtime, session, scope, window.now),
        queries.top_endpoints(session, scope, window),
        _charts(found, before, window, marks, zone),
        [warnings.sentence(it.kind, it.about) for it in noticed],
        queries.unknown_share(session, scope, window),
        waiting if waiting and waiting < window.now - _BEHIND else None,
    )


def _now(runtime: Runtime, session: Session, scope: Scope, now: datetime) -> Now:
    """Return the last minutes, from Redis where it knows them, else from the counts."""
    this = int(now.timestamp()) // 60
    found = None if scope.service else live.read(runtime, scope.env_id, 2)
    if found is not None:
        (_, last), (_, current) = found.minutes
        return Now(last.calls, current.calls, found.active_users, from_redis=True)
    start = datetime.fromtimestamp((this - 1) * 60, UTC)
    recent = queries.series(session, scope, Window("", start, start + 2 * MINUTE, MINUTE, now))
    calls = [recent[at].calls if at in recent else 0 for at in (start, start + MINUTE)]
    return Now(calls[0], calls[1], queries.active_users(session, scope, now), from_redis=bool(scope.service))


def _charts(
    found: dict[datetime, Figures], before: dict[datetime, Figures], window: Window, marks: list[Mark], zone: tzinfo
) -> list[Chart]:
    """Return the charts: rate, errors, latency; each bucket's own numbers, the span before as a ghost."""
    window = _from_first(window, found, before)
    times, earlier = window.times, window.previous()
    shown = [found.get(at) for at in times]
    rates = _rates(found, window)
    old_rates = _rates(before, earlier)
    quantiles = [it.quantiles() if it else [None] * 3 for it in shown]
    client = [it.client_error_rate if it else None for it in shown]
    server = [it.error_rate if it else None for it in shown]
    had = any(value for value in old_rates)
    return [
        Chart(
            "Requests",
            "per minute",
            times,
            [Series("requests", rates)],
            key="chart-requests",
            previous=Series("period before", old_rates) if had else None,
            marks=marks,
            step=window.step,
            zone=zone,
        ),
        Chart(
            "Errors",
            "%",
            times,
            [Series("5xx", _percent(server)), Series("4xx", _percent(client))],
            key="chart-errors",
            marks=marks,
            step=window.step,
            zone=zone,
        ),
        Chart(
            "Latency",
            "ms",
            times,
            [Series(f"p{share}", [each[place] for each in quantiles]) for place, share in enumerate((50, 95, 99))],
            key="chart-latency",
            marks=marks,
            step=window.step,
            zone=zone,
        ),
    ]


def _from_first(window: Window, found: dict[datetime, Figures], before: dict[datetime, Figures]) -> Window:
    """Return the window from its first requests on where there were none before: a young workspace fills its charts."""
    if before or not found:
        return window
    start = min(*found, window.end - _FEWEST * window.step)
    return Window(window.name, max(start, window.start), window.end, window.step, window.now)


def _rates(found: dict[datetime, Figures], window: Window) -> list[float | None]:
    """Return the requests per minute of each bucket; none for one that has just begun, or before the first of all."""
    first = min(found, default=window.end)
    rates: list[float | None] = []
    for at in window.times:
        elapsed = window.elapsed(at)
        calls = found[at].calls if at in found else 0
        rates.append(None if elapsed < _TOO_YOUNG or at < first else calls / (elapsed / MINUTE))
    return rates


def _percent(shares: list[float | None]) -> list[float | None]:
    return [None if share is None else share * 100 for share in shares]
