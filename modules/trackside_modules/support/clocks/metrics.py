"""How long an interaction took, when what is next in it is due, and whether that was missed.

A clock counts the business time of its policy's calendar in the spans in which it was ours to work on. It is due at the
first moment at which it has counted its target; it is missed once it runs on beyond that. What clocks count:

    first reply   from the beginning to the first public message that a human of ours wrote
    next reply    from a customer's message, when none of theirs was unanswered, to our next; solving ends it as well
    resolution    from the beginning to the last solving; time in which it was solved is not counted
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

import msgspec

from trackside_modules.support.clocks.hours import SECOND, Hours
from trackside_modules.support.clocks.rules import Policy
from trackside_modules.support.clocks.spans import OVER, Span, Step, in_order, running, within


class Clock(msgspec.Struct, frozen=True, gc=False):
    """What a clock shows."""

    spent: int
    """Microseconds of business time, up to its end or its last pause."""
    due: datetime | None
    """When it has counted its target; None while it stands still, and without a target."""
    missed: bool | None
    """Whether it ran beyond its target; None while that is open, and without a target."""


class Metrics(msgspec.Struct, frozen=True, gc=False):
    """An interaction's figures; durations are seconds of business time, rounded down. None: there is none (yet)."""

    started_at: datetime
    first_reply_at: datetime | None = None
    first_reply: int | None = None
    first_reply_due: datetime | None = None
    first_reply_missed: bool | None = None
    next_replies: int = 0
    """Of our messages, those that answered the customer after the first one."""
    next_reply: int | None = None
    """The longest of them."""
    next_reply_due: datetime | None = None
    next_reply_missed: bool | None = None
    """Whether one of them was missed; None while that is open."""
    resolved_at: datetime | None = None
    resolution: int | None = None
    resolution_due: datetime | None = None
    resolution_missed: bool | None = None
    replies: int = 0
    """Public messages that humans of ours wrote."""
    reopens: int = 0
    """Times that the customer wrote again after it was solved."""

    @property
    def next_due(self) -> tuple[datetime, str] | None:
        """When the first of the clocks that run is due, and which it is: `first_reply`, `next_reply`, `resolution`."""
        clocks = ("first_reply", "next_reply", "resolution")
        running = [(getattr(self, f"{name}_due"), name) for name in clocks]
        return min((each for each in running if each[0] is not None), default=None)

    @property
    def missed(self) -> bool:
        """Whether a promise was broken by a clock that has ended or stands still."""
        return bool(self.first_reply_missed or self.next_reply_missed or self.resolution_missed)


def measure(steps: Sequence[Step], policy: Policy, hours: Hours, *, inbound: bool = True) -> Metrics:
    """Return the metrics of an interaction by its steps, the first of which is its beginning.

    Where we began it ourselves (not `inbound`) nobody waits for a first reply: each answer of theirs gets a next one.
    """
    steps = in_order(steps)
    spans = running(steps, policy.pauses)
    first = _first_reply(steps, spans, policy, hours) if inbound else {}
    return Metrics(
        started_at=steps[0].at,
        replies=sum(step.word == "reply" for step in steps),
        reopens=sum(
            step.word == "customer" and before.status in ("solved", "closed") for before, step in pairwise(steps)
        ),
        **first,
        **_next_replies(list(_turns(steps, inbound=inbound)), spans, policy, hours),
        **_resolution(steps, spans, policy, hours),
    )


def run(hours: Hours, spans: Sequence[Span], target: int | None, *, ended: bool) -> Clock:
    """Let a clock with a target of so many seconds run through `spans`; `ended`: it will not go on after them."""
    goal = None if target is None else target * SECOND
    spent, due, last = 0, None, None
    for since, until in spans:
        opened = 0 if until is None else hours.between(since, until)
        # when it is due is looked for where it runs so long, or runs still: it costs as much as all the rest
        if goal is not None and due is None and (until is None or spent + opened >= goal):
            due = hours.after(since, goal - spent)
        if until is not None:
            spent += opened
            last = until
    runs = bool(spans) and spans[-1][1] is None
    late = due is not None and last is not None and last > due
    open_ = target is None or runs or not (ended or late)
    return Clock(spent, due if runs else None, None if open_ else late)


def _first_reply(steps: Sequence[Step], spans: Sequence[Span], policy: Policy, hours: Hours) -> dict[str, Any]:
    at = next((step.at for step in steps if step.word == "reply"), None)
    clock = run(hours, within(spans, steps[0].at, at), policy.first_reply, ended=at is not None)
    return {
        "first_reply_at": at,
        "first_reply": None if at is None else clock.spent // SECOND,
        "first_reply_due": clock.due,
        "first_reply_missed": clock.missed,
    }


def _next_replies(turns: Sequence["_Turn"], spans: Sequence[Span], policy: Policy, hours: Hours) -> dict[str, Any]:
    if not turns:
        return {}
    clocks = [
        run(hours, within(spans, turn.since, turn.until), policy.next_reply, ended=turn.until is not None)
        for turn in turns
    ]
    answered = [clock.spent // SECOND for turn, clock in zip(turns, clocks, strict=True) if turn.answered]
    known = [clock.missed for clock in clocks if clock.missed is not None]
    return {
        "next_replies": len(answered),
        "next_reply": max(answered, default=None),
        "next_reply_due": clocks[-1].due,
        "next_reply_missed": any(known) if known else None,
    }


def _resolution(steps: Sequence[Step], spans: Sequence[Span], policy: Policy, hours: Hours) -> dict[str, Any]:
    at = _solved_at(steps)
    clock = run(hours, spans, policy.resolution, ended=at is not None)
    return {
        "resolved_at": at,
        "resolution": None if at is None else clock.spent // SECOND,
        "resolution_due": clock.due,
        "resolution_missed": clock.missed,
    }


class _Turn(msgspec.Struct, frozen=True, gc=False):
    """A customer waits for our next reply."""

    since: datetime
    until: datetime | None = None
    answered: bool = False
    """Whether a reply ended it, and not a solving."""


def _turns(steps: Sequence[Step], *, inbound: bool) -> Iterator[_Turn]:
    since, replied = None, not inbound
    for step in steps:
        over = step.status in OVER or step.gone
        if step.word == "reply" or (over and since is not None):
            if since is not None:
                yield _Turn(since, step.at, step.word == "reply")
            since, replied = None, replied or step.word == "reply"
        elif step.word == "customer" and replied and not over and since is None:
            since = step.at
    if since is not None:
        yield _Turn(since)


def _solved_at(steps: Sequence[Step]) -> datetime | None:
    """Return since when it is solved; None where it is not."""
    at = None
    for step in reversed(steps):
        if step.status not in ("solved", "closed"):
            break
        at = step.at
    return at
