"""What is typed on the command line, as edits and values."""

from datetime import datetime
from typing import Any

import msgspec

from trackside.errors import InputError
from trackside_client.flags.moments import parse_moment
from trackside_modules.flags import service, shape, yaml_text
from trackside_modules.flags.service import edits
from trackside_modules.flags.wording import percent


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
        made.append(edits.rollout(percent(rollout), rule))
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
    return moment_of(at), percent(share)


def moment_of(text: str) -> datetime:
    """Return a time; raises InputError."""
    found = parse_moment(text)
    if found is None:
        raise InputError(f"{text!r} is no time as in 2026-11-23T09:00:00Z.")
    return found


def weights_of(text: str) -> dict[str, int]:
    """Return weights of variants: `on=30,off=70`, in per cent."""
    return {name: percent(share) for name, _, share in (each.partition("=") for each in text.split(","))}


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
