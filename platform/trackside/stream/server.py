"""The HTTP server of streams: asyncio's own transports, since ten thousand idle connections should cost little.

It serves an ASGI callable, and only what streams need: one request for each connection, without a body, answered once,
then the connection ends. So nothing that follows a request can be taken for another one. ADR 0153 tells why no
other server does it.
"""

import asyncio
import http
import signal
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from re import compile as pattern
from typing import Any, cast
from urllib.parse import unquote

import structlog

log = structlog.get_logger(__name__)
BACKLOG = 4096
MOST_HEAD = 16 * 1024
"""Bytes of a request's line and headers."""
HEAD_WITHIN = 15.0
"""Seconds that a client gets to send them."""
LAST_WITHIN = 5.0
"""Seconds that the last bytes of an answer may be on their way."""
PUSH = "trackside.push"
"""An extension of ASGI's scope: `(bytes) -> bool`, to send without a task that would have to wake up."""
_LINE = pattern(rb"([A-Z]{1,20}) (/[^\x00-\x20\x7f]*) HTTP/1\.[01]")
_HEADER = pattern(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_END = b"\r\n\r\n"

Message = MutableMapping[str, Any]
App = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]


class Connection(asyncio.Protocol):
    """One connection: its request, its answer, its end."""

    __slots__ = ("_all", "_app", "_drained", "_gone", "_head", "_start", "_task", "_timer", "_transport")

    def __init__(self, app: App, every: "set[Connection]") -> None:
        """Answer by `app`; be among `every` one for as long as it lasts."""
        self._app, self._all = app, every
        self._head: bytes | None = b""
        self._start = b""
        self._gone: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the request, for a while."""
        self._transport = cast("asyncio.Transport", transport)
        self._timer = asyncio.get_running_loop().call_later(HEAD_WITHIN, self._transport.abort)
        self._all.add(self)

    def data_received(self, data: bytes) -> None:
        """Take the request; what comes after it is nobody's."""
        if self._head is None:
            return
        self._head += data
        if _END in self._head:
            head, self._head = self._head, None
            self._timer.cancel()
            scope = read_head(head[: head.index(_END)], self._transport.get_extra_info("peername"))
            if scope is None:
                self._refuse(400)
            else:
                scope["extensions"][PUSH] = self._push
                self._task = asyncio.get_running_loop().create_task(self._answer(scope))
        elif len(self._head) > MOST_HEAD:
            self._refuse(431)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let whoever answers know."""
        self._all.discard(self)
        self._timer.cancel()
        for waiting in (self._gone, self._drained):
            if waiting is not None and not waiting.done():
                waiting.set_result(None)

    def pause_writing(self) -> None:
        """Let the next one who sends wait: the reader is slow."""
        self._drained = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """Let it go on."""
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None

    def abort(self) -> None:
        """End it at once."""
        self._transport.abort()

    async def _answer(self, scope: Message) -> None:
        try:
            await self._app(scope, self._receive, self._send)
        except OSError:
            pass  # the reader is gone
        except Exception:
            log.exception("stream.failed")
        finally:
            self._transport.close()
            # to one who does not read, the last bytes would be on their way for ever
            asyncio.get_running_loop().call_later(LAST_WITHIN, self._transport.abort)

    def _push(self, body: bytes) -> bool:
        """Send more of a body that has begun, at once; return False where the reader is slow or gone."""
        if self._drained is not None or self._transport.is_closing():
            return False
        self._transport.write(body)
        return True

    async def _receive(self) -> Message:
        if not self._transport.is_closing():
            self._gone = asyncio.get_running_loop().create_future()
            await self._gone
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if self._transport.is_closing():
            raise ConnectionResetError("the reader is gone")
        if message["type"] == "http.response.start":
            self._start = head_of(message["status"], message["headers"])
            return
        body: bytes = message["body"]
        if self._start:
            if not message.get("more_body"):
                self._start = self._start[:-2] + b"content-length: %d\r\n\r\n" % len(body)
            body, self._start = self._start + body, b""
        if body:
            self._transport.write(body)
        if not message.get("more_body"):
            self._transport.close()
        elif self._drained is not None:
            await self._drained

    def _refuse(self, status: int) -> None:
        self._head = None
        self._transport.write(head_of(status, [(b"content-length", b"0")]))
        self._transport.close()


def read_head(head: bytes, peer: Any) -> Message | None:
    """Return ASGI's scope of a request line and headers; None for what is no HTTP/1 request."""
    first, *lines = head.split(b"\r\n")
    asked = _LINE.fullmatch(first)
    found = [_HEADER.fullmatch(line) for line in lines]
    if asked is None or not all(found):
        return None
    path, _, query = asked[2].partition(b"?")
    return {
        "type": "http",
        "method": asked[1].decode(),
        "path": unquote(path.decode("latin-1")),
        "query_string": query,
        "headers": [(each[1].lower(), each[2].rstrip()) for each in found if each],
        "client": peer[:2] if isinstance(peer, tuple) else None,
        "extensions": {},
    }


def head_of(status: int, headers: list[tuple[bytes, bytes]]) -> bytes:
    """Return an answer's status line and headers; it ends with its connection."""
    lines = [b"HTTP/1.1 %d %s" % (status, http.HTTPStatus(status).phrase.encode())]
    lines += [b"%s: %s" % header for header in headers]
    return b"\r\n".join([*lines, b"connection: close", b"", b""])


async def serve(app: App, host: str, port: int, listening: Callable[[], None]) -> None:
    """Serve `app` until SIGTERM or SIGINT; `listening` is called once it can be reached."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    every: set[Connection] = set()
    server = await loop.create_server(lambda: Connection(app, every), host, port, backlog=BACKLOG)
    listening()
    await stop.wait()
    server.close()
    # browsers and programs come back by themselves, to whoever is there then
    for connection in list(every):
        connection.abort()
    with suppress(TimeoutError):
        async with asyncio.timeout(1):
            while every:
                await asyncio.sleep(0.01)
