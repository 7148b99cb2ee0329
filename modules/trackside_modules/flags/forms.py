"""The form of a flag itself: what it is in all environments, from and to what the service takes."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any

from trackside.errors import InputError
from trackside.text import whole_number
from trackside_modules.flags import shape
from trackside_modules.flags.drafts.values import read_values
from trackside_modules.flags.models import Flag

FIELDS = ("name", "description", "kind", "tags", "owner", "expected_end")
MOST_ROWS = 100
_DAY = "%Y-%m-%d"


def typed_of(flag: Flag, zone: tzinfo) -> dict[str, str]:
    """Return the fields that show a flag as it is."""
    typed = {
        "name": flag.name,
        "description": flag.description,
        "kind": flag.kind,
        "tags": ", ".join(flag.tags),
        "owner": str(flag.owner_id or ""),
        "expected_end": flag.expected_end.astimezone(zone).strftime(_DAY) if flag.expected_end else "",
    }
    return typed | variants_typed(flag.variants, flag.type)


def variants_typed(variants: Mapping[str, Any], type_: str) -> dict[str, str]:
    """Return the rows of a flag's variants: `variant-0-name`, `variant-0-value`."""
    typed = {}
    for place, (name, value) in enumerate(variants.items()):
        typed[f"variant-{place}-name"] = name
        typed[f"variant-{place}-value"] = value if type_ == "string" else json.dumps(value, ensure_ascii=False)
    return typed


def variant_rows(fields: Mapping[str, str]) -> list[int]:
    """Return the numbers of the rows of variants that `fields` have, in order."""
    places = [name[8:-5] for name in fields if name.startswith("variant-") and name.endswith("-name")]
    return sorted(n for place in places if (n := whole_number(place, digits=3)) is not None)[:MOST_ROWS]


def values_of(fields: Mapping[str, str], zone: tzinfo) -> dict[str, Any]:
    """Return what the service takes of the fields typed; raises InputError by field."""
    problems: dict[str, str] = {}
    values: dict[str, Any] = {name: fields.get(name, "") for name in ("name", "description", "kind")}
    values["tags"] = [str(each) for each in read_values(fields.get("tags", ""), "contains")]
    values["owner_id"] = whole_number(fields.get("owner", ""))
    try:
        values["expected_end"] = _day(fields.get("expected_end", ""), zone)
    except (ValueError, OverflowError):
        problems["expected_end"] = "Choose a day, such as 2026-12-31."
    if problems:
        raise InputError("Some of this is not right yet.", problems)
    return values


def _day(text: str, zone: tzinfo) -> datetime | None:
    return datetime.strptime(text, _DAY).replace(tzinfo=zone).astimezone(UTC) if text.strip() else None


def variants_of(fields: Mapping[str, str], type_: str, rows: Sequence[int]) -> dict[str, Any]:
    """Return the variants typed, rows without a name and a value left out; raises InputError by field."""
    found: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for place in rows:
        name, text = (fields.get(f"variant-{place}-{part}", "").strip() for part in ("name", "value"))
        if not name and not text:
            continue
        try:
            value = text if type_ == "string" else json.loads(text, parse_constant=_no)
            _must_be(type_, value)
        except (ValueError, RecursionError):
            problems[f"variant-{place}-value"] = _WANTED.get(type_, "Type a value.")
            continue
        if not name:
            problems[f"variant-{place}-name"] = "Give it a name."
        elif name in found:
            problems[f"variant-{place}-name"] = "There is a variant of this name above."
        found[name] = value
    if problems:
        raise InputError("Some of this is not right yet.", problems)
    return found


_WANTED = {
    "boolean": "Type true or false.",
    "number": "Type a number, such as 2.5.",
    "json": 'Type JSON, such as {"limit": 20}.',
}


def _must_be(type_: str, value: Any) -> None:
    right = {"boolean": bool, "number": int | float, "string": str}.get(type_, object)
    if not isinstance(value, right) or (type_ == "number" and isinstance(value, bool)):
        raise ValueError(type_)


def _no(_constant: str) -> None:
    raise ValueError


def types() -> list[tuple[str, str]]:
    """Return the types of flags with what they hold."""
    words = {"boolean": "True or false", "string": "A text", "number": "A number", "json": "JSON: objects and lists"}
    return [(name, words[name]) for name in shape.TYPES]
