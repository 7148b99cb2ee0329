"""An answer as the application gets it: always with a value, its own default where there is none."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from trackside_client.flags.result import ERROR, Result

T = TypeVar("T")

TYPE_MISMATCH = "TYPE_MISMATCH"
PROVIDER_NOT_READY = "PROVIDER_NOT_READY"


@dataclass(frozen=True, slots=True)
class Details(Generic[T]):
    """A value and where it comes from; `error_code` says why it is the default, None where it is not."""

    key: str
    value: T
    variant: str | None
    reason: str
    error_code: str | None = None
    error_details: str | None = None
    flag_metadata: Mapping[str, bool | str | int | float] = field(default_factory=dict)


def is_boolean(value: Any) -> bool:
    """Whether a value is one of a boolean flag."""
    return value is True or value is False


def is_string(value: Any) -> bool:
    """Whether a value is one of a string flag."""
    return isinstance(value, str)


def is_number(value: Any) -> bool:
    """Whether a value is one of a number flag."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_json(value: Any) -> bool:
    """Whether a value is one of a JSON flag: an object or a list."""
    return isinstance(value, (dict, list))


Fits = Callable[[Any], bool]
NAMES: dict[Fits, str] = {
    is_boolean: "boolean",
    is_string: "string",
    is_number: "number",
    is_json: "object or a list",
}


def fitted(result: Result, default: Any, fits: Fits, *, stale: bool = False) -> Details[Any]:
    """Return a result as details: with the default where it failed, or where its value is of another type."""
    if result.error_code is not None:
        return Details(result.key, default, None, ERROR, result.error_code, result.error_details)
    if not fits(result.value):
        says = f"this flag's value is {type(result.value).__name__}, and a {NAMES[fits]} was asked for"
        return Details(result.key, default, None, ERROR, TYPE_MISMATCH, says)
    value = deepcopy(result.value) if fits is is_json else result.value
    metadata = {**result.flag_metadata, "stale": True} if stale else result.flag_metadata
    return Details(result.key, value, result.variant, result.reason, flag_metadata=metadata)
