"""Values as people type them in one line: `pro, team`, `42`, `"42"`, `true`; read and written alike."""

import json
import re
from collections.abc import Sequence
from typing import Any

from trackside_client.flags.operators import OPERATORS

_NUMBER = re.compile(r"-?\d{1,15}(\.\d{1,15})?", re.ASCII)
_PIECE = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[^,\n]*)\s*(?:[,\n]|$)')


def read_values(text: str, op: str) -> list[Any]:
    """Return the values in a line; whether a bare `42` is a number depends on what the operator compares.

    Values are parted by commas or lines; one in double quotes is a text, commas and all. A pattern is all of the line.
    """
    kind = OPERATORS[op].kind if op in OPERATORS else "text"
    if kind == "none" or not text.strip():
        return []
    if kind == "pattern" and not text.lstrip().startswith('"'):
        return [text.strip()]
    return [_value(each, kind) for each in _pieces(text) if each]


def write_values(values: Sequence[Any], op: str) -> str:
    """Return values as `read_values` reads them."""
    kind = OPERATORS[op].kind if op in OPERATORS else "text"
    if kind == "pattern" and len(values) == 1 and not str(values[0]).startswith('"'):
        return str(values[0])
    return ", ".join(_text(each, kind) for each in values)


def _pieces(text: str) -> list[str]:
    found: list[str] = []
    place = 0
    while place < len(text):
        match = _PIECE.match(text, place)
        if match is None:
            rest = text[place:].partition(",")
            found.append(rest[0].strip())
            place += len(rest[0]) + 1
        else:
            found.append(match[1].strip())
            place = max(match.end(), place + 1)
    return found


def _value(text: str, kind: str) -> Any:
    if text.startswith('"') and text.endswith('"') and len(text) > 1:
        try:
            return str(json.loads(text))
        except ValueError:
            return text
    if kind in {"scalar", "number"} and _NUMBER.fullmatch(text):
        return float(text) if "." in text else int(text)
    if kind == "scalar" and text in {"true", "false"}:
        return text == "true"
    return text


def _text(value: Any, kind: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return repr(value)
    bare = _value(value, kind) == value and isinstance(_value(value, kind), str)
    plain = value == value.strip() and not any(each in value for each in ',\n"') and value != ""
    return value if bare and plain else json.dumps(value, ensure_ascii=False)
