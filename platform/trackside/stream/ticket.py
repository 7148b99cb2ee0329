"""Tickets: browsers cannot send headers with an EventSource, so what one may hear is signed into the stream's URL.

A ticket opens a stream for a minute and holds no secret; whoever issues it has checked the permission, or the key. A
stream for other sites' pages sends a mark as its events' id, which the browser shows when it comes back by itself: it
opens the same stream again for a day, as long as the key behind it is not revoked. Marks never stand in a URL.
"""

from dataclasses import dataclass
from typing import Any

from itsdangerous import BadData, URLSafeTimedSerializer

from trackside.errors import NotAuthenticated
from trackside.settings import Settings

LIFETIME = 60
"""Seconds in which a ticket opens a stream; an open one goes on."""
MARK_LIFETIME = 24 * 3600
"""Seconds in which a mark opens a stream again."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """What its holder may hear: one stream of one environment."""

    stream: str
    env_id: int
    key_id: int = 0
    """The API key behind it; 0 for a member's page."""
    seen: int = -1
    """The state of the environment (see `Feed.state`) that its holder knows; -1: it was not told."""
    is_insider: bool = False
    """Whether its holder has just shown a key that hears all there is: no signed ticket says so."""


def _serializer(settings: Settings, salt: str) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(settings.secret_key, salt=salt)


def stream_url(settings: Settings, stream: str, env_id: int) -> str:
    """Return the URL, ticket included, at which a browser hears `stream` of an environment."""
    return f"{settings.stream_url}/stream/{stream}?ticket={signed(settings, Ticket(stream, env_id))}"


def signed(settings: Settings, ticket: Ticket) -> str:
    """Return a ticket as it stands in a URL."""
    return _dumps(settings, ticket, "trackside.stream-ticket")


def mark(settings: Settings, ticket: Ticket) -> str:
    """Return the mark by which the holder of `ticket` comes back."""
    return _dumps(settings, ticket, "trackside.stream-mark")


def check(settings: Settings, given: str, returning: str = "") -> Ticket:
    """Return the ticket, or the one behind the mark of who is `returning`.

    Raises NotAuthenticated for one that is forged, damaged or too old.
    """
    if returning:
        found = _loads(settings, returning, "trackside.stream-mark", MARK_LIFETIME)
        if found is not None:
            return found
    found = _loads(settings, given, "trackside.stream-ticket", LIFETIME)
    if found is None:
        raise NotAuthenticated("This stream's ticket is not valid any more: load the page again.")
    return found


def _dumps(settings: Settings, ticket: Ticket, salt: str) -> str:
    made: str | bytes = _serializer(settings, salt).dumps([ticket.stream, ticket.env_id, ticket.key_id, ticket.seen])
    return made if isinstance(made, str) else made.decode()


def _loads(settings: Settings, text: str, salt: str, lifetime: int) -> Ticket | None:
    try:
        values: Any = _serializer(settings, salt).loads(text, max_age=lifetime)
        stream, env_id, key_id, seen = values
        return Ticket(str(stream), int(env_id), int(key_id), int(seen))
    except (BadData, TypeError, ValueError):
        return None
