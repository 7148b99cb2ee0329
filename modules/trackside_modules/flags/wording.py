"""States and changes in words, for the shell. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from trackside.errors import InputError
from trackside_modules.flags import shape
from trackside_modules.flags.words import percent as share

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def percent(text: float | str) -> int:
    """Return per cent as parts of 100,000; raises InputError for what is none, or finer than a thousandth."""
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found <= 100:
        raise InputError(f"{text!r} is no per cent from 0 to 100.")
    parts = round(found * 1000)
    if abs(parts - found * 1000) > 1e-6:
        raise InputError(f"{text} % is finer than a thousandth of a per cent.")
    return parts


def span(text: str) -> timedelta:
    """Return a length of time: `30m`, `6h`, `1d`; raises InputError."""
    found = re.fullmatch(r"(\d{1,6})([smhdw])", text.strip())
    if found is None:
        raise InputError(f"{text!r} is no length of time as in 30m, 6h or 1d.")
    return timedelta(seconds=int(found[1]) * _UNITS[found[2]])


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
    names = "/".join(f"{name} {share(weight)}" for name, weight in weights.items()) if len(weights) > 1 else ""
    words = f"on for {share(shape.rollout_at(serve, now))}{f' ({names})' if names else ''}"
    if steps := shape.to_come(serve, now):
        words += f", ramping to {share(steps[-1]['rollout'])} by {shape.moment(steps[-1]['at']):%Y-%m-%d %H:%M}"
    return words


def step_lines(diff: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield what differs, a line each: `  serve.rollout: 10000 -> 25000`."""
    for each in diff:
        sides = [_value(each[name]) if name in each else "(nothing)" for name in ("old", "new")]
        yield f"  {each['path']}: {sides[0]} -> {sides[1]}"


def _value(value: Any) -> str:
    return msgspec.json.encode(value).decode()
