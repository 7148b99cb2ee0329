"""`trackside usage`: what was counted, how the tiers stand, and making them anew."""

import math
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import click
from sqlalchemy.orm import Session

from trackside.cli import as_json, runtime, say
from trackside.errors import InputError
from trackside.workspace import environment_by_slug, environments
from trackside_modules.usage import standing
from trackside_modules.usage.queries import totals
from trackside_modules.usage.storage import backfill as backfilling
from trackside_modules.usage.storage import rollup
from trackside_modules.usage.storage.rollup import Scope

_FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"]
_from = click.option("--from", "start", type=click.DateTime(_FORMATS), help="First day, or time, in UTC.")
_to = click.option("--to", "end", type=click.DateTime(_FORMATS), help="Day, or time, in UTC before which to stop.")


@click.group()
def usage() -> None:
    """See what was counted, and how; make hours and days anew."""


@usage.command()
@click.option("--env", "slug", help="Only this environment.  [default: all]")
@_from
@_to
@as_json
def backfill(slug: str | None, start: datetime | None, end: datetime | None, as_json: bool) -> None:
    """Make hours and days anew from the minutes and hours that are kept.

    Nothing is lost when this is ended in the middle: the roll-up goes on with the rest. Pages stay exact meanwhile.
    Exit code 1 where buckets are left that folds keep changing.
    """
    since, until = _utc(start), _utc(end) or runtime().clock.now()
    _check(since, until)
    with runtime().database.session() as session:
        chosen = [environment_by_slug(session, slug)] if slug else environments(session)
        found = {each.slug: each.id for each in chosen}
    done = {name: _backfill(name, env_id, since, until, quiet=as_json) for name, env_id in found.items()}
    left = sum(each["left"] for each in done.values())
    lines = [f"{name}: {each['made']} made, {each['left']} left" for name, each in done.items()]
    say(as_json, done, *lines, *(["What is left the roll-up will make."] if left else []))
    if left:
        click.get_current_context().exit(1)


def _backfill(name: str, env_id: int, start: datetime | None, end: datetime, *, quiet: bool) -> dict[str, int]:
    """Make an environment's buckets, and say how many that were and how many are left."""
    backfilling.mark(runtime(), env_id, start, end)
    first = start.replace(hour=0, minute=0) if start else Scope().start
    scope = Scope(env_id, first, end)
    due = rollup.count(runtime(), scope)
    made = 0
    with click.progressbar(length=due, label=name, show_pos=True, file=sys.stderr, hidden=quiet) as bar:
        for _ in rollup.run(runtime(), math.inf, scope):
            made += 1
            bar.update(1)
    return {"made": made, "left": rollup.count(runtime(), scope)}


@usage.command()
@as_json
def tiers(as_json: bool) -> None:
    """Print how each tier stands: rows, size, oldest time, buckets to be made anew."""
    with runtime().database.session() as session:
        found = standing.stands(session, runtime().clock.now())
    lines = [
        f"{it.tier:<7} {it.rows:>14,} rows {it.size_bytes / 1e6:>10,.1f} MB {it.partitions:>5} partitions"
        f"  since {_day(it.oldest)}  dirty {it.dirty}, overdue {it.overdue}"
        for it in found
    ]
    say(as_json, [asdict(it) for it in found], *lines)


@usage.command()
@click.option("--env", "slug", default="production", show_default=True)
@_from
@_to
@click.option("--by", type=click.Choice(["endpoint", "user"]), default="endpoint", show_default=True)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000))
@as_json
def show(slug: str, start: datetime | None, end: datetime | None, by: str, *, limit: int, as_json: bool) -> None:
    """Print what was counted, by endpoint or user, the most called first; without a range the last 24 hours."""
    until = _utc(end) or runtime().clock.now()
    since = _utc(start) or until - timedelta(hours=24)
    _check(since, until)
    with runtime().database.session() as session:
        env_id = environment_by_slug(session, slug).id
        span = totals.aligned(session, since, until)
        rows = _rows(session, env_id, span, by)
    summed = sum(row["calls"] for row in rows)
    lines = [f"{span[0]:%Y-%m-%d %H:%M} to {span[1]:%Y-%m-%d %H:%M} UTC: {summed:,} calls", *map(_line, rows[:limit])]
    say(as_json, {"from": span[0], "to": span[1], "calls": summed, "rows": rows[:limit]}, *lines)


def _rows(session: Session, env_id: int, span: tuple[datetime, datetime], by: str) -> list[dict[str, Any]]:
    found: Sequence[totals.OfEndpoint | totals.OfUser] = (
        totals.by_endpoint(session, env_id, *span) if by == "endpoint" else totals.by_user(session, env_id, *span)
    )
    return [asdict(row) for row in found]


def _line(row: dict[str, Any]) -> str:
    name = row["user"] or "(unknown)" if "user" in row else f"{row['service']} {row['method']} {row['route']}"
    times = "  ".join(f"{it} {row[it] * 1000:.0f} ms" for it in ("p50", "p95", "p99") if row.get(it) is not None)
    who = f"  {row['users']} users" if "users" in row else ""
    return f"{row['calls']:>12,}  {row['errors']:>8,} errors{who}  {times}  {name}"


def _day(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M}" if at else "never"


def _utc(at: datetime | None) -> datetime | None:
    return at.replace(tzinfo=UTC) if at else None


def _check(start: datetime | None, end: datetime) -> None:
    if start and start >= end:
        raise InputError(f"The range ends ({end:%Y-%m-%d %H:%M}) before it begins ({start:%Y-%m-%d %H:%M}).")
