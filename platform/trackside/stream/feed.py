"""What a stream tells beyond passing messages on: see `trackside.module.StreamRoute.feed`."""

from collections.abc import Mapping
from typing import Protocol


class Feed(Protocol):
    """What has changed, told as the server knows it rather than as Redis says it: messages only make it look.

    `look` is called in a thread, when something was published and every few seconds in any case; so nothing is missed
    while Redis is away.
    """

    def look(self) -> Mapping[int, bytes]:
        """Return the event of each environment that has changed since the last look, as it is sent.

        Raises SQLAlchemyError where the database is away.
        """
        ...

    def state(self, env_id: int) -> int:
        """Return a number that grows with every change of an environment; 0 where nothing is known of it."""
        ...

    def present(self, env_id: int) -> bytes:
        """Return the event that tells how things stand in an environment; empty where nothing is known of it."""
        ...
