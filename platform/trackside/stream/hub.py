"""One subscription to Redis for all streams of the process, handed on to each listener through a bounded buffer.

Thousands of idle streams cost what they remember: a listener is a list and a future, no task or timer of its own. One
beat a second looks after a part of them, so that each is kept alive every `KEEP_ALIVE` seconds.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import count

import structlog
from redis import RedisError
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from trackside.stream.feed import News

log = structlog.get_logger(__name__)

BUFFER = 16
"""Events that wait for a slow reader; one more ends its stream, and the browser comes back by itself."""
KEEP_ALIVE = 15
"""Seconds of silence after which a comment is sent, so that proxies keep the connection."""
SEND_LIMIT = 10.0
"""Seconds that a reader may take for what it is sent."""
_POLL = 0.25
_PATIENCE = (0.2, 0.5, 1.0, 2.0, 5.0)
_HOME = "trackside:stream"
"""A channel of our own, so that the subscription is never empty."""
MISSED = b'{"missed":true}'
"""Told to all after Redis was away: something may have happened."""
_COMMENT = b":\n\n"
_numbers = count()


class Listener:
    """One stream's buffer: events as they are sent."""

    __slots__ = ("_number", "_waiter", "ended", "is_insider", "may_stay", "pending", "push", "sending", "stop")

    def __init__(self, may_stay: Callable[[], bool] | None = None, *, is_insider: bool = False) -> None:
        """Listen for as long as `may_stay` says so, which is asked now and then."""
        self.is_insider = is_insider
        self.pending: list[bytes] = []
        self.ended = False
        """Whether its reader has gone, is too slow, or may not stay."""
        self.may_stay = may_stay
        self.push: Callable[[bytes], bool] | None = None
        """Sends at once and returns whether it could, where the server can do that."""
        self.sending = 0.0
        """Since when its reader is being sent something, by the loop's clock; 0 while nothing is."""
        self.stop: Callable[[], object] = lambda: None
        """Ends a stream that hangs in sending."""
        self._waiter: asyncio.Future[None] | None = None
        self._number = next(_numbers)

    def offer(self, event: bytes) -> None:
        """Send an event, or put it into the buffer; a reader who has too many of them waiting is let go."""
        if self.push is not None and not self.pending and not self.sending and self.push(event):
            return
        if len(self.pending) >= BUFFER:
            self.end()
        else:
            self.pending.append(event)
            self._wake()

    def end(self) -> None:
        """Let the stream end."""
        self.ended = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def next(self) -> bytes:
        """Wait for events and return them all; empty where the stream has ended."""
        if not self.pending and not self.ended:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        found, self.pending = self.pending, []
        return b"".join(found)

    def beat(self, second: int, now: float) -> None:
        """Look after the stream: keep it alive when it is its turn, end it where it hangs or may not go on."""
        if self.sending and now - self.sending > SEND_LIMIT:
            self.ended = True
            self.stop()
        elif self.may_stay is not None and not self.may_stay():
            self.end()
        elif (second + self._number) % KEEP_ALIVE == 0 and not self.pending:
            self.offer(_COMMENT)


def plain_event(message: bytes) -> News:
    """Return a message as an event of the type `change`, the same for everybody."""
    event = b"event: change\n" + b"".join(b"data: " + line + b"\n" for line in message.splitlines()) + b"\n"
    return News(event, event)


class Hub:
    """Hears what is published and hands it to the listeners of each channel."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._listeners: dict[str, set[Listener]] = defaultdict(set)
        self.bells: dict[str, Callable[[], object]] = {}
        """Called when something is published in these channels, in place of passing it on."""

    @property
    def size(self) -> int:
        """How many listen."""
        return sum(map(len, self._listeners.values()))

    @contextmanager
    def listening(self, channel: str, listener: Listener | None = None) -> Iterator[Listener]:
        """Hear a channel for as long as the block runs."""
        listener = listener or Listener()
        self._listeners[channel].add(listener)
        try:
            yield listener
        finally:
            self._listeners[channel].discard(listener)
            if not self._listeners[channel]:
                del self._listeners[channel]

    def tell(self, channel: str, news: News) -> None:
        """Hand an event to everyone who hears a channel: the same bytes for all, or for all insiders."""
        for listener in tuple(self._listeners.get(channel, ())):
            listener.offer(news.insiders if listener.is_insider else news.everybody)

    async def beat(self) -> None:
        """Look after all streams for ever."""
        second = 0
        while True:
            await asyncio.sleep(1)
            second += 1
            now = asyncio.get_running_loop().time()
            for listeners in list(self._listeners.values()):
                for listener in tuple(listeners):
                    listener.beat(second, now)

    async def run(self) -> None:
        """Stay subscribed for ever, coming back with patience when Redis is away."""
        failures = 0
        while True:
            client = Redis.from_url(self._url, retry=Retry(NoBackoff(), 0), socket_connect_timeout=2.0)
            try:
                async with client.pubsub() as pubsub:
                    await pubsub.subscribe(_HOME)
                    if failures:
                        self._missed()
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
                self._ring(wanted - subscribed)
            if subscribed - wanted:
                await pubsub.unsubscribe(*sorted(subscribed - wanted))
            subscribed = wanted
            message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=_POLL)
            if message is not None and isinstance(message["data"], bytes):
                channel = message["channel"].decode()
                bell = self.bells.get(channel)
                if bell is not None:
                    bell()
                else:
                    self.tell(channel, plain_event(message["data"]))

    def _ring(self, channels: Iterable[str]) -> None:
        """Let feeds look: something may have been published before we heard these channels."""
        for channel in channels:
            if channel in self.bells:
                self.bells[channel]()

    def _missed(self) -> None:
        event = plain_event(MISSED)
        for channel in list(self._listeners):
            bell = self.bells.get(channel)
            if bell is not None:
                bell()
            else:
                self.tell(channel, event)
