"""The counters of limits in Redis, each use one atomic script.

Time is Redis' own: one clock for every process, so that their skews cannot grant twice. A limit's counters of a window
are one sorted set, member to used units; those of GCRA are one sorted set, member to the microsecond at which the
member will have everything back. The nearest to a limit are therefore read without looking at the others, a window's
set goes by itself when the window is over, and of GCRA only who owes something is kept.

A clock that jumps forward begins a new window; one that jumps back finds the old window's count. With GCRA nobody owes
more than one full burst, so a jump back heals within the time a burst takes to come back.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from redis import Redis

from trackside_modules.usage.quota.rules import LEVELS, WEEKDAY, Limit

MOST_STRANGERS = 100_000
"""Counters of a window from which on ids that Trackside does not know get none of their own: memory stays flat."""
MOST_UNTOLD = 10_000
"""Crossings that wait in Redis to be stored."""

_TAKE = """
local base, untold = KEYS[1], KEYS[2]
local member, alias, stranger, kind = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local amount, seconds, capacity, unit = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local cost, announced, now = tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local function whole(number) return string.format('%.0f', number) end
local function start_of(length)
  local second = math.floor(now / 1000000)
  return second - math.fmod(second - WEEKDAY, length)
end
local gcra = kind == 'gcra'
local start = start_of(seconds)
local key = base .. (gcra and ':g' or ':' .. whole(start))

-- what was used before: units of the window, or microseconds owed
local function owed(name)
  local score = tonumber(redis.call('ZSCORE', key, name) or nil)
  if not score then return nil end
  return gcra and math.max(0, score - now) or score
end
local before = owed(member)
local moved = alias ~= '' and owed(alias) or nil
if not before and not moved and stranger == '1' and cost > 0 and redis.call('ZCARD', key) >= MOST_STRANGERS then
  return {1, 0, now, start, 0, 0, 1}
end
local full = capacity * unit
before = (before or 0) + (moved or 0)
if gcra then before = math.min(before, full) end

local after = before + math.max(cost, 1) * unit
local allowed = after <= full
if not allowed or cost == 0 then after = before end
local refused, told = 0, 0
if cost > 0 then
  local lasts = gcra and math.ceil(full / 1000000) or start + seconds - math.floor(now / 1000000)
  if allowed or moved then
    if moved then redis.call('ZREM', key, alias) end
    if gcra then redis.call('ZREMRANGEBYSCORE', key, '-inf', whole(now)) end
    redis.call('ZADD', key, whole(gcra and now + after or after), member)
    redis.call('EXPIRE', key, whole(lasts + 60))
  end
  local since = start_of(announced)
  if not allowed then
    local key_refused = base .. ':refused:' .. whole(since)
    refused = redis.call('HINCRBY', key_refused, member, 1)
    redis.call('EXPIRE', key_refused, whole(since + announced - math.floor(now / 1000000) + 60))
  end
  local key_told = base .. ':told:' .. whole(since)
  for _, level in ipairs({LEVELS}) do
    local crossed = before * 100 < level * full and after * 100 >= level * full
    if (crossed or (level == 100 and refused == 1)) and redis.call('SADD', key_told, member .. ' ' .. level) == 1 then
      redis.call('EXPIRE', key_told, whole(since + announced - math.floor(now / 1000000) + 60))
      told = told + 1
      if redis.call('LLEN', untold) < MOST_UNTOLD then
        local used = math.ceil(after / unit)
        redis.call('RPUSH', untold, table.concat(
          {ARGV[12], member, level, whole(since), whole(used), whole(capacity), whole(now)}, ' '))
      end
    end
  end
end
return {allowed and 1 or 0, after, now, start, refused, told, 0}
"""
for _name, _value in (
    ("MOST_STRANGERS", str(MOST_STRANGERS)),
    ("MOST_UNTOLD", str(MOST_UNTOLD)),
    ("WEEKDAY", str(WEEKDAY)),
    ("LEVELS", ", ".join(map(str, LEVELS))),
):
    _TAKE = _TAKE.replace(_name, _value)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of asking. Times are in seconds; `used` and `remaining` in units of cost."""

    allowed: bool
    used: int
    remaining: int
    reset: float
    """Until all of it is there again."""
    next: float
    """Until more is there than now: the window's end, or the next unit of GCRA; 0 where nothing is used."""
    retry_after: float
    """Until the cost asked for can be granted; 0 where it was."""
    refused: int
    """Refusals of this member in this window, this one included; 0 for a grant."""
    told: int
    """Crossings that wait to be stored since."""
    full: bool
    """Not counted at all: too many unknown ids have counters."""


class Counters:
    """The counters on one Redis.

    Args:
        client: its socket timeout is the longest that a check waits.
        at: microseconds since 1970, for tests; default Redis' own clock.

    """

    def __init__(self, client: "Redis", at: Callable[[], int] | None = None) -> None:
        self._client = client
        self._at = at
        self._take = client.register_script(_TAKE)

    def take(self, limit: Limit, member: str, cost: int, *, alias: str = "", stranger: bool = False) -> Outcome:
        """Use `cost` units of `limit` if that many are left; 0 only looks. Raises RedisError where Redis is away.

        What was used under `alias`, by somebody not known then, moves to `member`.
        """
        unit = limit.interval if limit.kind == "gcra" else 1
        found = self._take(
            keys=(_base(limit), untold_key(limit.env_id)),
            args=(
                member,
                alias,
                "1" if stranger else "0",
                limit.kind,
                limit.amount,
                limit.seconds,
                limit.capacity,
                unit,
                cost,
                limit.announced,
                "" if self._at is None else self._at(),
                limit.id,
            ),
        )
        return _outcome(limit, unit, max(cost, 1), found)

    def now(self) -> int:
        """Return the time, in microseconds since 1970."""
        if self._at is not None:
            return self._at()
        seconds, micros = self._client.time()
        return int(seconds) * 10**6 + int(micros)

    def nearest(self, limits: Iterable[Limit], now: int, most: int) -> dict[int, list[tuple[str, int]]]:
        """Return for each limit, by its id, the members that used most of it: `(member, used)`, the most first."""
        asked = list(limits)
        with self._client.pipeline(transaction=False) as pipe:
            for each in asked:
                pipe.zrevrange(_state(each, now), 0, most - 1, withscores=True)
            found = pipe.execute()
        return {
            limit.id: [(member.decode(), _used(limit, int(score), now)) for member, score in rows]
            for limit, rows in zip(asked, found, strict=True)
        }

    def refusals(self, wanted: Iterable[tuple[Limit, str]], now: int) -> list[int]:
        """Return how often each member was refused in the window going on."""
        with self._client.pipeline(transaction=False) as pipe:
            for limit, member in wanted:
                since = limit.window_at(now // 10**6, limit.announced)
                pipe.hget(f"{_base(limit)}:refused:{since}", member)
            return [int(each or 0) for each in pipe.execute()]


def untold_key(env_id: int) -> str:
    """Return the list of crossings that are not stored yet."""
    return f"{{e{env_id}}}:quota:untold"


def _base(limit: Limit) -> str:
    # another kind or length counts anew: numbers of one make no sense for the other
    return f"{{e{limit.env_id}}}:quota:{limit.id}:{limit.kind}:{limit.seconds}"


def _state(limit: Limit, now: int) -> str:
    return f"{_base(limit)}:g" if limit.kind == "gcra" else f"{_base(limit)}:{limit.window_at(now // 10**6)}"


def _used(limit: Limit, score: int, now: int) -> int:
    return max(0, -((now - score) // limit.interval)) if limit.kind == "gcra" else score


def _outcome(limit: Limit, unit: int, cost: int, found: list[Any]) -> Outcome:
    allowed, after, now, start, refused, told, full = map(int, found)
    used, left = -(-after // unit), max(0, limit.capacity - -(-after // unit))
    if limit.kind == "gcra":
        reset = after / 10**6
        next_ = (after % unit or (unit if after else 0)) / 10**6
        retry = max(0, after + cost * unit - limit.capacity * unit) / 10**6
    else:
        reset = next_ = start + limit.seconds - now / 10**6
        retry = reset
    return Outcome(bool(allowed), used, left, reset, next_, 0.0 if allowed else retry, refused, told, bool(full))
