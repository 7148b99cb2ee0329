"""What JSON and PostgreSQL can keep, whoever sent it: checked before the engine says whether it makes sense."""

import math
from typing import Any

from trackside.errors import InputError

DEEPEST = 40
LARGEST = 1 << 20
"""Characters, numbers and the like of one value, all together."""
_WHOLE = 1 << 63


def must_be_storable(name: str, value: Any) -> None:
    """Raise InputError, naming the field `name`, where something in `value` could not be stored and read again."""
    size = 0
    stack = [(value, 0)]
    while stack:
        it, depth = stack.pop()
        size += len(it) if isinstance(it, str) else 1
        problem = f"This is nested more than {DEEPEST} deep." if depth > DEEPEST else _problem(it)
        if size > LARGEST:
            problem = f"This is larger than {LARGEST >> 20} MiB."
        if problem:
            raise InputError(f"{name}: {problem}", {name: problem})
        if isinstance(it, dict):
            stack += [(each, depth + 1) for pair in it.items() for each in pair]
        elif isinstance(it, list):
            stack += [(each, depth + 1) for each in it]


def _problem(it: Any) -> str:
    if isinstance(it, str) and ("\0" in it or any("\ud800" <= each <= "\udfff" for each in it)):
        return "This holds a character that cannot be stored (NUL or half a surrogate pair)."
    if isinstance(it, float) and not math.isfinite(it):
        return "This holds a number that is not finite."
    if isinstance(it, int) and not -_WHOLE <= it < _WHOLE:
        return "This holds a number of more than 64 bits."
    return "" if it is None or isinstance(it, str | bool | int | float | dict | list) else "This is not JSON."
