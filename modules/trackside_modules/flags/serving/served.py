"""One environment's flags, compiled and ready to answer: each answer's JSON is encoded once, not once a request."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from trackside.clock import Clock
from trackside.lane import LaneResponse, complete
from trackside_client.flags import Result, Ruleset, parse
from trackside_modules.flags.exposures.counter import Shown
from trackside_modules.flags.serving.encoded import Encoded
from trackside_modules.flags.shape import has_floats

MOST_ANSWERS = 10_000
"""Requests whose answers are at hand, for each environment: some 700 bytes each."""
_LONGEST = 500
"""Bytes of such a request's body."""


@dataclass(frozen=True, slots=True)
class Source:
    """A ruleset as the database or a snapshot holds it."""

    env_id: int
    version: int
    etag: str
    """SHA-256 of `body`, in hexadecimal."""
    changed_at: datetime
    body: bytes
    """The document that clients evaluate by: JSON."""


class Answer(NamedTuple):
    """What a request for one flag is answered, and what that counts as."""

    response: LaneResponse
    shown: Shown | None
    """None where the evaluation failed."""


class Served:
    """The flags of an environment at one version; `stale` where nobody knows whether there is a newer one."""

    def __init__(self, source: Source, ruleset: Ruleset, *, stale: bool = False) -> None:
        """Prepare to answer from the `ruleset` that was made of `source`: see `compiled`."""
        document = msgspec.json.decode(source.body)
        self.source = source
        self.stale = stale
        self.ruleset = ruleset
        self.choosers = ruleset.choosers
        self.mark = [("X-Trackside-Stale", "true")] if stale else []
        self.headers = complete([("Content-Type", "application/json"), *self.mark])
        self.metadata = {"version": source.version} | ({"stale": True} if stale else {})
        floats = {key for key, flag in document["flags"].items() if has_floats(flag["type"], flag["variants"])}
        self.encoded = Encoded(floats, stale=stale)
        self._together = ruleset.together(self.encoded.of)
        self._moments = sorted(set(_moments(document["flags"])))
        self.answers: dict[tuple[str, bytes], Answer] = {}
        """By the address and the body that were sent: a user is often asked for again, in the very same words."""

    def marked(self, *, stale: bool) -> "Served":
        """Return the same flags, marked as stale or not."""
        return Served(self.source, self.ruleset, stale=stale)

    def one(self, key: str, context: Mapping[str, Any]) -> Result:
        """Return the result of a flag."""
        try:
            return self.choosers[key](context, None)
        except Exception:
            # there is no such flag, or it does not take this context: the careful way says what, and why
            return self.ruleset.evaluate(key, context)

    def keep(self, path: str, body: bytes, key: str, answer: Answer) -> None:
        """Have an answer at hand where it stays the same as long as these flags do."""
        if len(body) <= _LONGEST and key in self.ruleset.lasting:
            if len(self.answers) >= MOST_ANSWERS:
                self.answers.clear()
            self.answers[path, body] = answer

    def all(self, context: Mapping[str, Any]) -> list[bytes]:
        """Return the results of all flags as OFREP has them."""
        try:
            return self._together(context)
        except Exception:
            return [self.encoded.of(each) for each in self.ruleset.evaluate_all(context)]

    def phase(self, clock: Clock) -> int:
        """Return how many moments of schedules and ramps are past: what changes though nobody edits anything."""
        return bisect_right(self._moments, clock.now().timestamp()) if self._moments else 0


def compiled(source: Source, clock: Clock, before: Served | None = None) -> Served:
    """Return `source` ready to answer; raises RulesetError or msgspec.DecodeError where it makes no sense.

    What is unchanged since `before` is not compiled again.
    """
    return Served(
        source, parse(msgspec.json.decode(source.body), clock=clock.now, before=before.ruleset if before else None)
    )


def _moments(value: Any) -> Iterator[float]:
    """Yield when something changes by itself, in seconds since 1970: the `at` of every schedule and stepped ramp."""
    if isinstance(value, list):
        for each in value:
            yield from _moments(each)
    elif isinstance(value, dict):
        for name, inner in value.items():
            if name in {"schedule", "steps"} and isinstance(inner, list):
                yield from (_seconds(each["at"]) for each in inner)
            elif name not in {"variants", "metadata"}:
                yield from _moments(inner)


def _seconds(at: str) -> float:
    moment = datetime.fromisoformat(at)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


class _Kept(msgspec.Struct):
    """A source in its snapshot."""

    env_id: int
    version: int
    etag: str
    changed_at: datetime
    ruleset: msgspec.Raw


_KEPT = msgspec.json.Decoder(_Kept)


def pack(source: Source) -> bytes:
    """Return the snapshot of `source`."""
    kept = _Kept(source.env_id, source.version, source.etag, source.changed_at, msgspec.Raw(source.body))
    return msgspec.json.encode(kept)


def unpack(content: bytes) -> Source:
    """Return what `pack` was given; raises msgspec.MsgspecError for anything else."""
    kept = _KEPT.decode(content)
    return Source(kept.env_id, kept.version, kept.etag, kept.changed_at, bytes(kept.ruleset))
