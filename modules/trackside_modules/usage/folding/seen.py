"""What the fold keeps of single requests and failures: `usage_sample`, and `usage_error` with its hours.

Failures are one group where service, endpoint, status and type are the same and their messages differ in numbers, ids
and quoted values alone. Every failure counts; samples are kept a few of a kind.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from psycopg import Connection

from trackside_modules.usage.folding import endpoints, identities
from trackside_modules.usage.ingest.batch import Batch, Failure, Sample, Subject
from trackside_modules.usage.storage import pulse, reach

MOST_ERRORS = 5000
"""Groups of an environment; what comes after shares one group by service, endpoint and status."""
PER_MINUTE, PER_USER = 20, 5
"""Samples kept of one endpoint and status in a minute, and of one user among them."""
KEEP, KEEP_GROUPS = timedelta(days=30), timedelta(days=395)

_TEMPLATES = (
    (re.compile(r"\"[^\"]{0,200}\"|'[^']{0,200}'|`[^`]{0,200}`"), "<value>"),
    (re.compile(r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b"), "<id>"),
    (re.compile(r"\b0x[0-9a-fA-F]+\b|\b(?=[a-f]*\d)[0-9a-f]{12,}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?"), "<time>"),
    (re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b"), "<address>"),
    (re.compile(r"(?<![A-Za-z])[-+]?\d+(?:[.,_]\d+)*(?:e[-+]?\d+)?"), "<n>"),
)

_FIND = "select key, id from usage_error where env_id = %s and key = any(%s)"
_USERS = "select id, users from usage_error where env_id = %s and id = any(%s)"
_COUNT = "select count(*) from usage_error where env_id = %s"
_MAKE = """
insert into usage_error
    (env_id, key, service, endpoint_id, status, error, message, calls, users, first_seen_at, last_seen_at)
select %s, it.* from unnest(%s::bytea[], %s::text[], %s::bigint[], %s::smallint[], %s::text[], %s::text[],
    %s::bigint[], %s::bytea[], %s::timestamptz[], %s::timestamptz[]) as it returning key, id
"""
_ADD = """
update usage_error e set calls = e.calls + it.calls, users = it.users,
    first_seen_at = least(e.first_seen_at, it.first), last_seen_at = greatest(e.last_seen_at, it.last)
from unnest(%s::bigint[], %s::bigint[], %s::bytea[], %s::timestamptz[], %s::timestamptz[])
    as it (id, calls, users, first, last)
where e.env_id = %s and e.id = it.id
"""
_HOURS = """
select h.error_id, h.at, h.users from usage_error_hour h
join unnest(%s::bigint[], %s::timestamptz[]) as it (error_id, at) using (error_id, at) where h.env_id = %s
"""
_ADD_HOURS = """
insert into usage_error_hour (env_id, error_id, at, calls, users)
select %s, it.* from unnest(%s::bigint[], %s::timestamptz[], %s::bigint[], %s::bytea[]) as it
on conflict (env_id, error_id, at) do update
set calls = usage_error_hour.calls + excluded.calls, users = excluded.users
"""
_KEPT = """
select it.endpoint_id, it.status, it.minute, s.user_id
from unnest(%s::bigint[], %s::smallint[], %s::timestamptz[]) as it (endpoint_id, status, minute)
join usage_sample s on s.env_id = %s and s.endpoint_id = it.endpoint_id and s.status = it.status
    and s.at >= it.minute and s.at < it.minute + interval '1 minute'
"""
_SAMPLE = """
insert into usage_sample (env_id, at, endpoint_id, user_id, status, micros, path, error, message, trace, error_id)
select %s, it.* from unnest(%s::timestamptz[], %s::bigint[], %s::bigint[], %s::smallint[], %s::bigint[], %s::text[],
    %s::text[], %s::text[], %s::text[], %s::bigint[]) as it
"""
_WITH_SPANS = "select service from usage_source where env_id = %s and signal = 'traces' and last_seen_at > %s"

Key = tuple[str, int, int, str, str]
"""Service, endpoint, status, type, templated message."""


@dataclass(slots=True)
class _Group:
    """What is added to an error."""

    calls: int = 0
    users: set[int] = field(default_factory=set)
    first: datetime | None = None
    last: datetime | None = None
    hours: Counter[datetime] = field(default_factory=Counter[datetime])
    hour_users: dict[datetime, set[int]] = field(default_factory=dict[datetime, set[int]])

    def add(self, at: datetime, user: int, calls: int) -> None:
        """Count failures of a user in the minute `at`."""
        self.calls += calls
        self.first, self.last = min(at, self.first or at), max(at, self.last or at)
        hour = at.replace(minute=0)
        self.hours[hour] += calls
        self.users.add(user)
        self.hour_users.setdefault(hour, set()).add(user)


@lru_cache(256)  # the same few messages come again and again
def templated(message: str) -> str:
    """Return a message with `<n>`, `<id>`, `<value>`, `<time>` and `<address>` for what differs between failures."""
    for pattern, instead in _TEMPLATES:
        message = pattern.sub(instead, message)
    return message[:500]


class Names:
    """The numbers of endpoints and users of what was seen."""

    def __init__(self, connection: Connection[Any], env_id: int, subjects: set[Subject], now: datetime) -> None:
        named = {(s.service, s.method, s.route) for s in subjects if s.route}
        self._endpoints, _ = endpoints.resolve(connection, env_id, named, now)
        self._users, _ = identities.resolve(connection, subjects)

    def endpoint(self, subject: Subject) -> int:
        """Return the endpoint's number, 0 for what belongs to none."""
        return self._endpoints.get((subject.service, subject.method, subject.route), 0)

    def user(self, subject: Subject) -> int:
        """Return the user's number, 0 for nobody known."""
        return self._users.get(subject.user, 0)


def note(
    connection: Connection[Any],
    env_id: int,
    batches: Sequence[Batch],
    now: datetime,
) -> None:
    """Add failures to their groups, and keep samples while there is room in their minute."""
    failures = [it for batch in batches for it in batch.failures]
    samples = [it for batch in batches for it in batch.samples]
    if not failures and not samples:
        return
    subjects = {it.subject for it in failures} | {it.subject for it in samples}
    names = Names(connection, env_id, subjects, now)
    known = _failed(connection, env_id, failures, names, now)
    _keep(connection, env_id, samples, names, known)


def _failed(
    connection: Connection[Any], env_id: int, failures: list[Failure], names: Names, now: datetime
) -> Mapping[Key, int]:
    """Add failures to their groups, and return the groups' ids."""
    if any(it.logged for it in failures):
        told = {service for (service,) in connection.execute(_WITH_SPANS, (env_id, now - timedelta(hours=1)))}
        failures = [it for it in failures if not (it.logged and it.subject.service in told)]
    groups: dict[Key, _Group] = {}
    for it in failures:
        at = min(datetime.fromtimestamp(it.minute * 60, UTC), now)
        groups.setdefault(_key(it, names), _Group()).add(at, names.user(it.subject), it.calls)
    if not groups:
        return {}
    ids, groups = _resolved(connection, env_id, groups)
    _add_hours(connection, env_id, {ids[key]: group for key, group in groups.items()})
    pulse.forget_past(connection, env_id, (hour for group in groups.values() for hour in group.hours), now)
    return ids


def _key(it: Failure | Sample, names: Names) -> Key:
    return it.subject.service, names.endpoint(it.subject), it.subject.status, it.error, templated(it.message)


def _hash(key: Key) -> bytes:
    return hashlib.blake2b("\0".join(map(str, key)).encode("utf-8", "replace"), digest_size=16).digest()


def _resolved(
    connection: Connection[Any], env_id: int, groups: dict[Key, _Group]
) -> tuple[dict[Key, int], dict[Key, _Group]]:
    """Add to the groups that are there and make the others, those over the limit under one name; return their ids."""
    ids = _ids(connection, env_id, groups)
    fresh = [key for key in groups if key not in ids]
    if fresh:
        row = connection.execute(_COUNT, (env_id,)).fetchone()
        for key in fresh[max(0, MOST_ERRORS - (row[0] if row else 0)) :]:
            _merge(groups, key, (*key[:3], "", "(other)"))
        ids = _ids(connection, env_id, groups)
    known, fresh = [key for key in groups if key in ids], [key for key in groups if key not in ids]
    stored = dict(connection.execute(_USERS, (env_id, [ids[key] for key in known])).fetchall()) if known else {}
    if known:
        rows = [groups[key] for key in known]
        users = [_united(stored[ids[key]], groups[key].users) for key in known]
        spans = [it.first for it in rows], [it.last for it in rows]
        connection.execute(_ADD, ([ids[key] for key in known], [it.calls for it in rows], users, *spans, env_id))
    if fresh:
        rows = [groups[key] for key in fresh]
        columns = [list(column) for column in zip(*fresh, strict=True)]
        users = [reach.pack(it.users) for it in rows]
        spans = [it.first for it in rows], [it.last for it in rows]
        values = (env_id, list(map(_hash, fresh)), *columns, [it.calls for it in rows], users, *spans)
        made = dict(connection.execute(_MAKE, values).fetchall())
        ids |= {key: made[_hash(key)] for key in fresh}
    return ids, groups


def _ids(connection: Connection[Any], env_id: int, groups: Iterable[Key]) -> dict[Key, int]:
    hashes = {_hash(key): key for key in groups}
    return {hashes[bytes(key)]: id_ for key, id_ in connection.execute(_FIND, (env_id, list(hashes)))}


def _merge(groups: dict[Key, _Group], key: Key, into: Key) -> None:
    group, target = groups.pop(key), groups.setdefault(into, _Group())
    target.calls += group.calls
    target.users |= group.users
    target.first = min(filter(None, (target.first, group.first)))
    target.last = max(filter(None, (target.last, group.last)))
    target.hours.update(group.hours)
    for hour, users in group.hour_users.items():
        target.hour_users.setdefault(hour, set()).update(users)


def _united(stored: bytes, users: set[int]) -> bytes:
    return reach.pack(reach.unpack(stored).union(reach.unpack(reach.pack(users))))


def _add_hours(connection: Connection[Any], env_id: int, groups: Mapping[int, _Group]) -> None:
    cells = sorted((error_id, hour) for error_id, group in groups.items() for hour in group.hours)
    keys = [error_id for error_id, _ in cells], [hour for _, hour in cells]
    users = {(id_, at): group for id_, at, group in connection.execute(_HOURS, (*keys, env_id))}
    packed = [
        _united(users[id_, at], groups[id_].hour_users[at])
        if (id_, at) in users
        else reach.pack(groups[id_].hour_users[at])
        for id_, at in cells
    ]
    connection.execute(_ADD_HOURS, (env_id, *keys, [groups[id_].hours[at] for id_, at in cells], packed))


def _keep(
    connection: Connection[Any], env_id: int, samples: list[Sample], names: Names, known: Mapping[Key, int]
) -> None:
    """Keep samples, at most so many of an endpoint, status and minute, and of a user among them."""
    found = [(datetime.fromtimestamp(it.at / 1e9, UTC), names.endpoint(it.subject), it) for it in samples]
    places = sorted({(endpoint, it.subject.status, at.replace(second=0, microsecond=0)) for at, endpoint, it in found})
    if not places:
        return
    there = connection.execute(_KEPT, (*map(list, zip(*places, strict=True)), env_id)).fetchall()
    taken: Counter[tuple[Any, ...]] = Counter(tuple(row[:3]) for row in there)
    taken.update(Counter(tuple(row) for row in there))
    rows: list[tuple[Any, ...]] = []
    for at, endpoint, it in found:
        user = names.user(it.subject)
        place = (endpoint, it.subject.status, at.replace(second=0, microsecond=0))
        if taken[place] >= PER_MINUTE or (user and taken[*place, user] >= PER_USER):
            continue
        taken[place] += 1
        taken[*place, user] += 1
        error_id = known.get(_key(it, names))
        micros, texts = it.micros, (it.path, it.error, it.message, it.trace)
        rows.append((at, endpoint, user, it.subject.status, micros, *texts, error_id))
    if rows:
        connection.execute(_SAMPLE, (env_id, *map(list, zip(*rows, strict=True))))
