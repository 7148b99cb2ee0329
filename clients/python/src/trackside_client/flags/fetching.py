"""One request for the ruleset, and one stream of events about it: what the network does is answered, never raised."""

import gzip
import json
import socket
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from http.client import HTTPException, HTTPResponse
from typing import Any, NamedTuple, cast

from trackside_client import VERSION
from trackside_client._transport.sender import retry_after, strict_opener

RULESET, STREAM = "/v1/flags/ruleset", "/v1/flags/stream"
_MOST_READ = 64 * 1024 * 1024
SILENCE = 45.0
"""Seconds without a byte after which a stream counts as cut: the server sends a comment each 15."""
_LONGEST_LINE = 64 * 1024


class Fetched(NamedTuple):
    """What came of a request: `status` 0 where no answer came, `words` why; `wait` is Retry-After in seconds."""

    status: int
    body: bytes = b""
    etag: str = ""
    stream_url: str = ""
    is_stale: bool = False
    words: str = ""
    wait: float = 0.0


class Source:
    """A server, and the key that opens it."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._opener = strict_opener()
        self._headers = {"Authorization": f"Bearer {key}", "User-Agent": f"trackside-client-python/{VERSION}"}

    def ruleset(self, etag: str, timeout: float) -> Fetched:
        """Ask for the ruleset; 304 where the one with `etag` is still it."""
        headers = {**self._headers, "Accept": "application/json", "Accept-Encoding": "gzip"}
        if etag:
            headers["If-None-Match"] = etag
        request = urllib.request.Request(f"{self._url}{RULESET}", headers=headers)  # noqa: S310 - settings check it
        try:
            with self._opener.open(request, timeout=timeout) as answer:
                body = answer.read(_MOST_READ)
                if answer.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                return _fetched(answer.status, answer.headers, body)
        except urllib.error.HTTPError as error:
            with error:
                return _fetched(error.code, error.headers, b"", f"{error.code} {error.reason}")
        except (OSError, EOFError, HTTPException, ValueError, zlib.error) as error:
            return Fetched(0, words=f"{type(error).__name__}: {error}")

    def follow(self, url: str) -> "Stream | Fetched":
        """Open the stream of events, or say why it cannot be."""
        headers = {**self._headers, "Accept": "text/event-stream"}
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 - settings check it
        try:
            answer = self._opener.open(request, timeout=SILENCE)
        except urllib.error.HTTPError as error:
            with error:
                return _fetched(error.code, error.headers, b"", f"{error.code} {error.reason}")
        except (OSError, HTTPException, ValueError) as error:
            return Fetched(0, words=f"{type(error).__name__}: {error}")
        if answer.headers.get_content_type() != "text/event-stream":
            answer.close()
            return Fetched(answer.status, words="what answers there is no stream of events")
        return Stream(cast("HTTPResponse", answer))


def _fetched(status: int, headers: Any, body: bytes, words: str = "") -> Fetched:
    return Fetched(
        status,
        body,
        headers.get("ETag", ""),
        headers.get("X-Trackside-Stream", ""),
        headers.get("X-Trackside-Stale", "") == "true",
        words,
        retry_after(headers.get("Retry-After")),
    )


class Stream:
    """Server-sent events, one after the other."""

    def __init__(self, answer: HTTPResponse) -> None:
        self._answer = answer

    def events(self) -> Iterator[dict[str, Any] | None]:
        """Yield each event's data, None for each comment that keeps the stream open; ends where it is cut."""
        data: list[str] = []
        try:
            while line := self._answer.readline(_LONGEST_LINE):
                text = line.decode("utf-8", "replace").rstrip("\r\n")
                if text.startswith(":"):
                    yield None
                elif text.startswith("data:"):
                    data.append(text[5:].removeprefix(" "))
                elif not text and data:
                    yield _event("\n".join(data))
                    data.clear()
        except (OSError, HTTPException, ValueError):
            return

    def interrupt(self) -> None:
        """End it from another thread, which may be waiting for its next event."""
        try:
            with socket.fromfd(self._answer.fileno(), socket.AF_INET, socket.SOCK_STREAM) as twin:
                twin.shutdown(socket.SHUT_RDWR)
        except (OSError, ValueError, AttributeError):  # it has ended meanwhile
            return

    def close(self) -> None:
        """Let go of it."""
        try:
            self._answer.close()
        except (OSError, HTTPException, ValueError):
            return


def _event(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
