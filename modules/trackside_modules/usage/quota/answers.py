"""What a check is answered: the body, and the fields of draft-ietf-httpapi-ratelimit-headers-11 to pass on.

RateLimit-Policy: "api-calls";q=1000;w=3600
RateLimit: "api-calls";r=877;t=1312
"""

import math
from typing import Any

import msgspec

from trackside_modules.usage.quota.counters import Outcome
from trackside_modules.usage.quota.rules import Limit

JSON = ("Content-Type", "application/json")


class AppliesTo(msgspec.Struct):
    """Which limit of the policy it was."""

    id: int
    scope: str
    shared_by: str


class Answer(msgspec.Struct):
    """The body of a 200. Times are in seconds; without a limit its figures are null."""

    allowed: bool
    policy: str
    limit: int | None = None
    """Units that may be used in a window, or at once."""
    used: int | None = None
    remaining: int | None = None
    reset: float | None = None
    """Until all of it is there again."""
    retry_after: float | None = None
    """Where refused: until the same can be granted."""
    kind: str | None = None
    window: int | None = None
    """The window's length, or the period of a steady rate."""
    applies_to: AppliesTo | None = None
    degraded: str | None = None
    """Why nothing was counted: `redis` or `database` is away, or `full`: too many unknown ids; null where it was."""
    fields: Any = None
    """The two structured fields, for gateways that build their own answer."""


class Fields(msgspec.Struct, rename={"policy": "RateLimit-Policy", "state": "RateLimit"}):
    """The draft's fields as text."""

    policy: str
    state: str


def counted(limit: Limit, found: Outcome) -> Answer:
    """Return the answer to a check that was counted."""
    until = found.next if found.allowed else found.retry_after
    return Answer(
        allowed=found.allowed,
        used=found.used,
        remaining=found.remaining,
        reset=round(found.reset, 3),
        retry_after=None if found.allowed else round(found.retry_after, 3),
        fields=Fields(_policy(limit), f'"{limit.policy}";r={found.remaining};t={math.ceil(until)}'),
        **_about(limit),
    )


def unlimited(policy: str) -> Answer:
    """Return the answer for somebody whom no limit of the policy is for."""
    return Answer(True, policy)


def uncounted(policy: str, limit: Limit | None, why: str, *, allowed: bool) -> Answer:
    """Return the answer where nothing could be counted."""
    retry = None if allowed else 1.0
    if limit is None:
        return Answer(allowed, policy, retry_after=retry, degraded=why)
    return Answer(allowed, retry_after=retry, degraded=why, **_about(limit))


def headers(answer: Answer) -> list[tuple[str, str]]:
    """Return the headers of an answer: the draft's fields, `Retry-After` where refused, and whether it was counted."""
    made: list[tuple[str, str]] = [JSON]
    if isinstance(answer.fields, Fields):
        made += [("RateLimit-Policy", answer.fields.policy), ("RateLimit", answer.fields.state)]
    if answer.retry_after is not None:
        made.append(("Retry-After", str(max(1, math.ceil(answer.retry_after)))))
    if answer.degraded:
        made.append(("Trackside-Degraded", answer.degraded))
    return made


def _about(limit: Limit) -> dict[str, Any]:
    return {
        "policy": limit.policy,
        "limit": limit.capacity,
        "kind": limit.kind,
        "window": limit.seconds,
        "applies_to": AppliesTo(limit.id, limit.scope, limit.shared_by),
    }


def _policy(limit: Limit) -> str:
    """Return the policy as the draft has it; a rate's burst is a parameter of our own, which clients may ignore."""
    text = f'"{limit.policy}";q={limit.amount};w={limit.seconds}'
    return f"{text};trackside-burst={limit.burst}" if limit.kind == "gcra" else text
