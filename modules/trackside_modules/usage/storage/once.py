"""What a page reads once and asks for several times: the marks and the remembered buckets of the spans it shows.

Each figure of a page plans its own reading. The plans differ in the span and the units, and what they are made from is
the same; so it is held from the first plan on, until the session ends or the page names another span.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy.orm import Session

Found = TypeVar("Found")
_NAME = "usage.once"


@dataclass(slots=True)
class _Held:
    env_id: int
    start: datetime
    end: datetime
    found: dict[str, Any] = field(default_factory=dict[str, Any])


def hold(session: Session, env_id: int, start: datetime, end: datetime) -> None:
    """From now on read what `held` is asked for within `[start, end)` once, and anew what was held before.

    For sessions that only read, as a page's: it keeps to what it has seen first.
    """
    session.info[_NAME] = _Held(env_id, start, end)


def held(
    session: Session,
    name: str,
    span: tuple[int, datetime, datetime],
    read: Callable[[datetime, datetime], Found],
) -> Found:
    """Return what `read` finds in a span of an environment, or in a longer one where that is held."""
    env_id, start, end = span
    kept: _Held | None = session.info.get(_NAME)
    if kept is None or kept.env_id != env_id or start < kept.start or end > kept.end:
        return read(start, end)
    if name not in kept.found:
        kept.found[name] = read(kept.start, kept.end)
    found: Found = kept.found[name]
    return found
