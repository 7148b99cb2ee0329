"""An interaction's way as clocks see it: its steps, and the spans in which it was ours to work on."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Literal

import msgspec

Word = Literal["customer", "reply"]
Span = tuple[datetime, datetime | None]
"""From and until; None: it goes on."""

OVER = frozenset({"solved", "closed", "spam"})
"""Statuses in which nobody waits any more: every clock stands still."""


class Step(msgspec.Struct, frozen=True, gc=False):
    """A moment at which something happened that clocks mind."""

    at: datetime
    status: str
    """After it."""
    word: Word | None = None
    """`customer`: a message of theirs. `reply`: a public message that a human of ours wrote."""
    gone: bool = False
    """It was merged into another one, and is no longer counted by itself."""


def in_order(steps: Sequence[Step]) -> list[Step]:
    """Return the steps with times that never go back: what was written down later did not happen before."""
    ordered: list[Step] = []
    for step in steps:
        at = max(step.at, ordered[-1].at) if ordered else step.at
        ordered.append(step if at == step.at else Step(at, step.status, step.word, step.gone))
    return ordered


def running(steps: Sequence[Step], pauses: Sequence[str]) -> list[Span]:
    """Return the spans in which clocks run, in order; only the last one may go on.

    They run from the first step on in every status but those of `OVER` and of `pauses`.
    """
    still = OVER.union(pauses)
    return list(_joined(steps, still))


def _joined(steps: Sequence[Step], still: frozenset[str]) -> Iterator[Span]:
    since: datetime | None = None
    for step in steps:
        runs = step.status not in still and not step.gone
        if runs and since is None:
            since = step.at
        elif not runs and since is not None:
            yield since, step.at
            since = None
    if since is not None:
        yield since, None


def within(spans: Sequence[Span], start: datetime, end: datetime | None) -> list[Span]:
    """Return the parts of `spans` from `start` to `end` (None: however long)."""
    found: list[Span] = []
    for since, until in spans:
        first = max(since, start)
        last = until if end is None else end if until is None else min(until, end)
        if last is None or first < last:
            found.append((first, last))
    return found
