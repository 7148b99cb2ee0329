"""The server of streams: what it takes for a request, what it answers, and when it ends."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from trackside.stream import server
from trackside.stream.server import Connection, read_head


async def app(scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
    """Answer `/once` with all that was read; stream on every other path until the reader goes."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-told", b"yes")]})
    if scope["path"] == "/once":
        body = repr((scope["method"], scope["query_string"], scope["headers"])).encode()
        await send({"type": "http.response.body", "body": body, "more_body": False})
        return
    gone = asyncio.ensure_future(receive())
    try:
        while not gone.done():
            await send({"type": "http.response.body", "body": b"data: x\n\n" * 4000, "more_body": True})
            await asyncio.sleep(0)
    except OSError:
        pass


def talk(*parts: bytes, pause: float = 0.01) -> bytes:
    """Send parts, and return all that came back until the connection ended."""

    async def run() -> bytes:
        every: set[Connection] = set()
        listening = await asyncio.get_running_loop().create_server(lambda: Connection(app, every), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*listening.sockets[0].getsockname()[:2])
        for part in parts:
            writer.write(part)
            await asyncio.sleep(pause)
        async with asyncio.timeout(5):
            answer = await reader.read()
        writer.close()
        listening.close()
        return answer

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, run()).result()


def test_a_request_in_pieces_is_answered_once_and_the_connection_ends() -> None:
    answer = talk(b"GET /once?a=%20 HT", b"TP/1.1\r\nHost: x\r\nX-Two:  b \r\n", b"\r\nGET /once HTTP/1.1\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\nx-told: yes\r\nconnection: close\r\ncontent-length: ")
    assert body == b"('GET', b'a=%20', [(b'host', b'x'), (b'x-two', b'b')])"


@pytest.mark.parametrize(
    "request_head",
    [
        b"GET /once",
        b"GET once HTTP/1.1",
        b"GET /once HTTP/2",
        b"get /once HTTP/1.1",
        b"GET  /once HTTP/1.1",
        b"GET /once HTTP/1.1\r\nno colon",
        b"GET /once HTTP/1.1\r\nspace : x",
        b"GET /once HTTP/1.1\r\nA: x\r\n folded",
        b"GET /once HTTP/1.1\r\nA: x\ny",
        b"GET /on\x00ce HTTP/1.1",
        b"\x16\x03\x01\x02\x00",
    ],
)
def test_what_is_no_request_is_400(request_head: bytes) -> None:
    assert read_head(request_head, None) is None
    assert talk(request_head + b"\r\n\r\n").startswith(b"HTTP/1.1 400 Bad Request\r\n")


def test_an_endless_head_is_431() -> None:
    assert talk(b"GET / HTTP/1.1\r\n", b"A: " + b"x" * 20_000).startswith(b"HTTP/1.1 431 ")


def test_who_says_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEAD_WITHIN", 0.05)
    assert talk(b"GET / HT", pause=0.2) == b""


def test_a_slow_reader_makes_the_sender_wait_and_one_who_leaves_ends_it() -> None:
    async def run() -> None:
        every: set[Connection] = set()
        listening = await asyncio.get_running_loop().create_server(lambda: Connection(app, every), "127.0.0.1", 0)
        _, writer = await asyncio.open_connection(*listening.sockets[0].getsockname()[:2], limit=1024)
        writer.write(b"GET /endless HTTP/1.1\r\n\r\n")
        async with asyncio.timeout(5):
            while not any(it._drained for it in every):
                await asyncio.sleep(0.01)
            (connection,) = every
            assert connection._transport.get_write_buffer_size() < 1 << 20
            writer.transport.abort()
            while every:
                await asyncio.sleep(0.01)
            assert connection._task is not None
            await connection._task
        listening.close()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, run()).result()
