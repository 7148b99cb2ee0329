"""The stream process: tickets, messages, slow readers, and Redis going away."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from itsdangerous import TimestampSigner

from trackside.module import StreamRoute
from trackside.settings import Settings
from trackside.stream.app import StreamApp
from trackside.stream.hub import BUFFER, Listener
from trackside.stream.ticket import check, stream_url


def channel(env_id: int) -> str:
    return f"{{e{env_id}}}:probe"


@pytest.fixture
def app(settings: Settings) -> StreamApp:  # type: ignore[override]
    return StreamApp(settings, {"probe": StreamRoute("probe", f"{__name__}:channel", "usage.view")})


class Browser:
    """One request: what was sent to it, and a way to go."""

    def __init__(self, app: StreamApp, path: str, query: str = "", method: str = "GET", origin: str = "") -> None:
        headers = [(b"origin", origin.encode())] if origin else []
        self.scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "headers": headers,
        }
        self.app, self.status, self.body, self.headers = app, 0, b"", dict[bytes, bytes]()
        self._gone = asyncio.Event()

    async def _receive(self) -> dict[str, Any]:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
        else:
            self.body += message["body"]

    def start(self) -> "asyncio.Task[None]":
        return asyncio.create_task(self.app(self.scope, self._receive, self._send))

    def leave(self) -> None:
        self._gone.set()


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(90):
        while not condition():
            await asyncio.sleep(0.01)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    # In a thread of its own: a browser that an earlier test left open keeps a loop running in this one.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, test()).result()


def test_what_is_published_reaches_the_browser(
    app: StreamApp, settings: Settings, redis_client: "redis.Redis[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trackside.stream.app.resolve", lambda ref: channel)

    async def test() -> None:
        query = stream_url(settings, "probe", 3).partition("?")[2]
        browser = Browser(app, "/stream/probe", query, origin="http://localhost")
        task = browser.start()
        await until(lambda: browser.body)
        await until(lambda: redis_client.pubsub_numsub(channel(3))[0][1] == 1)
        redis_client.publish(channel(4), "not for us")
        redis_client.publish(channel(3), '{"fold":1}\n\nevent: forged')
        await until(lambda: b"fold" in browser.body)
        assert browser.status == 200
        assert browser.headers[b"content-type"] == b"text/event-stream"
        assert browser.headers[b"access-control-allow-origin"] == b"http://localhost"
        assert b'event: change\ndata: {"fold":1}\ndata: \ndata: event: forged\n\n' in browser.body
        assert b"not for us" not in browser.body
        browser.leave()
        await task

    run(test)


@pytest.mark.parametrize(
    ("path", "ticket", "origin", "status"),
    [
        ("/healthz", "", "", 200),
        ("/", "", "", 404),
        ("/stream/other", "good", "", 404),
        ("/stream/probe", "", "", 401),
        ("/stream/probe", "forged", "", 401),
        ("/stream/probe", "other", "", 403),
        ("/stream/probe", "good", "https://evil.example", 403),
    ],
)
def test_who_may_not_listen_is_told(
    app: StreamApp, settings: Settings, path: str, ticket: str, origin: str, status: int
) -> None:
    stream = {"good": "probe", "other": "usage"}.get(ticket)
    query = stream_url(settings, stream, 1).partition("?")[2] if stream else f"ticket={ticket}"

    async def test() -> None:
        browser = Browser(app, path, query, origin=origin)
        await browser.start()
        assert browser.status == status

    run(test)


def test_a_ticket_opens_for_a_minute_only(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    signed = stream_url(settings, "probe", 7).partition("ticket=")[2]
    assert check(settings, signed).env_id == 7
    now = TimestampSigner.get_timestamp
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda self: now(self) + 62)
    with pytest.raises(Exception, match="not valid any more"):
        check(settings, signed)


def test_a_reader_that_does_not_read_is_let_go() -> None:
    listener = Listener()
    for number in range(BUFFER + 1):
        assert not listener.ended
        listener.offer(b"%d" % number)
    assert listener.ended
    assert len(listener.pending) == BUFFER


def test_a_redis_that_was_away_is_heard_again(
    app: StreamApp, settings: Settings, redis_client: "redis.Redis[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trackside.stream.app.resolve", lambda ref: channel)

    async def test() -> None:
        browser = Browser(app, "/stream/probe", stream_url(settings, "probe", 3).partition("?")[2])
        task = browser.start()
        await until(lambda: redis_client.pubsub_numsub(channel(3))[0][1] == 1)
        redis_client.client_kill_filter(_type="pubsub")
        await until(lambda: b"missed" in browser.body)
        await until(lambda: redis_client.pubsub_numsub(channel(3))[0][1] == 1)
        redis_client.publish(channel(3), "back")
        await until(lambda: b"back" in browser.body)
        browser.leave()
        await task

    run(test)
