"""What a stream tells beyond passing messages on: see `trackside.module.StreamRoute.feed`."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol


class News(NamedTuple):
    """An event as it is sent."""

    everybody: bytes
    insiders: bytes
    """What holders of a key of the route's `insiders` are sent in its place."""


class Feed(Protocol):
    """What has changed, told as the server knows it rather than as Redis says it: messages only make it look.

    `look` is called in a thread, when something was published and every few seconds in any case; so nothing is missed
    while Redis is away.
    """

    def look(self) -> Mapping[int, News]:
        """Return the event of each environment that has changed since the last look.

        Raises SQLAlchemyError where the database is away.
        """
        ...

    def state(self, env_id: int) -> int:
        """Return a number that grows with every change of an environment; 0 where nothing is known of it."""
        ...

    def present(self, env_id: int) -> bytes:
        """Return the event that tells how things stand in an environment; empty where nothing is known of it."""
        ...
