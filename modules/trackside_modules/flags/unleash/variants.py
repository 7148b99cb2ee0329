"""Variants of Unleash: their payloads as values of a flag, their weights as pieces of a split."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from trackside_modules.flags.unleash.conditions import DEFAULT_STICKY, Condition, field_of
from trackside_modules.flags.unleash.documents import Payload, Variant

NONE = "disabled"
"""The variant of those who have none, by Unleash's own name for it."""
SEED = 86028157
"""What Unleash seeds its hash of variants with."""


class NotExpressible(Exception):
    """What Unleash does cannot be said here exactly; the text says what."""


@dataclass(frozen=True, slots=True)
class Pieces:
    """A split, and how its buckets are found."""

    split: list[list[Any]]
    hash: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Values:
    """The type of flag that holds all payloads, and the value of each variant."""

    type: str
    values: dict[str, Any]


def one(name: str) -> Pieces:
    """Return the split that gives everybody one variant."""
    return Pieces([[name, 1]], {})


def pieces(variants: Sequence[Variant], group: str, stickiness: str) -> Pieces | None:
    """Return the split of `variants`, None where none has any weight; `stickiness` where they name none.

    Raises NotExpressible where chance decides at each call.
    """
    split = [[each.name, each.weight] for each in variants if each.weight > 0]
    if not split:
        return None
    sticky = variants[0].stickiness or stickiness
    if sticky == "random" and len(split) > 1:
        raise NotExpressible("chance decides at each call which variant it is: give the variants a stickiness")
    by = DEFAULT_STICKY if sticky in {"default", "random"} else (field_of(sticky),)
    return Pieces(split, {"seed": SEED, "group": group, "modulus": 0, "offset": 1, "by": list(by)})


def overrides(variants: Iterable[Variant]) -> list[tuple[str, Condition]]:
    """Return which variant is given to whom whatever the buckets say, the first that applies first."""
    return [
        (each.name, {"attribute": field_of(it.context_name), "op": "in", "values": list(it.values)})
        for each in variants
        for it in each.overrides or ()
        if it.values
    ]


def values(variants: Iterable[Variant]) -> Values:
    """Return the values of a flag with these variants: texts, numbers or JSON where all are, else JSON for all.

    A variant without a payload has its own name as its value where none has one, else null. Where one name carries
    different payloads the first one counts.
    """
    payloads: dict[str, Payload | None] = {}
    for each in variants:
        payloads.setdefault(each.name, each.payload)
    kinds = {_kind(payload) for payload in payloads.values()}
    if kinds == {None}:
        return Values("string", {NONE: "", **{name: name for name in payloads}})
    found = {name: _value(payload) for name, payload in payloads.items()}
    only = kinds.pop() if len(kinds) == 1 else "json"
    nothing = {"string": "", "number": 0}.get(str(only))
    return Values(str(only), {NONE: nothing, **found})


def _kind(payload: Payload | None) -> str | None:
    if payload is None:
        return None
    value = _value(payload)
    if payload.type == "number" and not isinstance(value, str):
        return "number"
    return "json" if payload.type == "json" and not isinstance(value, str) else "string"


def _value(payload: Payload | None) -> Any:
    """Return a payload's value; its text where that is not what its type says."""
    if payload is None:
        return None
    if payload.type in {"number", "json"}:
        try:
            value = json.loads(payload.value, parse_constant=_refuse)
        except ValueError:
            return payload.value
        if payload.type == "json" or (isinstance(value, (int, float)) and not isinstance(value, bool)):
            return value
    return payload.value


def _refuse(constant: str) -> Any:
    raise ValueError(constant)
