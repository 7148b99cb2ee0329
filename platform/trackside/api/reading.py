"""From a request to typed values, or to a 4xx that says which field is wrong.

msgspec checks types. Checked besides: duplicate keys (it keeps the last one silently), NUL characters and lone
surrogates (PostgreSQL stores neither), whole numbers beyond 64 bits, infinite numbers, years that no page can show.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, get_origin

import msgspec

from trackside.errors import BadRequest, InputError

FIRST_YEAR, LAST_YEAR = 1900, 2200
_AT = re.compile(r"^(?P<what>.*?) - at `(?P<where>(?:key in )?\$?.*)`$", re.DOTALL)
_LARGEST = 2**63 - 1


def read_json(raw: bytes, kind: type[msgspec.Struct]) -> msgspec.Struct:
    """Return the body `raw` as `kind`; raises BadRequest (no JSON) or InputError (not what is taken)."""
    try:
        value = msgspec.json.decode(raw, type=kind)
        _check_raw(json.loads(raw, object_pairs_hook=_pairs))
    except msgspec.ValidationError as error:
        raise _invalid(error) from error
    except RecursionError as error:
        raise BadRequest("The JSON is nested too deeply.") from error
    except (msgspec.DecodeError, UnicodeError, ValueError) as error:
        raise BadRequest(f"The body is not JSON: {_short(str(error))}.") from error
    _check_years(value, "")
    return value


def read_query(arguments: Mapping[str, list[str]], kind: type[msgspec.Struct] | None) -> msgspec.Struct | None:
    """Return the query parameters as `kind`; raises InputError for unknown, repeated and wrong ones."""
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)} if kind else {}
    values: dict[str, Any] = {}
    for name, given in arguments.items():
        field = fields.get(name)
        if field is None:
            known = ", ".join(sorted(fields)) or "none"
            raise InputError(f"There is no parameter {_short(name)!r}; there are: {known}.", {_short(name): "unknown"})
        many = get_origin(field.type) in {list, tuple, set}
        if len(given) > 1 and not many:
            raise InputError(f"The parameter {name!r} is there {len(given)} times.", {name: "given more than once"})
        _check_texts(given, name)
        values[name] = given if many else given[0]
    return None if kind is None else _convert(values, kind)


def read_path(arguments: Mapping[str, str], kinds: Mapping[str, Any]) -> dict[str, Any]:
    """Return the path's parameters in their types; raises InputError."""
    read: dict[str, Any] = {}
    for name, kind in kinds.items():
        _check_texts([arguments[name]], name)
        try:
            read[name] = msgspec.convert(arguments[name], kind, strict=False)
        except msgspec.ValidationError as error:
            raise InputError(f"{name} is not valid: {error}.", {name: str(error)}) from error
        _check_number(read[name], name)
    return read


def _convert(values: Mapping[str, Any], kind: type[msgspec.Struct]) -> msgspec.Struct:
    try:
        made = msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise _invalid(error) from error
    for name in kind.__struct_fields__:
        _check_number(getattr(made, name), name)
    _check_years(made, "")
    return made


def _invalid(error: msgspec.ValidationError) -> InputError:
    found = _AT.match(str(error))
    what = found["what"] if found else str(error)
    where = found["where"].removeprefix("$").lstrip(".") if found else ""
    unknown = re.search(r"unknown field `(.*)`", what)
    name = where or (unknown[1] if unknown else "")
    return InputError(
        f"{_short(name)}: {_short(what)}" if name else _short(what), {_short(name) or "body": _short(what)}
    )


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"The key {_short(twice)!r} is there twice.", {_short(twice): "given more than once"})
    return found


def _check_raw(root: Any) -> None:
    stack = [("", root)]
    while stack:
        where, value = stack.pop()
        if isinstance(value, dict):
            _check_texts(value, where or "body")
            stack += [(f"{where}.{name}".lstrip("."), each) for name, each in value.items()]
        elif isinstance(value, list):
            stack += [(f"{where}[{index}]", each) for index, each in enumerate(value)]
        elif isinstance(value, str):
            _check_texts([value], where)
        else:
            _check_number(value, where)


def _check_texts(texts: Iterable[str], where: str) -> None:
    for text in texts:
        if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
            message = "holds a character that cannot be stored (NUL or half a surrogate pair)"
            raise InputError(f"{_short(where)} {message}.", {_short(where): message})


def _check_number(value: Any, where: str) -> None:
    too_large = isinstance(value, int) and not -_LARGEST - 1 <= value <= _LARGEST
    if too_large or (isinstance(value, float) and not math.isfinite(value)):
        raise InputError(f"{_short(where)} is out of range.", {_short(where): "out of range"})


def _check_years(value: Any, where: str) -> None:
    if isinstance(value, datetime):
        if not FIRST_YEAR <= value.year <= LAST_YEAR:
            message = f"the year is not from {FIRST_YEAR} to {LAST_YEAR}"
            raise InputError(f"{where}: {message}.", {where: message})
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            _check_years(getattr(value, name), f"{where}.{name}".lstrip("."))
    elif isinstance(value, (list, tuple, set)):
        for index, each in enumerate(value):
            _check_years(each, f"{where}[{index}]")
    elif isinstance(value, dict):
        for name, each in value.items():
            _check_years(each, f"{where}.{name}".lstrip("."))


def _short(text: str) -> str:
    return text.encode("utf-8", "replace").decode()[:120].replace("\0", "\\0")
