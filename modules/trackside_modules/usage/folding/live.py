"""The speedometer: the last two hours in Redis, written after each fold's commit and rebuilt at will.

Redis keeps the number of the fold it last heard of. A fold's increments are applied only on top of the number before
it, so none is applied twice, and one that went missing, or a Redis that was emptied, shows as a difference: then it
is rebuilt from `usage_minute`. Losing Redis loses nothing.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import structlog
from redis import Redis, RedisError

from trackside.runtime import Runtime
from trackside_modules.usage.storage.counts import Counts, by_endpoint, seen_by_user
from trackside_modules.usage.storage.histogram import ZERO, Histogram, merge, unpack

log = structlog.get_logger(__name__)

KEPT_MINUTES = 120
_KEPT_SECONDS = (KEPT_MINUTES + 5) * 60

_APPLY = """
local function write(payload)
  for minute, fields in pairs(payload.minutes) do
    local key = ARGV[4] .. minute
    for name, by in pairs(fields) do redis.call('HINCRBY', key, name, by) end
    redis.call('EXPIRE', key, ARGV[5])
  end
  for user, at in pairs(payload.users) do redis.call('ZADD', KEYS[2], 'GT', at, user) end
  redis.call('EXPIRE', KEYS[2], ARGV[5])
end
local stored = redis.call('GET', KEYS[1])
local payload = cjson.decode(ARGV[3])
if payload.all then
  redis.call('DEL', KEYS[2])
  for _, minute in ipairs(payload.all) do redis.call('DEL', ARGV[4] .. minute) end
elseif stored == ARGV[2] then
  return 'known'
elseif stored ~= ARGV[1] then
  return 'behind'
end
write(payload)
redis.call('SET', KEYS[1], ARGV[2])
return 'done'
"""


_CALLS = "select at, endpoint_id, status, calls from usage_endpoint_minute where env_id = %s and at >= %s"
_LATENCIES = """
select at, latency, count(*) from usage_endpoint_minute where env_id = %s and at >= %s group by 1, 2
"""
_LAST = """
select user_id, max(minute) from usage_minute where env_id = %s and minute >= %s and user_id <> 0 group by 1
"""


def when(minute: int) -> datetime:
    """Return the start of a minute counted from 1970."""
    return datetime.fromtimestamp(minute * 60, UTC)


class Minute(msgspec.Struct):
    """One minute of an environment."""

    calls: int = 0
    client_errors: int = 0
    server_errors: int = 0
    latency: Histogram = {}
    endpoints: dict[int, int] = {}


@dataclass(slots=True)
class Change:
    """What a fold adds to the last two hours."""

    minutes: dict[int, Minute] = field(default_factory=lambda: defaultdict(Minute))
    users: dict[int, int] = field(default_factory=dict)
    """The last minute each user called in."""

    def add(self, at: int, endpoint_id: int, status: int, calls: int) -> None:
        """Add calls of the minute that begins `at` seconds since 1970."""
        minute = self.minutes[at // 60]
        minute.calls += calls
        minute.client_errors += calls if 400 <= status < 500 else 0
        minute.server_errors += calls if status >= 500 else 0
        minute.endpoints[endpoint_id] = minute.endpoints.get(endpoint_id, 0) + calls


def change(counts: Counts, since: int) -> Change:
    """Return what rows change in the minutes from `since` (counted from 1970) on."""
    made, recent = Change(), counts.where(counts.at >= since * 60)
    rows = by_endpoint(recent)
    for row in zip(*(column.tolist() for column in (*rows.keys, rows.sums[0])), strict=True):
        made.add(*row)
    buckets = zip((rows.keys[0][rows.latency.rows] // 60).tolist(), *rows.latency[1:], strict=True)
    for minute, column, count in buckets:
        latency = made.minutes[minute].latency
        latency[int(column) + ZERO] = latency.get(int(column) + ZERO, 0) + int(count)
    made.users = {user: last // 60 for user, (_, last) in seen_by_user(recent).items()}
    return made


def channel(env_id: int) -> str:
    """Return the Redis channel on which each change of an environment's usage is told."""
    return f"{{e{env_id}}}:usage"


def tell(runtime: Runtime, env_id: int, previous: int, number: int, changed: Change) -> None:
    """Add a fold's change to the live counters and announce it; a Redis that is away is no reason to fail."""
    try:
        answer = _write(runtime.redis.live, env_id, str(previous), str(number), _payload(changed))
        if answer == b"behind":
            rebuild(runtime, env_id)
        runtime.redis.pubsub.publish(channel(env_id), msgspec.json.encode({"fold": number}))
    except RedisError as error:
        log.warning("usage.live_away", env_id=env_id, error=type(error).__name__)


def check(runtime: Runtime, env_id: int) -> None:
    """Rebuild the live counters when Redis does not stand at the last fold."""
    with runtime.database.pool.connection() as connection:
        row = connection.execute("select number from usage_fold where env_id = %s", (env_id,)).fetchone()
    try:
        if row and runtime.redis.live.get(_key(env_id, "fold")) != str(row[0]).encode():
            rebuild(runtime, env_id)
    except RedisError as error:
        log.warning("usage.live_away", env_id=env_id, error=type(error).__name__)


def rebuild(runtime: Runtime, env_id: int) -> None:
    """Write the last two hours anew from `usage_minute`."""
    now = int(runtime.clock.now().timestamp()) // 60
    since = now - KEPT_MINUTES
    changed, number = _from_rows(runtime, env_id, since)
    payload = _payload(changed)
    payload["all"] = [str(minute) for minute in range(since - KEPT_MINUTES, now + 2)]
    _write(runtime.redis.live, env_id, "", str(number), payload)


def _from_rows(runtime: Runtime, env_id: int, since: int) -> tuple[Change, int]:
    made = Change()
    with runtime.database.pool.connection() as connection, connection.transaction():
        connection.execute("set transaction isolation level repeatable read, read only")
        row = connection.execute("select number from usage_fold where env_id = %s", (env_id,)).fetchone()
        values = (env_id, when(since))
        for at, endpoint_id, status, calls in connection.execute(_CALLS, values):
            made.add(int(at.timestamp()), endpoint_id, status, calls)
        for at, packed, times in connection.execute(_LATENCIES, values):
            merge(made.minutes[int(at.timestamp()) // 60].latency, unpack(packed), times)
        rows = connection.execute(_LAST, values)
        made.users = {user: int(minute.timestamp()) // 60 for user, minute in rows}
    return made, row[0] if row else 0


def _payload(changed: Change) -> dict[str, Any]:
    """Return a change as the script reads it; numbers as text, since Lua would round long ones."""
    minutes: dict[str, dict[str, str]] = {}
    for minute, it in changed.minutes.items():
        counted = {"calls": it.calls, "4xx": it.client_errors, "5xx": it.server_errors}
        counted |= {f"h{index}": count for index, count in it.latency.items()}
        counted |= {f"e{endpoint}": calls for endpoint, calls in it.endpoints.items()}
        minutes[str(minute)] = {name: str(count) for name, count in counted.items() if count}
    return {"minutes": minutes, "users": {str(user): str(minute) for user, minute in changed.users.items()}}


def _key(env_id: int, name: str) -> str:
    return f"{{e{env_id}}}:usage:{name}"


def _write(client: "Redis", env_id: int, previous: str, number: str, payload: dict[str, Any]) -> Any:
    keys = (_key(env_id, "fold"), _key(env_id, "active"))
    arguments = (previous, number, msgspec.json.encode(payload), _key(env_id, "m:"), str(_KEPT_SECONDS))
    return client.eval(_APPLY, len(keys), *keys, *arguments)


@dataclass(frozen=True, slots=True)
class Live:
    """What the last minutes look like."""

    minutes: list[tuple[int, Minute]]
    active_users: int

    def endpoints(self) -> Counter[int]:
        """Return the calls by endpoint."""
        counted: Counter[int] = Counter()
        for _, minute in self.minutes:
            counted.update(minute.endpoints)
        return counted


def read(runtime: Runtime, env_id: int, minutes: int, active: timedelta = timedelta(minutes=5)) -> Live | None:
    """Return the last `minutes` minutes and how many users were active lately; None where Redis does not know."""
    now = int(runtime.clock.now().timestamp()) // 60
    wanted = range(now - minutes + 1, now + 1)
    try:
        client = runtime.redis.live
        if client.get(_key(env_id, "fold")) is None:
            return None
        with client.pipeline(transaction=False) as pipe:
            for minute in wanted:
                pipe.hgetall(_key(env_id, f"m:{minute}"))
            pipe.zcount(_key(env_id, "active"), now - int(active.total_seconds()) // 60, "+inf")
            *found, users = pipe.execute()
    except RedisError:
        return None
    return Live([(minute, _minute(fields.items())) for minute, fields in zip(wanted, found, strict=True)], users)


def _minute(fields: Iterable[tuple[bytes, bytes]]) -> Minute:
    minute = Minute()
    for name, raw in fields:
        count, kind = int(raw), name[:1]
        if kind == b"h":
            minute.latency[int(name[1:])] = count
        elif kind == b"e":
            minute.endpoints[int(name[1:])] = count
        elif name == b"calls":
            minute.calls = count
        elif name == b"4xx":
            minute.client_errors = count
        else:
            minute.server_errors = count
    return minute
