"""Edits in the words people use: switch on, raise to 25 %, ramp over a week, give one user a variant. Pure.

Each returns what `states.change` takes: a function from the config as it is to the parts of it that change.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from trackside.errors import InputError
from trackside_modules.flags import shape
from trackside_modules.flags.service.states import Edit

MOST_STEPS = 100


def switch(*, on: bool) -> Edit:
    """Switch the flag on or off now; what was scheduled falls away."""
    return {"enabled": on, "schedule": []}


def switch_at(at: datetime, *, on: bool) -> Edit:
    """Switch it on or off at a time, beside what is scheduled already."""

    def edit(config: shape.Config) -> dict[str, Any]:
        others = [each for each in config["schedule"] if shape.moment(each["at"]) != at]
        return {"schedule": _sorted([*others, {"at": shape.text_of(at), "enabled": on}])}

    return edit


def rollout(of: int, rule: str = "") -> Edit:
    """Take in `of` of 100,000 users, of everyone else or of the rule called `rule`; a ramp that goes on falls away."""
    return _serving(rule, lambda serve: {**_steady(serve), "rollout": of})


def ramp(steps: Sequence[tuple[datetime, int]], rule: str = "", *, now: datetime) -> Edit:
    """Take in more (or fewer) by steps: from each time on that many of 100,000. Until the first it stays as it is.

    Raises InputError where times do not follow each other.
    """
    if not 1 <= len(steps) <= MOST_STEPS:
        raise _wrong("steps", f"Give 1 to {MOST_STEPS} steps.")
    if any(later[0] <= earlier[0] for earlier, later in pairwise(steps)):
        raise _wrong("steps", "Each step must be later than the one before.")
    made = [{"at": shape.text_of(at), "rollout": of} for at, of in steps]

    def edit(config: shape.Config) -> Mapping[str, Any]:
        start = taken_in(config, rule, now=now)
        return _parts(_serving(rule, lambda serve: {**serve, "rollout": start, "steps": made}), config)

    return edit


def even_ramp(to: int, count: int, every: timedelta, rule: str = "", *, now: datetime) -> Edit:
    """Ramp from where it is to `to` by `count` even steps, the first of them now; raises InputError."""

    def edit(config: shape.Config) -> Mapping[str, Any]:
        steps = even_steps(taken_in(config, rule, now=now), to, count, every, now=now)
        return _parts(ramp(steps, rule, now=now), config)

    return edit


def taken_in(config: shape.Config, rule: str = "", *, now: datetime) -> int:
    """Return how many of 100,000 are taken in at `now`: nobody by a flag that is off, so that no ramp begins at all."""
    serves = [config["serve"], *(each["serve"] for each in config["rules"] if rule and each.get("id") == rule)]
    return shape.rollout_at(serves[-1], now) if shape.enabled_at(config, now) else 0


def even_steps(start: int, end: int, count: int, every: timedelta, *, now: datetime) -> list[tuple[datetime, int]]:
    """Return `count` steps from `start` (exclusive) to `end`, the first of them now; raises InputError."""
    if not 1 <= count <= MOST_STEPS:
        raise _wrong("steps", f"Give 1 to {MOST_STEPS} steps.")
    if count > 1 and every <= timedelta(0):
        raise _wrong("every", "Give a time between steps that is longer than nothing.")
    return [(now + every * index, start + (end - start) * (index + 1) // count) for index in range(count)]


def split(weights: Mapping[str, int], rule: str = "") -> Edit:
    """Give variants to those taken in, by weights of 100,000; no more of them move than the weights differ."""
    return _serving(rule, lambda serve: {**serve, "split": [[name, weight] for name, weight in weights.items()]})


def override(attribute: str, value: str, variant: str | None) -> Edit:
    """Give one user (`targetingKey`) or account a variant, whatever the rules say; None takes that back."""

    def edit(config: shape.Config) -> dict[str, Any]:
        others = [it for it in config["overrides"] if (it["attribute"], it["value"]) != (attribute, value)]
        own = [] if variant is None else [{"attribute": attribute, "value": value, "variant": variant}]
        return {"overrides": [*others, *own]}

    return edit


def both(*edits: Edit) -> Edit:
    """Return one edit that does `edits` in their order."""

    def edit(config: shape.Config) -> dict[str, Any]:
        parts: dict[str, Any] = {}
        for each in edits:
            parts |= _parts(each, {**config, **parts})
        return parts

    return edit


def _parts(edit: Edit, config: shape.Config) -> Mapping[str, Any]:
    return edit(config) if callable(edit) else edit


def _serving(rule: str, change: Any) -> Edit:
    def edit(config: shape.Config) -> dict[str, Any]:
        if not rule:
            return {"serve": change(config["serve"])}
        if rule not in {each.get("id") for each in config["rules"]}:
            names = ", ".join(each.get("id") or "?" for each in config["rules"]) or "none"
            raise _wrong("rule", f"There is no rule {rule!r}; there are: {names}.")
        return {
            "rules": [
                {**each, "serve": change(each["serve"])} if each.get("id") == rule else each for each in config["rules"]
            ]
        }

    return edit


def _steady(serve: Mapping[str, Any]) -> dict[str, Any]:
    return {name: each for name, each in serve.items() if name != "steps"}


def _sorted(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(steps, key=lambda each: shape.moment(each["at"]))


def _wrong(name: str, message: str) -> InputError:
    return InputError(f"{name}: {message}", {name: message})
