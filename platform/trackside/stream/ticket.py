"""Tickets: browsers cannot send headers with an EventSource, so a page signs what it may hear into the stream's URL.

A ticket opens a stream for a minute and holds no secret; the page that issues it has checked the permission.
"""

from dataclasses import dataclass

from itsdangerous import BadData, URLSafeTimedSerializer

from trackside.errors import NotAuthenticated
from trackside.settings import Settings

LIFETIME = 60
"""Seconds in which a ticket opens a stream; an open one goes on."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """What its holder may hear: one stream of one environment."""

    stream: str
    env_id: int


def _serializer(settings: Settings) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(settings.secret_key, salt="trackside.stream-ticket")


def stream_url(settings: Settings, stream: str, env_id: int) -> str:
    """Return the URL, ticket included, at which a browser hears `stream` of an environment."""
    signed = _serializer(settings).dumps([stream, env_id])
    return f"{settings.stream_url}/stream/{stream}?ticket={signed}"


def check(settings: Settings, signed: str) -> Ticket:
    """Return the ticket; raise NotAuthenticated for one that is forged, damaged or too old."""
    try:
        stream, env_id = _serializer(settings).loads(signed, max_age=LIFETIME)
    except (BadData, TypeError, ValueError) as error:
        raise NotAuthenticated("This stream's ticket is not valid any more: load the page again.") from error
    return Ticket(str(stream), int(env_id))
