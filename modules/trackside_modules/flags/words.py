"""A flag's rules in plain words, and what a change of them does to people. Pure.

describe(config)          every line of how a flag is rolled out, each with a key that stays the same between edits
changes(before, after)    what an edit adds, takes away and changes, as one would say it
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any, Literal

from trackside_client.flags.operators import OPERATORS
from trackside_modules.flags import shape

_MOST_VALUES = 6
_LONGEST = 80
_ELSE = "everyone else"
_NOUNS = {shape.USER: ("user", "users"), shape.ACCOUNT: ("account", "accounts")}


@dataclass(frozen=True, slots=True)
class Line:
    """One statement about a flag; the same `key` before and after an edit is the same thing, changed or not."""

    key: str
    text: str
    share: int | None = None
    """Of 100,000, where it speaks of a rollout."""
    rest: str = ""
    """The text without its share: two lines of one `rest` differ in nothing else."""


@dataclass(frozen=True, slots=True)
class Said:
    """One thing that an edit does."""

    kind: Literal["new", "gone", "changed"]
    text: str


def percent(of: int) -> str:
    """Return so many of 100,000: `12.5%`."""
    whole, part = divmod(of, 1000)
    return f"{whole}.{part:03}".rstrip("0").rstrip(".") + "%"


def value(it: Any) -> str:
    """Return a value as a sentence names it: a text in quotes, cut where it is long."""
    if isinstance(it, bool):
        return "true" if it else "false"
    if isinstance(it, str):
        return f"“{it if len(it) <= _LONGEST else it[:_LONGEST] + '…'}”"
    return str(it)


def listed(values: Sequence[Any], last: str = "or") -> str:
    """Return values as in `“pro”, “team” or “max”`; of many the first and how many more."""
    said = [value(each) for each in values[:_MOST_VALUES]]
    if len(values) > _MOST_VALUES:
        return f"{', '.join(said)} {last} {len(values) - _MOST_VALUES:,} more"
    return f" {last} ".join([", ".join(said[:-1]), said[-1]]) if len(said) > 1 else "".join(said)


def units(by: Any, many: bool = True) -> str:
    """Return whom a sticky attribute tells apart: users, accounts, or whoever shares it."""
    name = by[0] if isinstance(by, list) and by else by
    if name in _NOUNS:
        return _NOUNS[name][many]
    return f"users by {name}" if many else f"user by {name}"


def condition(it: Mapping[str, Any]) -> str:
    """Return a condition as in `plan is “pro” or “team”`."""
    operator = OPERATORS.get(it.get("op", ""))
    if operator is None:
        return f"{it.get('attribute', '')} {it.get('op', '')}"
    values = it.get("values") or []
    words = operator.unlike if it.get("negate") else operator.words
    if it.get("op") == "in" and len(values) == 1:
        words = "is not" if it.get("negate") else "is"
    name = it.get("attribute") or "user"
    subject = {shape.USER: "user id", shape.ACCOUNT: "account id"}.get(name, name)
    case = ", in capitals or not" if it.get("ignore_case") else ""
    return f"{subject} {words} {listed(values)}".strip() + case


def given(serve: Mapping[str, Any]) -> str:
    """Return what those taken in get: one variant, or several with their shares."""
    pieces: dict[str, int] = {}
    for name, weight in serve["split"]:
        if weight:
            pieces[name] = pieces.get(name, 0) + weight
    total = sum(pieces.values()) or 1
    if len(pieces) == 1:
        return value(next(iter(pieces)))
    shares = [f"{value(name)} to {percent(round(weight * shape.WHOLE / total))}" for name, weight in pieces.items()]
    return f"{', '.join(shares[:-1])} and {shares[-1]} of them" if shares else "nothing"


def describe(config: Mapping[str, Any], now: datetime, zone: tzinfo = UTC) -> list[Line]:
    """Return how a flag is rolled out, in the order in which it is decided."""
    return [
        *_state(config),
        *_schedule(config, now, zone),
        *(_prerequisite(each) for each in config["prerequisites"]),
        *(_override(each) for each in config["overrides"]),
        *_rules(config, now, zone),
        *_serve("serve", config["serve"], _everybody(config), now, zone),
    ]


def changes(before: Mapping[str, Any], after: Mapping[str, Any], now: datetime, zone: tzinfo = UTC) -> list[Said]:
    """Return what an edit does, in the order of the rules; empty where it does nothing."""
    old = {each.key: each for each in describe(before, now, zone)}
    new = {each.key: each for each in describe(after, now, zone)}
    said = [_said(old.get(key), line) for key, line in new.items()]
    said += [Said("gone", f"No more: {_small(line.text)}") for key, line in old.items() if key not in new]
    found = [each for each in said if each is not None]
    return found + list(_unsaid(before, after)) or _other(before, after)


def _said(old: Line | None, new: Line) -> Said | None:
    if old is None:
        return Said("new", new.text)
    if old.text == new.text:
        return None
    if old.share is not None and old.rest == new.rest:
        if old.share == new.share:
            return None
        return Said("changed", f"{new.text.rstrip('.')}, before {percent(old.share)}.")
    if new.key == "state":
        return Said("changed", f"It is switched {_small(new.text).removeprefix('the flag is ')}")
    return Said("changed", f"{new.text.rstrip('.')}. Before: {_small(old.text)}")


def _unsaid(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Said]:
    """Yield what moves between lines: the order of the rules, and what those outside get."""
    both = [[each.get("id") for each in side["rules"]] for side in (before, after)]
    kept = [[each for each in side if each in both[0] and each in both[1]] for side in both]
    if kept[0] != kept[1]:
        names = [each.get("name") or f"rule {place + 1}" for place, each in enumerate(after["rules"])]
        yield Said("changed", f"Rules are asked in another order: {', '.join(names)}.")
    if before["off"] != after["off"]:
        yield Said("changed", f"Who is not taken in gets {value(after['off'])}, before {value(before['off'])}.")
    if before["by"] != after["by"]:
        yield Said("changed", f"It is spread by {units(after['by'])}, before by {units(before['by'])}: some will move.")


def _other(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Said]:
    """Return what no sentence speaks of, such as a rule's hash, so that no edit looks like none."""
    paths = [each["path"] for each in shape.diff(before, after)]
    return [Said("changed", f"Changed: {', '.join(paths[:8])}.")] if paths else []


def _state(config: Mapping[str, Any]) -> Iterator[Line]:
    yield Line(
        "state", "The flag is on." if config["enabled"] else f"The flag is off: everybody gets {value(config['off'])}."
    )


def _schedule(config: Mapping[str, Any], now: datetime, zone: tzinfo) -> Iterator[Line]:
    for each in config["schedule"]:
        at = shape.moment(each["at"])
        verb = "was" if at <= now else "is"
        yield Line(f"at {each['at']}", f"It {verb} switched {'on' if each['enabled'] else 'off'} {when(at, zone)}.")


def when(at: datetime, zone: tzinfo) -> str:
    """Return a moment as in `on 3 Dec 2026 at 09:00 CET`."""
    there = at.astimezone(zone)
    return f"on {there.day} {there:%b %Y} at {there:%H:%M %Z}"


def _prerequisite(it: Mapping[str, Any]) -> Line:
    return Line(f"needs {it['flag']}", f"Only where the flag {it['flag']} gives {listed(it['variants'])}.")


def _override(it: Mapping[str, Any]) -> Line:
    noun = units(it["attribute"], many=False).capitalize()
    return Line(f"{it['attribute']} {it['value']}", f"{noun} {it['value']} always gets {value(it['variant'])}.")


def _rules(config: Mapping[str, Any], now: datetime, zone: tzinfo) -> Iterator[Line]:
    for place, rule in enumerate(config["rules"]):
        by = rule["serve"].get("by") or config["by"]
        asked = " and ".join(condition(each) for each in rule["when"])
        whom = f"{units(by)} where {asked}" if asked else units(by)
        yield from _serve(f"rule {rule.get('id') or place}", rule["serve"], whom, now, zone)


def _everybody(config: Mapping[str, Any]) -> str:
    return _ELSE if config["rules"] else units(config["serve"].get("by") or config["by"])


def _serve(key: str, serve: Mapping[str, Any], whom: str, now: datetime, zone: tzinfo) -> Iterator[Line]:
    of = shape.rollout_at(serve, now)
    what = given(serve)
    rest = what if key == "serve" else f"{whom} get {what}"
    if of == 0:
        nobody = {_ELSE: "Nobody else gets"}.get(whom, f"No {whom} get" if " " in whom else "Nobody gets")
        text = f"{nobody} {what}."
    elif of == shape.WHOLE:
        text = f"{'Everyone else gets' if whom == _ELSE else f'All {whom} get'} {what}."
    else:
        text = f"{percent(of)} of {whom} get {what}."
    yield Line(key, text, of, rest)
    coming = shape.to_come(serve, now)
    if coming:
        steps = ", ".join(f"{percent(each['rollout'])} {when(shape.moment(each['at']), zone)}" for each in coming[:3])
        more = f", and on by {len(coming) - 3} more to {percent(coming[-1]['rollout'])}" if len(coming) > 3 else ""
        yield Line(f"{key} ramp", f"Then {steps}{more}.")


def _small(text: str) -> str:
    return text[:1].lower() + text[1:]
