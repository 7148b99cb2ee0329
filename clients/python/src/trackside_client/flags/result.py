"""What an evaluation answers, in OFREP's and OpenFeature's own words."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

Context = Mapping[str, Any]
"""What is known of whom the flag is for: `targetingKey` (the user), `account`, and any other attribute."""

DISABLED = "DISABLED"
STATIC = "STATIC"
TARGETING_MATCH = "TARGETING_MATCH"
SPLIT = "SPLIT"
DEFAULT = "DEFAULT"
"""No rule matched, or a prerequisite failed: everyone else's variant, or the one for off."""
ERROR = "ERROR"

PARSE_ERROR = "PARSE_ERROR"
TARGETING_KEY_MISSING = "TARGETING_KEY_MISSING"
INVALID_CONTEXT = "INVALID_CONTEXT"
GENERAL = "GENERAL"
FLAG_NOT_FOUND = "FLAG_NOT_FOUND"

_NOTHING: Mapping[str, bool | str | int | float] = MappingProxyType({})


def _nothing() -> Mapping[str, bool | str | int | float]:
    return _NOTHING


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """One flag's answer: shared between evaluations, so compared by identity and never to be changed.

    `error_code` is None unless the flag could not be evaluated; then `value` and `variant` are None, `reason` is ERROR
    and the application's own default answers. The value of a JSON flag is the ruleset's own object: copy before use.
    """

    key: str
    value: Any
    variant: str | None
    reason: str
    error_code: str | None = None
    error_details: str | None = None
    flag_metadata: Mapping[str, bool | str | int | float] = field(default_factory=_nothing)


def failure(key: str, code: str, details: str) -> Result:
    """Return the answer of a flag that could not be evaluated; `details` say why, for a developer."""
    return Result(key, None, None, ERROR, code, details)
