"""What modules ask each other: one narrow question each, never a write.

A module that can answer provides the port in its manifest (`provides={UserActivity: "...:answer"}`); whoever asks calls
`runtime.ports.get(UserActivity)` and handles None, since the provider may be switched off.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol, TypeVar, cast

from sqlalchemy.orm import Session

P = TypeVar("P")
_PORTS = "trackside.ports"


class UserActivity(Protocol):
    """When users were last seen calling the API."""

    def last_seen(self, session: Session, user_ids: list[int]) -> dict[int, datetime]:
        """Return the time of the last call of each of `user_ids` that ever called."""
        ...


class Segments(Protocol):
    """The groups of users and accounts that a flag's rules may name."""

    def named(self, session: Session, env_id: int) -> Mapping[str, Any]:
        """Return what each segment of an environment is, by the name that rules use; plain values, as JSON has them."""
        ...


class Ports:
    """The answers that the enabled modules provide."""

    def __init__(self) -> None:
        self._providers: dict[type[Any], Callable[[], Any]] = {}

    def provide(self, port: type[Any], load: Callable[[], Any]) -> None:
        """Answer `port` by what `load` returns (called when first asked)."""
        self._providers[port] = load

    def attach(self, session: Session) -> None:
        """Let services that have only `session` ask here too (see `port_of`)."""
        session.info[_PORTS] = self

    def get(self, port: type[P]) -> P | None:
        """Return the provider of `port`, or None where no enabled module has it."""
        load = self._providers.get(port)
        return cast("P", load()) if load else None


def port_of(session: Session, port: type[P]) -> P | None:
    """Return the provider of `port` where `session` comes from a runtime, or None: as `Ports.get` otherwise."""
    ports: Ports | None = session.info.get(_PORTS)
    return ports.get(port) if ports is not None else None
