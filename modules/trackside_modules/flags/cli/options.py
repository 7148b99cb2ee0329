"""What is typed on the command line, as edits and values."""

import re
from datetime import datetime, timedelta
from typing import Any

import msgspec

from trackside.errors import InputError
from trackside_client.flags.moments import parse_moment
from trackside_modules.flags import service, shape, yaml_text
from trackside_modules.flags.service import edits

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def edit_of(
    *,
    parts: str,
    switched: bool | None,
    at: str,
    rollout: float | None,
    by: str,
    split: str,
    rule: str,
    **overridden: str,
) -> service.Edit:
    """Return the edit that the options of `set` ask for; raises InputError where they say nothing, or half of it."""
    made: list[service.Edit] = [_parts(parts)] if parts else []
    if at or switched is not None or rollout is not None:
        made.append(_switch(switched is not False, at, told=switched is not None))
    if by:
        made.append({"by": by})
    if rollout is not None:
        made.append(edits.rollout(share_of(rollout), rule))
    if split:
        made.append(edits.split(weights_of(split), rule))
    made += _overrides(**overridden)
    if not made:
        raise InputError("Say what to change: --on, --off, --rollout, --split, --user, --account, --by or --state.")
    return edits.both(*made)


def _parts(text: str) -> service.Edit:
    given = yaml_text.load(text)
    if not isinstance(given, dict):
        raise InputError("--state takes an object of JSON.")
    return given


def _switch(on: bool, at: str, *, told: bool) -> service.Edit:
    if at and not told:
        raise InputError("--at says when to switch: add --on or --off.")
    return edits.switch_at(moment_of(at), on=on) if at else edits.switch(on=on)


def _overrides(user: str, account: str, variant: str) -> list[service.Edit]:
    given = ((shape.USER, user), (shape.ACCOUNT, account))
    if variant and not (user or account):
        raise InputError("--variant says what to give: add --user or --account.")
    return [edits.override(attribute, value, variant or None) for attribute, value in given if value]


def step_of(text: str) -> tuple[datetime, int]:
    """Return a step of a ramp: `10@2026-12-01T09:00:00Z`."""
    share, _, at = text.partition("@")
    return moment_of(at), share_of(share)


def share_of(text: float | str) -> int:
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


def span_of(text: str) -> timedelta:
    """Return a length of time: `30m`, `6h`, `1d`; raises InputError."""
    found = re.fullmatch(r"(\d{1,6})([smhdw])", text.strip())
    if found is None:
        raise InputError(f"{text!r} is no length of time as in 30m, 6h or 1d.")
    return timedelta(seconds=int(found[1]) * _UNITS[found[2]])


def moment_of(text: str) -> datetime:
    """Return a time; raises InputError."""
    found = parse_moment(text)
    if found is None:
        raise InputError(f"{text!r} is no time as in 2026-11-23T09:00:00Z.")
    return found


def weights_of(text: str) -> dict[str, int]:
    """Return weights of variants: `on=30,off=70`, in per cent."""
    return {name: share_of(share) for name, _, share in (each.partition("=") for each in text.split(","))}


def variant_of(text: str, kind: str) -> tuple[str, Any]:
    """Return a variant: `NAME=VALUE`, the value being JSON, or text for a string flag."""
    name, value = pair_of(text)
    return name, text.partition("=")[2] if kind == "string" else value


def pair_of(text: str) -> tuple[str, Any]:
    """Return `NAME=VALUE`, the value being JSON, or text where it is none."""
    name, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"{text!r} is no NAME=VALUE.")
    try:
        return name, msgspec.json.decode(value)
    except msgspec.DecodeError:
        return name, value
