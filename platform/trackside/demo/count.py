"""What the traffic generator sent and had answered: counted exactly, kept in a file, shown at `/count`.

Only an answered request counts: the API recorded it before it answered. The file is replaced whole, so a reader never
sees half of it, and the next start goes on from there: its total is that of everything since the demo was seeded.
"""

import os
import threading
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import msgspec


class Counted(msgspec.Struct, frozen=True):
    """The count at a moment; `routes` are `METHOD /route` as in telemetry, users are external ids, "" where unknown."""

    total: int
    routes: dict[str, int]
    statuses: dict[str, int]
    users: dict[str, int]
    since: str = ""
    """The minute (ISO 8601) since which it counts: what lies before it on a page is the demo's invented past."""
    url: str = ""
    """Where the demo API answers, and `/count` with it."""
    running: bool = False
    """False once the generator has stopped: the total is final then."""


_DECODER = msgspec.json.Decoder(Counted)


def read_count(path: Path) -> Counted:
    """Return the count kept at `path`; an empty one where there is none or it cannot be read."""
    try:
        return _DECODER.decode(path.read_bytes())
    except (OSError, msgspec.MsgspecError):
        return Counted(0, {}, {}, {})


class Count:
    """A count that threads add to, on top of the one that `path` keeps."""

    def __init__(self, path: Path, url: str = "") -> None:
        self._path = path
        self._url = url
        self._lock = threading.Lock()
        kept = read_count(path)
        self._routes, self._statuses, self._users = Counter(kept.routes), Counter(kept.statuses), Counter(kept.users)
        self._total = kept.total
        self._since = kept.since or datetime.now(UTC).replace(second=0, microsecond=0).isoformat()

    def add(self, route: str, status: int, user: str) -> None:
        """Count one answered request."""
        with self._lock:
            self._total += 1
            self._routes[route] += 1
            self._statuses[str(status)] += 1
            self._users[user] += 1

    def now(self, *, running: bool = True) -> Counted:
        """Return the count at this moment."""
        with self._lock:
            routes, statuses, users = dict(self._routes), dict(self._statuses), dict(self._users)
            return Counted(self._total, routes, statuses, users, self._since, self._url, running)

    def keep(self, *, running: bool = True) -> None:
        """Write the count to its file, whole or not at all."""
        body = msgspec.json.format(msgspec.json.encode(self.now(running=running)))
        new = self._path.with_suffix(".new")
        new.write_bytes(body)
        os.replace(new, self._path)  # noqa: PTH105 - says what it does
