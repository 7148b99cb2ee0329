"""Patterns: when people call, who stays, and the people behind each number."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from typing import Any

from flask import render_template, url_for
from flask.typing import ResponseReturnValue

from trackside.db import db
from trackside.errors import InputError, NotFound
from trackside.web.look import now, zone
from trackside.web.policy import require
from trackside_modules.usage.models import UsageEndpoint
from trackside_modules.usage.queries import follows
from trackside_modules.usage.queries.follows import Step
from trackside_modules.usage.reports import bars, patterns
from trackside_modules.usage.reports.patterns import KINDS, MEASURES, Kind, Measure, Person, Week
from trackside_modules.usage.web import export
from trackside_modules.usage.web.asked import Asked, ask_filters, choice, number, text
from trackside_modules.usage.web.base import blueprint
from trackside_modules.usage.web.places import asked_place, cursor

SPANS = (("4", "4 weeks"), ("8", "8 weeks"), ("13", "13 weeks"))
_STEPS = 15
_COHORTS = 9
"""Weeks that a cohort is followed on the page, its first one included."""

WEEKS: export.Columns[Week] = (
    ("week", lambda it: it.at.date().isoformat()),
    ("active", lambda it: len(it.active)),
    ("new", lambda it: len(it.new)),
    ("retained", lambda it: len(it.retained)),
    ("returned", lambda it: len(it.returned)),
    ("lost", lambda it: len(it.lost)),
)
STEPS: export.Columns[Step] = (
    ("service", lambda it: it.before.service),
    ("after", lambda it: f"{it.before.method} {it.before.route}"),
    ("next_service", lambda it: it.after.service),
    ("next", lambda it: f"{it.after.method} {it.after.route}"),
    ("times", lambda it: it.calls),
    ("share", lambda it: it.share),
)
PEOPLE: export.Columns[Person] = (
    ("user", lambda it: it.user.external_id),
    ("name", lambda it: it.user.name),
    ("account", lambda it: it.user.account.label if it.user.account else None),
    ("requests", lambda it: it.calls),
    ("first_seen", lambda it: it.user.first_seen),
    ("last_seen", lambda it: it.user.last_seen),
)


@blueprint.get("/patterns")
@require("usage.view")
def patterns_page() -> ResponseReturnValue:
    """Show the hours of the week, users by week, and cohorts."""
    session, asked, moment = db.session(), ask_filters(), now()
    span = choice("weeks", [name for name, _ in SPANS], "8")
    measure: Measure = choice("measure", list(MEASURES), "requests")  # type: ignore[assignment]
    endpoint_id = number("after")
    steps = partial(_steps, asked, moment - int(span) * patterns.WEEK, moment, endpoint_id)
    patterns.hold(session, asked.env.id, moment)
    found = patterns.weeks(session, asked.env.id, moment, shown=int(span), service=asked.service)
    if wanted := export.asked():
        if choice("what", ("weeks", "next"), "weeks") == "next":
            return export.send("what-follows", wanted, STEPS, steps(export.MOST))
        return export.send("users-by-week", wanted, WEEKS, found.weeks)
    heat = patterns.heat(
        session, asked.env.id, moment, weeks=int(span), zone=zone(), measure=measure, service=asked.service
    )
    people = _people(asked)
    return render_template(
        "usage/patterns.html",
        asked=asked,
        env=asked.env,
        spans=SPANS,
        span=span,
        measure=measure,
        measures=list(MEASURES.items()),
        heat=heat,
        days=patterns.DAYS,
        found=found,
        bars=bars.of([_bar(week, people(week, "active")) for week in found.weeks]),
        kinds=KINDS,
        cohort_weeks=_COHORTS,
        steps=steps(_STEPS),
        after=_endpoint(asked.env.id, endpoint_id),
        week_end=timedelta(days=6),
        people_url=people,
    )


def _steps(asked: Asked, start: datetime, end: datetime, endpoint_id: int | None, limit: int) -> list[Step]:
    """Return what follows an endpoint most, itself included; without one, what follows what, repeats left out."""
    which: dict[str, Any] = {"service": asked.service, "endpoint_id": endpoint_id, "repeats": endpoint_id is not None}
    return follows.top(db.session(), asked.env.id, start=start, end=end, limit=limit, **which)


def _endpoint(env_id: int, endpoint_id: int | None) -> UsageEndpoint | None:
    """Return the endpoint asked for; raise NotFound where the environment has none of that number."""
    if endpoint_id is None:
        return None
    found = db.session().get(UsageEndpoint, endpoint_id)
    if found is None or found.env_id != env_id:
        raise NotFound("There is no such endpoint in this environment.")
    return found


def _people(asked: Asked) -> Callable[[Week, Kind], str]:
    """Return the link from a number of a week to the people behind it."""
    of_kind = cache(lambda kind: url_for("usage.week_users", kind=kind, **asked.kept))
    return lambda week, kind: f"{of_kind(kind)}&week={week.at:%Y-%m-%d}"


def _bar(week: Week, url: str) -> bars.Bar:
    parts = [("retained", len(week.retained)), ("returned", len(week.returned)), ("new", len(week.new))]
    return bars.Bar(week.at, parts, ("lost", len(week.lost)), url)


@blueprint.get("/patterns/users")
@require("usage.view")
def week_users() -> ResponseReturnValue:
    """List the people behind a number of the users by week."""
    session, asked = db.session(), ask_filters()
    wanted = export.asked()
    kind: Kind = choice("kind", list(KINDS), "active")  # type: ignore[assignment]
    week = patterns.week_of(session, asked.env.id, _week(), now(), asked.service)
    if week is None:
        raise NotFound("Nothing was counted in that week.")
    if wanted:
        everybody, _ = patterns.persons(session, asked.env.id, week, kind, service=asked.service, limit=export.MOST)
        return export.send(f"users-{kind}-{week.at:%Y-%m-%d}", wanted, PEOPLE, everybody)
    after: Any = asked_place(2)
    people, following = patterns.persons(session, asked.env.id, week, kind, service=asked.service, after=after)
    return render_template(
        "usage/week_users.html",
        asked=asked,
        env=asked.env,
        week=week,
        kind=kind,
        kinds=KINDS,
        people=people,
        total=len(week.of(kind)),
        cursor=cursor(following),
        week_end=week.at + timedelta(days=6),
        back=url_for("usage.patterns_page", **asked.kept),
    )


def _week() -> datetime:
    try:
        found = datetime.strptime(text("week"), "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        found = None
    if found is None or not 2000 <= found.year <= 2200:
        message = "must be the Monday of a week, such as 2026-11-16"
        raise InputError(f"`week` {message}.", {"week": message})
    return found
