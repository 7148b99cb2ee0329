"""One subscription to Redis for all streams of the process, handed on to each listener through a bounded buffer."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import structlog
from redis import RedisError
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

log = structlog.get_logger(__name__)

BUFFER = 16
"""Messages that wait for a slow reader; one more ends its stream, and the browser comes back by itself."""
_POLL = 0.25
_PATIENCE = (0.2, 0.5, 1.0, 2.0, 5.0)
_HOME = "trackside:stream"
"""A channel of our own, so that the subscription is never empty."""
MISSED = b'{"missed":true}'
"""Told to all after Redis was away: something may have happened."""


class Listener:
    """One stream's buffer."""

    __slots__ = ("messages", "slow")

    def __init__(self) -> None:
        self.messages: asyncio.Queue[bytes] = asyncio.Queue(BUFFER)
        self.slow = False

    def offer(self, message: bytes) -> None:
        """Put a message into the buffer, or note that its reader is too slow."""
        try:
            self.messages.put_nowait(message)
        except asyncio.QueueFull:
            self.slow = True


class Hub:
    """Hears what is published and hands it to the listeners of each channel."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._listeners: dict[str, set[Listener]] = defaultdict(set)

    @property
    def size(self) -> int:
        """How many listen."""
        return sum(map(len, self._listeners.values()))

    @contextmanager
    def listening(self, channel: str) -> Iterator[Listener]:
        """Hear a channel for as long as the block runs."""
        listener = Listener()
        self._listeners[channel].add(listener)
        try:
            yield listener
        finally:
            self._listeners[channel].discard(listener)
            if not self._listeners[channel]:
                del self._listeners[channel]

    async def run(self) -> None:
        """Stay subscribed for ever, coming back with patience when Redis is away."""
        failures = 0
        while True:
            client = Redis.from_url(self._url, retry=Retry(NoBackoff(), 0), socket_connect_timeout=2.0)
            try:
                async with client.pubsub() as pubsub:
                    await pubsub.subscribe(_HOME)
                    if failures:
                        self._tell_all(MISSED)
                    failures = 0
                    await self._hear(pubsub)
            except (RedisError, OSError) as error:
                log.warning("stream.redis_away", error=type(error).__name__)
                await asyncio.sleep(_PATIENCE[min(failures, len(_PATIENCE) - 1)])
                failures += 1
            finally:
                with suppress(RedisError, OSError):
                    await client.aclose()

    async def _hear(self, pubsub: PubSub) -> None:
        subscribed: set[str] = set()
        while True:
            wanted = set(self._listeners)
            if wanted - subscribed:
                await pubsub.subscribe(*sorted(wanted - subscribed))
            if subscribed - wanted:
                await pubsub.unsubscribe(*sorted(subscribed - wanted))
            subscribed = wanted
            message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=_POLL)
            if message is not None and isinstance(message["data"], bytes):
                for listener in self._listeners.get(message["channel"].decode(), ()):
                    listener.offer(message["data"])

    def _tell_all(self, message: bytes) -> None:
        for listeners in self._listeners.values():
            for listener in listeners:
                listener.offer(message)
