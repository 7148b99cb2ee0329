"""Redis by role: the queue, the live counters, publish and subscribe.

Three URLs may be one server. redis-py repeats a command ten times by default, which does things twice; here nothing is
repeated, and every caller lives with `redis.RedisError`: PostgreSQL is the ledger, Redis only the speedometer.
"""

from functools import cached_property
from typing import TYPE_CHECKING

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

if TYPE_CHECKING:
    from trackside.settings import Settings

__all__ = ["RedisClients", "connect"]


def connect(url: str, *, timeout: float | None = 2.0) -> "Redis":
    """Return a client of `url` that never repeats a command; `timeout` in seconds, None waits for ever."""
    patience = 2.0 if timeout is None else min(timeout, 2.0)
    return Redis.from_url(url, socket_timeout=timeout, socket_connect_timeout=patience, retry=Retry(NoBackoff(), 0))


class RedisClients:
    """The clients of one process, each made when first used."""

    def __init__(self, settings: "Settings") -> None:
        self._settings = settings

    @cached_property
    def queue(self) -> "Redis":
        """RQ's server, for ringing; never a cluster. Workers, which block on it, make their own."""
        return connect(self._settings.redis_queue_url)

    @cached_property
    def live(self) -> "Redis":
        """Live counters; every key is hash-tagged `{e<env_id>}`."""
        return connect(self._settings.redis_live_url)

    @cached_property
    def pubsub(self) -> "Redis":
        """Announcements to streams and caches."""
        return connect(self._settings.redis_pubsub_url)
