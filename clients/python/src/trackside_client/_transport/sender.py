"""One request to the server: what became of it, and how long to wait before the next."""

import email.utils
import math
import random
import time
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import Any, NamedTuple

from trackside_client import VERSION

_TRY_AGAIN = {408, 429, 502, 503, 504}
_FIRST_WAIT, _LONGEST_WAIT, _MOST_OBEYED = 1.0, 60.0, 600.0
_MOST_READ = 64 * 1024


class Answer(NamedTuple):
    """How a batch was taken.

    `status` is 0 where no answer came; `words` is what the server said, or why it could not be asked; `wait` is its
    Retry-After in seconds.
    """

    status: int
    words: str
    wait: float = 0.0

    @property
    def delivered(self) -> bool:
        """Whether it is committed there."""
        return 200 <= self.status < 300

    @property
    def later(self) -> bool:
        """Whether the same bytes are to be sent again."""
        return self.status == 0 or self.status in _TRY_AGAIN


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A key is sent to the address that was configured, and to no other."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follow nowhere."""


def strict_opener() -> urllib.request.OpenerDirector:
    """Return what opens addresses: through the environment's proxies, and following no redirect."""
    return urllib.request.build_opener(_NoRedirect())


class Sender:
    """Posts batches with the key; proxies are taken from the environment as usual."""

    def __init__(self, url: str, api_key: str) -> None:
        self._url = url
        self._opener = strict_opener()
        self._headers = {
            "Authorization": f"Bearer {api_key}",
            "Content-Type": "application/json",
            "Content-Encoding": "gzip",
            "User-Agent": f"trackside-client-python/{VERSION}",
        }

    def post(self, kind: str, body: bytes, timeout: float) -> Answer:
        """Post a gzipped body to `/v1/KIND`; never raises for what the network or the server does."""
        request = urllib.request.Request(f"{self._url}/v1/{kind}", body, self._headers)  # noqa: S310 - config checks it
        try:
            with self._opener.open(request, timeout=timeout) as answer:
                return Answer(answer.status, answer.read(_MOST_READ).decode("utf-8", "replace"))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, _read(error), retry_after(error.headers.get("Retry-After")))
        except (OSError, HTTPException, ValueError) as error:
            return Answer(0, f"{type(error).__name__}: {error}")


class Backoff:
    """When to try again: doubling, with jitter so that a thousand clients do not come back at once."""

    def __init__(self) -> None:
        self._tries = 0
        self._until = 0.0

    @property
    def is_over(self) -> bool:
        """Whether it is time."""
        return time.monotonic() >= self._until

    @property
    def remaining(self) -> float:
        """Return the seconds until it is time."""
        return max(0.0, self._until - time.monotonic())

    def put_off(self, at_least: float = 0.0) -> None:
        """Wait twice as long as the last time, and no less than the server asked for."""
        wait = min(_LONGEST_WAIT, _FIRST_WAIT * 2.0**self._tries) * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        self._tries = min(self._tries + 1, 10)
        if at_least:
            wait = max(wait, at_least * random.uniform(1.0, 1.2))  # noqa: S311
        self._until = time.monotonic() + wait

    def clear(self) -> None:
        """Begin anew after a success."""
        self._tries, self._until = 0, 0.0


def _read(error: urllib.error.HTTPError) -> str:
    try:
        return error.read(_MOST_READ).decode("utf-8", "replace")
    except (OSError, HTTPException):
        return ""


def retry_after(header: str | None) -> float:
    """Return the seconds of a Retry-After, which may be a number or a date; 0 where there is none."""
    if not header:
        return 0.0
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(header).timestamp() - time.time()
        except ValueError:
            return 0.0
    return 0.0 if math.isnan(seconds) else min(max(seconds, 0.0), _MOST_OBEYED)
