"""Writes the demo's past into the counts: minutes of the last half day, hours and days of three months.

It ends with the minute before the demo was seeded, and what the live demo sends comes after it: so the fold goes on
while the past is written, and is held up only at the end, for what both add to. The hour and the day going on are
marked dirty, so pages read them from the tier below until the roll-up has made them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
from psycopg import Connection
from sqlalchemy.orm import Session

from trackside.customers.resolve import resolve_users, touch_users
from trackside.demo import ENVIRONMENT, SERVICE, story
from trackside.demo.api import FAILURES
from trackside.demo.people import people
from trackside.jobs.tasks import enqueue
from trackside.runtime import Runtime
from trackside.workspace import fact
from trackside_modules.usage.demo import past
from trackside_modules.usage.folding import endpoints, seen
from trackside_modules.usage.ingest.batch import Batch, Failure, Subject
from trackside_modules.usage.storage import adding, partitions, pulse, tables
from trackside_modules.usage.storage.adding import LOCK
from trackside_modules.usage.storage.counts import Counts, by_endpoint, by_user, joined, of_user, seen_by_user, summed
from trackside_modules.usage.storage.packs import ESTIMATES, Ints
from trackside_modules.usage.storage.tables import Bucket
from trackside_modules.usage.storage.tiers import Unit

MINUTES_FOR = timedelta(hours=14)
"""How far back minutes go: the longest range that pages draw from minutes (6 h), the same span before it, and some."""
FACT = "usage.demo_history"
"""The workspace fact that says until when the past was written."""
_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

_CLAIM = "insert into workspace_fact (key, value) values (%s, %s) on conflict do nothing"
_RELEASE = """
insert into usage_version (env_id, service, version, first_seen_at) values (%s, %s, %s, %s)
on conflict (env_id, service, version) do update
set first_seen_at = least(usage_version.first_seen_at, excluded.first_seen_at)
"""
_NO_OLDER_MINUTES = """
insert into usage_horizon (tier, kept_from) select 'minute', %(at)s
where not exists (select from usage_minute where minute < %(at)s) on conflict do nothing
"""
"""Hours before that must not be made anew of minutes that never were."""
_FOLLOWS = """
insert into usage_follow (env_id, day, from_endpoint, to_endpoint, calls) values (%s, %s, %s, %s, %s)
on conflict (env_id, day, from_endpoint, to_endpoint) do update set calls = usage_follow.calls + excluded.calls
"""
_ANEW = """
insert into usage_fold (env_id, number, folded_at) values (%s, 1, %s)
on conflict (env_id) do update set number = usage_fold.number + 1
"""
"""A number that Redis has not heard of makes it count the last two hours anew."""


def seed(runtime: Runtime, session: Session) -> None:
    """Have the past written by a worker, up to this minute: what the live demo sends comes after it."""
    if fact(session, FACT) is None:
        until = runtime.clock.now().isoformat()
        enqueue(session, "usage.demo_history", {"until": until}, dedupe_key="usage.demo_history")


def write(runtime: Runtime, until: datetime) -> int:
    """Write the 90 days before the minute of `until`, and return how many calls that was; 0 where it is done already.

    Deterministic: the same moment gives the same calls, and the tiers add up to each other.
    """
    until = until.replace(second=0, microsecond=0)
    with runtime.database.pool.connection() as connection, connection.transaction():
        if not connection.execute(_CLAIM, (FACT, until.isoformat())).rowcount:
            return 0
        row = connection.execute("select id from environment where slug = %s", (ENVIRONMENT,)).fetchone()
        assert row is not None
        _make_room(runtime, until)
        connection.execute("select pg_advisory_xact_lock_shared(%s)", (adding.KEEPING,))
        return _Writer(connection, row[0], _names(runtime, row[0], until), until).write()


def _make_room(runtime: Runtime, until: datetime) -> None:
    """Make the partitions, in a transaction of its own: whoever makes one holds up all folds until it commits."""
    days = [until - n * _DAY for n in range(story.DAYS + 1)]
    spans: dict[Unit, list[datetime]] = {"minute": [until - MINUTES_FOR, until], "hour": days, "day": days}
    with runtime.database.pool.connection() as connection, connection.transaction():
        for unit, moments in spans.items():
            partitions.ensure(connection, unit, moments)


@dataclass(frozen=True, slots=True)
class _Names:
    """The ids of endpoints by their place in `past.ENDPOINTS`, and of users by their external id."""

    endpoints: list[int]
    users: dict[str, int]


def _names(runtime: Runtime, env_id: int, until: datetime) -> _Names:
    """Find or make the users and endpoints, in a transaction of its own: the fold does the same."""
    everyone: Mapping[str, str | None] = {person.external_id: person.account_id for person in people()}
    called = [(SERVICE, it.method, it.route) for it in past.ENDPOINTS]
    with runtime.database.pool.connection() as connection, connection.transaction():
        connection.execute("select pg_advisory_xact_lock(%s, %s)", (LOCK, env_id))
        users = resolve_users(connection, everyone, source="demo") | {past.STRANGER: 0}
        found, _ = endpoints.resolve(connection, env_id, called, until - timedelta(days=story.DAYS))
    return _Names([found[name] for name in called], users)


class _Writer:
    """Writes one environment's past."""

    def __init__(self, connection: Connection[Any], env_id: int, names: _Names, until: datetime) -> None:
        self._connection, self._env_id, self._until = connection, env_id, until
        self._midnight = until.replace(hour=0, minute=0)
        self._minutes_from = until.replace(minute=0) - MINUTES_FOR
        self._start = self._midnight - timedelta(days=story.DAYS)
        self._seen: dict[int, tuple[int, int]] = {}
        self._failures: list[Failure] = []
        self._follows: list[tuple[date, int, int, int]] = []
        cells = past.cells()
        self._by_place = names.endpoints
        self._endpoints = np.array([names.endpoints[cell.endpoint] for cell in cells])
        self._users = np.array([names.users[cell.user] for cell in cells])
        self._statuses = np.array([cell.status for cell in cells])
        self._subjects = {
            (names.endpoints[cell.endpoint], names.users[cell.user], cell.status): Subject(
                SERVICE,
                past.ENDPOINTS[cell.endpoint].method,
                past.ENDPOINTS[cell.endpoint].route,
                cell.status,
                cell.user,
                cell.account,
            )
            for cell in cells
        }
        self._nowhere = adding.nowhere(connection, env_id)

    def write(self) -> int:
        """Write everything and return the number of calls."""
        calls, day = 0, self._start
        while day < self._until:
            counts = self._day(day)
            hours = counts.per(adding.HOUR)
            over = hours.where(hours.at < self._until.replace(minute=0).timestamp())
            self._put(over, day, (tables.HOUR, tables.ENDPOINT_HOUR, tables.USER_HOUR))
            if day < self._midnight:
                self._put(counts.per(adding.DAY), day, (tables.DAY, tables.ENDPOINT_DAY, tables.USER_DAY))
            for user, (first, last) in seen_by_user(counts).items():
                self._seen[user] = (self._seen.get(user, (first, last))[0], last)
            self._told(day, counts)
            calls += int(counts.calls.sum())
            day += _DAY
        self._finish()
        return calls

    def _day(self, day: datetime) -> Counts:
        """Return a day's counts, and write its minutes where those go back so far."""
        if day + _DAY <= self._minutes_from:
            return self._counts(day, 24, _HOUR)
        hours = max(0, (self._minutes_from - day) // _HOUR)
        first = day + hours * _HOUR
        minutes = self._counts(first, (min(day + _DAY, self._until) - first) // _MINUTE, _MINUTE)
        self._put(minutes, day, (tables.MINUTE, tables.ENDPOINT_MINUTE, None))
        return joined(self._counts(day, hours, _HOUR), minutes) if hours else minutes

    def _counts(self, start: datetime, steps: int, length: timedelta) -> Counts:
        drawn = past.calls(self._until, start, steps, length)
        durations: Ints = np.rint(ESTIMATES[drawn.latency.columns] * 1e6).astype(np.int64)
        firsts = np.searchsorted(drawn.latency.rows, np.arange(len(drawn.cells)))
        return Counts(
            at=int(start.timestamp()) + drawn.steps * int(length.total_seconds()),
            endpoint=self._endpoints[drawn.cells],
            user=self._users[drawn.cells],
            status=self._statuses[drawn.cells],
            calls=drawn.calls,
            micros=np.add.reduceat(durations * drawn.latency.counts, firsts),
            longest=np.maximum.reduceat(durations, firsts),
            approximate=np.zeros(len(drawn.cells), dtype=np.int64),
            latency=drawn.latency,
        )

    def _put(
        self, counts: Counts, day: datetime, families: tuple[tables.Table, tables.Table, tables.Table | None]
    ) -> None:
        """Write a day's counts into the families of a tier."""
        if not len(counts):
            return
        detail, by_endpoints, users = families
        bucket = Bucket(self._env_id, day, min(day + _DAY, self._until))
        tables.put(self._connection, bucket, detail, by_user(counts))
        tables.put(self._connection, bucket, by_endpoints, by_endpoint(counts))
        if users:
            tables.put(self._connection, bucket, users, of_user(counts, self._nowhere))

    def _told(self, day: datetime, counts: Counts) -> None:
        """Keep for the end what failed on a day, and which call followed which."""
        hours = summed(counts.per(adding.HOUR).where(np.isin(counts.status, list(FAILURES))))
        rows = (hours.endpoint, hours.user, hours.status, hours.at, hours.calls)
        for endpoint, user, status, at, calls in zip(*(row.tolist() for row in rows), strict=True):
            self._failures.append(Failure(self._subjects[endpoint, user, status], at // 60, *FAILURES[status], calls))
        for before, after, share in past.FOLLOWS:
            calls = round(share * int(counts.calls[counts.endpoint == self._by_place[before]].sum()))
            if calls:
                self._follows.append((day.date(), self._by_place[before], self._by_place[after], calls))

    def _finish(self) -> None:
        """Write what the fold adds to as well, and what the roll-up has to make once it is over."""
        self._connection.execute("select pg_advisory_xact_lock(%s, %s)", (LOCK, self._env_id))
        batch = Batch([], [], [], failures=self._failures)
        seen.note(self._connection, self._env_id, [batch], self._until)
        self._connection.cursor().executemany(_FOLLOWS, [(self._env_id, *row) for row in self._follows])
        days = [self._start + n * _DAY for n in range(story.DAYS + 1)]
        pulse.forget(self._connection, self._env_id, "hour", [day + n * _HOUR for day in days for n in range(24)])
        pulse.forget(self._connection, self._env_id, "day", days)
        for days_ago, version in story.RELEASES:
            at = self._until - timedelta(days=days_ago)
            self._connection.execute(_RELEASE, (self._env_id, SERVICE, version, at))
        self._connection.execute(_ANEW, (self._env_id, self._until))
        spans = ((user, adding.moment(first), adding.moment(last)) for user, (first, last) in self._seen.items())
        touch_users(self._connection, {user: (first, last) for user, first, last in spans})
        self._connection.execute(_NO_OLDER_MINUTES, {"at": self._minutes_from})
        hour, day = self._until.replace(minute=0), self._midnight
        adding.mark(self._connection, self._env_id, "hour", np.array([int(hour.timestamp())]), 0)
        adding.mark(self._connection, self._env_id, "day", np.array([int(day.timestamp())]), 0)
