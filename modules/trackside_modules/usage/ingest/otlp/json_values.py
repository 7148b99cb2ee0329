"""The values of OTLP's JSON: typed, unknown fields ignored, 64-bit numbers as text or numbers, ids in hex."""

import math
from collections.abc import Iterable
from typing import TypeVar

import msgspec

from trackside_modules.usage.ingest.otlp.points import Attributes, Source, Value, too_many

MOST_OBJECTS, MOST_VALUES = 2_000_000, 8_000_000
"""Objects and values in a request: a `{}` of two bytes becomes a hundred, so bytes alone bound no memory."""
_DEEPEST = 8
T = TypeVar("T")

Whole = int | float | str | None
Real = float | str | None


class Json(msgspec.Struct, rename="camel", gc=False):
    """An object of OTLP: keys in lowerCamelCase, unknown ones ignored."""


class AnyValue(Json):
    """A value of any kind."""

    string_value: str | None = None
    int_value: Whole = None
    bool_value: bool | None = None
    double_value: Real = None
    array_value: "Values | None" = None
    kvlist_value: "Pairs | None" = None


class Pair(Json):
    """An attribute."""

    key: str = ""
    value: AnyValue | None = None


class Values(Json):
    """A list."""

    values: list[AnyValue] | None = None


class Pairs(Json):
    """A map."""

    values: list[Pair] | None = None


class Scope(Json):
    """What made the measurements."""

    name: str | None = None
    version: str | None = None


class Resource(Json):
    """Who was measured."""

    attributes: list[Pair] | None = None


def decoded(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Return a request; raise ValueError when the text is not one, TooLarge when it says too much."""
    if body.count(b"{") > MOST_OBJECTS or body.count(b",") > MOST_VALUES:
        raise too_many(MOST_OBJECTS)
    try:
        return decoder.decode(body)
    except RecursionError as error:
        raise ValueError("the body is nested too deeply") from error
    except UnicodeDecodeError as error:
        raise ValueError("the body is not UTF-8") from error
    except msgspec.MsgspecError as error:
        raise ValueError(f"the body is not an OTLP export request in JSON: {error}") from error


def described(resource: Resource | None) -> Attributes:
    """Return a resource's attributes."""
    return attributes(resource.attributes if resource else None)


def sourced(about: Attributes, scope: Scope | None) -> Source:
    """Return who measured."""
    named = scope or Scope()
    return Source(about, named.name or "", named.version or "")


def whole(value: Whole) -> int:
    """Return a whole number that JSON may hold as text, number or null; raise ValueError for anything else."""
    if value is None:
        return 0
    if isinstance(value, float) and not (math.isfinite(value) and value.is_integer()):
        raise ValueError(f"{value!r} is not a whole number")
    if isinstance(value, str) and not value.lstrip("-").isdecimal():
        raise ValueError("a number given as text is not a whole number")
    if isinstance(value, str) and len(value) > 20:
        raise ValueError("a number has more than 64 bits")
    number = int(value)
    if not -(2**63) <= number < 2**64:
        raise ValueError("a number has more than 64 bits")
    return number


def real(value: Real) -> float | None:
    """Return a number that JSON may hold as text ("NaN", "Infinity"); raise ValueError for other text."""
    return None if value is None else float(value[:40] if isinstance(value, str) else value)


def attributes(pairs: Iterable[Pair] | None) -> Attributes:
    """Return the attributes whose value is a scalar; the first of two with one key wins."""
    found: Attributes = {}
    for pair in pairs or ():
        value = pair.value
        if value is None:
            continue
        for scalar in (value.string_value, value.bool_value, value.double_value):
            if scalar is not None:
                found.setdefault(pair.key, scalar)
        if value.int_value is not None:
            found.setdefault(pair.key, whole(value.int_value))
    return found


def value_of(value: AnyValue | None, depth: int = 0) -> Value:
    """Return a value of any kind, lists and maps included; what is nested too deeply is None."""
    if value is None:
        return None
    if value.kvlist_value is not None:
        pairs = value.kvlist_value.values or () if depth < _DEEPEST else ()
        return {pair.key: value_of(pair.value, depth + 1) for pair in pairs}
    if value.array_value is not None:
        items = value.array_value.values or () if depth < _DEEPEST else ()
        return [value_of(each, depth + 1) for each in items]
    if value.int_value is not None:
        return whole(value.int_value)
    for scalar in (value.string_value, value.bool_value, value.double_value):
        if scalar is not None:
            return scalar
    return None
