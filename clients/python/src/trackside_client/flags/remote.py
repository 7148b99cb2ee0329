"""Remote mode: the server evaluates, by OFREP; for keys that may not see rules.

A connection is kept for each thread. Where the server does not answer, its last answer for the same question does, and
it is not asked again for a moment, so that checks do not wait one after the other.
"""

import http.client
import json
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from trackside_client import VERSION
from trackside_client._transport import notes
from trackside_client._transport.sender import Backoff, retry_after
from trackside_client.flags.details import PROVIDER_NOT_READY
from trackside_client.flags.reading import key_problem
from trackside_client.flags.result import (
    FLAG_NOT_FOUND,
    GENERAL,
    INVALID_CONTEXT,
    PARSE_ERROR,
    Context,
    Result,
    failure,
)
from trackside_client.flags.settings import FlagSettings
from trackside_client.flags.state import State

TIMEOUT = 2.0
_MOST_REMEMBERED = 1000
_MOST_READ = 1024 * 1024
_LATER = {408, 429, 500, 502, 503, 504}


class Remote:
    """Asks the server for each evaluation."""

    def __init__(self, settings: FlagSettings, state: State) -> None:
        parts = urlsplit(settings.url)
        self._state = state
        self._address = (parts.hostname or "", parts.port)
        self._is_secure = parts.scheme == "https"
        self._path = f"{parts.path}/ofrep/v1/evaluate/flags/"
        self._headers = {
            "Authorization": f"Bearer {settings.key}",
            "Content-Type": "application/json",
            "User-Agent": f"trackside-client-python/{VERSION}",
        }
        self.reset()

    def reset(self) -> None:
        """Share no connection with the parent: what a forked child does first."""
        self._local = threading.local()
        self._lock = threading.Lock()
        self._backoff = Backoff()
        self._last: OrderedDict[tuple[str, bytes], Result] = OrderedDict()

    def evaluate(self, key: str, context: Context) -> Result:
        """Return the server's answer for a flag, its last one where it is away. Never raises."""
        try:
            body = json.dumps({"context": dict(context)}, allow_nan=False, default=str).encode()
        except (TypeError, ValueError, RecursionError) as error:
            return failure(key, INVALID_CONTEXT, f"the context is no JSON: {error}")
        if not isinstance(key, str) or key_problem(key):
            return failure(str(key), FLAG_NOT_FOUND, "no flag can have this key")
        if not self._backoff.is_over:
            return self._remembered(key, body, "the server did not answer a moment ago")
        try:
            status, headers, answer = self._ask(key, body)
        except (OSError, http.client.HTTPException, ValueError) as error:
            return self._away(key, body, f"{type(error).__name__}: {error}", 0.0)
        if status in _LATER:
            return self._away(key, body, f"the server answers {status}", retry_after(headers.get("Retry-After")))
        return self._answered(key, body, status, answer)

    def _ask(self, key: str, body: bytes) -> tuple[int, Any, bytes]:
        """Post on this thread's connection; once more on a fresh one where the server had closed it meanwhile."""
        kept: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        self._local.connection = None
        if kept is not None:
            try:
                return self._post(kept, key, body)
            except TimeoutError:
                raise  # it is not gone but slow: a check waits once
            except (OSError, http.client.HTTPException):
                pass
        made = http.client.HTTPSConnection if self._is_secure else http.client.HTTPConnection
        return self._post(made(self._address[0], self._address[1], timeout=TIMEOUT), key, body)

    def _post(self, connection: http.client.HTTPConnection, key: str, body: bytes) -> tuple[int, Any, bytes]:
        """Post, and keep the connection for this thread where the whole answer came; raises what the network does."""
        try:
            connection.request("POST", self._path + quote(key, safe="/"), body, self._headers)
            answer = connection.getresponse()
            content = answer.read(_MOST_READ)
        except BaseException:
            connection.close()
            raise
        if answer.isclosed():
            self._local.connection = connection
        else:
            connection.close()
        return answer.status, answer.headers, content

    def _answered(self, key: str, body: bytes, status: int, answer: bytes) -> Result:
        try:
            found = json.loads(answer)
        except (ValueError, RecursionError):
            found = None
        if status in {401, 403}:
            self._put_off(0.0)
            notes.once(f"flags refused {status}", "the server does not take this key: %s", status)
            self._state.fail(f"the server answers {status}", refused=True)
            return failure(key, GENERAL, f"the server does not take this key: {status}")
        self._backoff.clear()
        self._state.confirm()
        if not isinstance(found, Mapping):
            return failure(key, PARSE_ERROR, f"the server answered {status} with something that is no JSON object")
        if status != 200:
            code, details = str(found.get("errorCode") or GENERAL), str(found.get("errorDetails") or status)
            return failure(key, code, details)
        if "value" not in found:
            return failure(key, GENERAL, "the server leaves this flag to the default")
        result = _result(key, found)
        with self._lock:
            self._last[key, body] = result
            self._last.move_to_end((key, body))
            while len(self._last) > _MOST_REMEMBERED:
                self._last.popitem(last=False)
        return result

    def _away(self, key: str, body: bytes, words: str, wait: float) -> Result:
        self._put_off(wait)
        self._state.fail(words)
        notes.once("flags remote", "flags cannot be asked for, last answers or defaults do: %s", words)
        return self._remembered(key, body, words)

    def _put_off(self, wait: float) -> None:
        """Let no check ask for a while; checks of many threads that failed together count as one."""
        with self._lock:
            if self._backoff.is_over:
                self._backoff.put_off(wait)

    def _remembered(self, key: str, body: bytes, words: str) -> Result:
        with self._lock:
            found = self._last.get((key, body))
        return found or failure(key, PROVIDER_NOT_READY, words)


def _result(key: str, found: Mapping[str, Any]) -> Result:
    variant, metadata = found.get("variant"), found.get("metadata")
    return Result(
        key,
        found["value"],
        str(variant) if variant is not None else None,
        str(found.get("reason") or "UNKNOWN"),
        flag_metadata=dict(metadata) if isinstance(metadata, Mapping) else {},
    )
