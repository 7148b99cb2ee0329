"""What a context may hold before a door refuses it: bounded work whoever asks."""

from collections.abc import Mapping
from typing import Any

MOST_ATTRIBUTES = 500
"""Attributes in a context, items of lists and fields of objects in it included."""
MOST_CHARACTERS = 64_000
"""Of all texts and names in a context together."""


def check_context(context: Any) -> str | None:
    """Return why a context cannot be accepted, None where it can: a microsecond for a usual one, and never much."""
    if not isinstance(context, Mapping):
        return "the context must be an object"
    values = characters = 0
    inside: list[Any] = [context]
    while inside:
        each = inside.pop()
        values += len(each)
        if values > MOST_ATTRIBUTES:
            return f"the context has over {MOST_ATTRIBUTES} attributes and items; send those that rules ask for"
        if isinstance(each, Mapping):
            characters += sum([len(name) for name in each if isinstance(name, str)])
            each = each.values()
        for value in each:
            if isinstance(value, str):
                characters += len(value)
            elif isinstance(value, (dict, list, tuple)):
                inside.append(value)
        if characters > MOST_CHARACTERS:
            return f"the context has over {MOST_CHARACTERS} characters; send those attributes that rules ask for"
    return None
