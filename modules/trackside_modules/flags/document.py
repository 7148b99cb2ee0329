"""Flags as one document, to live in git: what `export` writes and `apply` reads. Pure.

    {"format": "trackside.flags/1", "flags": {KEY: {
        "name", "description", "type", "kind", "salt", "variants", "tags", "owner", "expected_end", "hash", "metadata",
        "archived", "environments": {"production": {"enabled", "off", "by", "overrides", ...}}}}}

What is left out stays as it is, or begins as usual where the flag is new; only `variants` of a new flag that is not
boolean must be there. `owner` is a member's email address.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from trackside.errors import InputError
from trackside_client.flags.moments import parse_moment
from trackside_modules.flags import shape
from trackside_modules.flags.models import Flag

FORMAT = "trackside.flags/1"
FIELDS = ("name", "description", "type", "kind", "salt", "variants", "tags", "hash", "metadata")
MOST = 5000


@dataclass(slots=True)
class Entry:
    """A flag of a document."""

    key: str
    fields: dict[str, Any] = field(default_factory=dict)
    """By the names of `FIELDS`, and `expected_end`."""
    owner: str | None = None
    has_owner: bool = False
    archived: bool | None = None
    environments: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Parts of configs by the environment's slug."""


def written(flag: Flag, owner: str | None, configs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return a flag as a document holds it; `configs` by the environments' slugs."""
    own = {name: flag.facts if name == "metadata" else getattr(flag, name) for name in FIELDS}
    return {
        **own,
        "owner": owner,
        "expected_end": shape.text_of(flag.expected_end) if flag.expected_end else None,
        "archived": flag.archived_at is not None,
        "environments": {slug: {name: config[name] for name in shape.CONFIG} for slug, config in configs.items()},
    }


def read(document: Any) -> list[Entry]:
    """Return the flags of a document; raises InputError, naming every place that is wrong."""
    problems: dict[str, str] = {}
    root = _mapping(document, "document", problems)
    if root.get("format") != FORMAT:
        problems["format"] = f"This must be {FORMAT!r}."
    strange = sorted(map(str, set(root) - {"format", "flags"}))
    problems |= dict.fromkeys(strange, "There is no such field.")
    flags = _mapping(root.get("flags"), "flags", problems)
    if len(flags) > MOST:
        problems["flags"] = f"{len(flags):,} flags are more than {MOST:,}."
        flags = {}
    found = [_entry(key, value, problems) for key, value in flags.items()]
    if problems:
        raise refusal(problems)
    return found


def refusal(problems: Mapping[str, str]) -> InputError:
    """Return the error that names `problems` by their places."""
    return InputError("; ".join(f"{path}: {what}" for path, what in list(problems.items())[:20]), problems)


def _entry(key: Any, value: Any, problems: dict[str, str]) -> Entry:
    path = f"flags.{key}"
    try:
        entry = Entry(shape.checked_key(key if isinstance(key, str) else ""))
    except InputError as error:
        problems[path] = error.message
        return Entry("")
    for name, each in _mapping(value, path, problems).items():
        _take(entry, name, each, path, problems)
    return entry


def _take(entry: Entry, name: str, value: Any, path: str, problems: dict[str, str]) -> None:
    place = f"{path}.{name}"
    if name in FIELDS:
        entry.fields["facts" if name == "metadata" else name] = value
    elif name == "expected_end":
        entry.fields[name] = _moment(value, place, problems)
    elif name == "owner":
        entry.owner, entry.has_owner = (str(value) if value is not None else None), True
    elif name == "archived" and isinstance(value, bool):
        entry.archived = value
    elif name == "archived":
        problems[place] = "Say true or false."
    elif name == "environments":
        for slug, config in _mapping(value, place, problems).items():
            parts = _mapping(config, f"{place}.{slug}", problems)
            entry.environments[slug] = dict(parts)
            unknown = set(parts) - set(shape.CONFIG)
            problems |= {f"{place}.{slug}.{each}": "There is no such field." for each in sorted(map(str, unknown))}
    else:
        problems[place] = "There is no such field."


def _moment(value: Any, place: str, problems: dict[str, str]) -> datetime | None:
    found = parse_moment(value) if isinstance(value, str) else None
    if found is None and value is not None:
        problems[place] = "Give a time as in 2026-11-23T09:00:00Z."
    return found.astimezone(UTC) if found else None


def _mapping(value: Any, place: str, problems: dict[str, str]) -> Mapping[str, Any]:
    if isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
        return value
    problems[place] = "This must be an object, its names in text."
    return {}
