"""States and changes as the shell prints them."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec

from trackside_modules.flags import shape
from trackside_modules.flags.words import percent


def state_words(config: Mapping[str, Any], now: datetime) -> str:
    """Return how a flag stands: `off`, `on for 25%`, `on for 10%, 1 rule, ramping to 100% by 2026-11-30`."""
    if not shape.enabled_at(config, now):
        return "off"
    words = [serve_words(config["serve"], now)]
    for name, one, many in (("rules", "rule", "rules"), ("overrides", "override", "overrides")):
        count = len(config[name])
        words += [f"{count} {one if count == 1 else many}"] if count else []
    return ", ".join(words)


def serve_words(serve: Mapping[str, Any], now: datetime) -> str:
    """Return whom a serve takes in, and what they get."""
    weights = shape.total(serve["split"])
    names = "/".join(f"{name} {percent(weight)}" for name, weight in weights.items()) if len(weights) > 1 else ""
    words = f"on for {percent(shape.rollout_at(serve, now))}{f' ({names})' if names else ''}"
    if steps := shape.to_come(serve, now):
        words += f", ramping to {percent(steps[-1]['rollout'])} by {shape.moment(steps[-1]['at']):%Y-%m-%d %H:%M}"
    return words


def step_lines(diff: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield what differs, a line each: `  serve.rollout: 10000 -> 25000`."""
    for each in diff:
        sides = [_value(each[name]) if name in each else "(nothing)" for name in ("old", "new")]
        yield f"  {each['path']}: {sides[0]} -> {sides[1]}"


def _value(value: Any) -> str:
    return msgspec.json.encode(value).decode()
