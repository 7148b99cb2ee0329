"""Activation strategies of Unleash as rules: whom they are for, and the serve that keeps their buckets."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from trackside_client.flags.hashing import BUCKETS
from trackside_modules.flags.shape import text_of
from trackside_modules.flags.unleash import conditions
from trackside_modules.flags.unleash.conditions import DEFAULT_STICKY, NEVER, USER, Who, known, who
from trackside_modules.flags.unleash.documents import Segment, Strategy
from trackside_modules.flags.unleash.variants import NotExpressible, Pieces


@dataclass(frozen=True, slots=True)
class Rollout:
    """Who a strategy is for, and how many of them in hundredths by Unleash's hash."""

    who: Who
    percent: int = 100
    group: str = ""
    sticky: tuple[str, ...] = (USER,)

    @property
    def never(self) -> bool:
        """Whether it takes nobody in, ever."""
        return self.who.never or self.percent <= 0

    def serve(self, pieces: Pieces) -> dict[str, Any]:
        """Return the serve that gives `pieces` to those taken in."""
        of = self.percent * BUCKETS // 100
        made: dict[str, Any] = {"rollout": of, "split": pieces.split, "by": list(self.sticky)}
        start, end = self.who.start, self.who.end
        if start is not None or end is not None:
            steps = [(start, of), (end, 0)]
            made["rollout"] = of if start is None else 0
            made["steps"] = [{"at": text_of(at), "rollout": rollout} for at, rollout in steps if at is not None]
        if self.percent == 100 and len(pieces.split) == 1:
            made["split"] = [[pieces.split[0][0], BUCKETS]]
        else:
            made["hash"] = {
                "function": "murmur3_32",
                "group": self.group,
                "modulus": 100,
                "offset": 1,
                "variants": pieces.hash,
            }
        return made


def rollout(strategy: Strategy, feature: str, segments: Mapping[int, Segment], also: Sequence[int] = ()) -> Rollout:
    """Return what a strategy of a feature does; `also` are segments that all of its strategies are bound to.

    Raises NotExpressible where chance decides, or code that only the application has.
    """
    if strategy.disabled:
        return Rollout(NEVER)
    bound = who(strategy.constraints or ())
    for number in [*also, *(strategy.segments or ())]:
        segment = segments.get(number)
        missing = replace(NEVER, notes=(f"segment {number} is not in the file: who it names is nobody",))
        bound = bound.both(missing if segment is None else who(segment.constraints))
    parameters = {name: _text(value) for name, value in (strategy.parameters or {}).items()}
    read = _KINDS.get(strategy.name)
    if read is None:
        raise NotExpressible(f"the strategy {strategy.name!r} is code of the application")
    own = read(parameters, feature)
    return replace(own, who=bound.both(own.who))


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _percent(text: str) -> int:
    """Return a percentage; what is none is 0, as in Unleash."""
    try:
        return min(100, max(0, int(float(text))))
    except (ValueError, OverflowError):
        return 0


def _everyone(_parameters: Mapping[str, str], _feature: str) -> Rollout:
    return Rollout(Who())


def _named(parameters: Mapping[str, str], _feature: str) -> Rollout:
    ids = [each.strip() for each in parameters.get("userIds", "").split(",")]
    named = [each for each in ids if each]
    return Rollout(Who(({"attribute": USER, "op": "in", "values": named},)) if named else NEVER)


def _addresses(parameters: Mapping[str, str], _feature: str) -> Rollout:
    texts = tuple(each.strip() for each in parameters.get("IPs", "").split(",") if each.strip())
    return Rollout(conditions.within("remoteAddress", texts))


def _gradual(attribute: str) -> "_Reader":
    def read(parameters: Mapping[str, str], _feature: str) -> Rollout:
        percent, group = _percent(parameters.get("percentage", "")), parameters.get("groupId", "")
        return Rollout(Who((known(attribute),)), percent, group, (conditions.field_of(attribute),))

    return read


def _by_chance(parameters: Mapping[str, str], _feature: str) -> Rollout:
    return _random(_percent(parameters.get("percentage", "")))


def _random(percent: int) -> Rollout:
    if 0 < percent < 100:
        raise NotExpressible(f"chance decides at each call whether it is one of {percent} %: give it a stickiness")
    return Rollout(Who(), percent)


def _flexible(parameters: Mapping[str, str], feature: str) -> Rollout:
    percent, group = _percent(parameters.get("rollout", "")), parameters.get("groupId") or feature
    stickiness = parameters.get("stickiness") or "default"
    if stickiness == "random":
        return _random(percent)
    if stickiness != "default":
        return Rollout(Who((known(stickiness),)), percent, group, (conditions.field_of(stickiness),))
    note = f"{percent} % by chance of calls without userId and sessionId: here they are never taken in"
    return Rollout(Who(notes=(note,) if 0 < percent < 100 else ()), percent, group, DEFAULT_STICKY)


_Reader = Callable[[Mapping[str, str], str], Rollout]
_KINDS: dict[str, _Reader] = {
    "default": _everyone,
    "userWithId": _named,
    "remoteAddress": _addresses,
    "gradualRolloutUserId": _gradual("userId"),
    "gradualRolloutSessionId": _gradual("sessionId"),
    "gradualRolloutRandom": _by_chance,
    "flexibleRollout": _flexible,
}
