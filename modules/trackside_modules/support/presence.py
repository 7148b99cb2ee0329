"""Who else has a thread open, and who writes in it: in Valkey alone, for seconds.

It is a courtesy: where Valkey is away nothing is said, and what must not be overwritten is refused by version anyway.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from weakref import WeakKeyDictionary

from redis import Redis, RedisError

from trackside.clock import Clock

LASTS = timedelta(seconds=25)
"""How long somebody counts as there after their page last said so; it says so every ten."""
QUIET = 15.0
"""Seconds without another try after Valkey did not answer, so that open pages do not each wait for it."""
_quiet: "WeakKeyDictionary[Redis, float]" = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Here:
    """Somebody who has the thread open."""

    member_id: int
    writing: bool


def note(redis: Redis, clock: Clock, number: int, member_id: int, *, writing: bool) -> list[Here]:
    """Note that a member has the thread `number` open; return who else has. Nobody where Valkey is away."""
    if clock.monotonic() < _quiet.get(redis, 0.0):
        return []
    key, now = f"{{support}}:here:{number}", clock.now()
    try:
        pipe = redis.pipeline(transaction=False)
        pipe.hset(key, str(member_id), f"{int(now.timestamp())}:{int(writing)}")
        pipe.expire(key, LASTS)
        pipe.hgetall(key)
        found: dict[bytes, bytes] = pipe.execute()[-1]
    except RedisError:
        _quiet[redis] = clock.monotonic() + QUIET
        return []
    return [each for each in _read(found, now) if each.member_id != member_id]


def _read(found: dict[bytes, bytes], now: datetime) -> list[Here]:
    since = (now - LASTS).timestamp()
    there = []
    for member, said in sorted(found.items()):
        at, _, writing = said.decode().partition(":")
        if member.isdigit() and at.isdigit() and int(at) > since:
            there.append(Here(int(member), writing == "1"))
    return sorted(there, key=lambda each: (not each.writing, each.member_id))
