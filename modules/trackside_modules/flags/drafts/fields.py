"""The fields of a draft: `{"rules[0].name": "beta"}` as nested texts, and nothing of what was typed lost."""

import re
from collections.abc import Mapping
from typing import Any

from trackside.errors import InputError

Draft = dict[str, Any]
"""`by, other, off, serve, rules, overrides, prerequisites, schedule`: dicts and lists of texts."""
LISTS = ("rules", "overrides", "prerequisites", "schedule")
MOST_ITEMS = 10_000
_NAME = re.compile(r"[a-z_]+(\[\d{1,5}\])?(\.[a-z_]+(\[\d{1,5}\])?){0,3}")
_PART = re.compile(r"([a-z_]+)(?:\[(\d+)\])?")


def empty() -> Draft:
    """Return a draft of nothing."""
    return {"by": "", "other": "", "off": "", "serve": serve(), **{name: [] for name in LISTS}}


def serve() -> dict[str, Any]:
    """Return an empty serve."""
    return {"rollout": "100", "variant": "", "weights": []}


def rule() -> dict[str, Any]:
    """Return an empty rule: its conditions, and whom it takes in."""
    return {"id": "", "name": "", "when": [condition()], "serve": serve()}


def condition() -> dict[str, str]:
    """Return an empty condition."""
    return {"attribute": "", "op": "in", "values": "", "ignore_case": ""}


def read(fields: Mapping[str, str]) -> Draft:
    """Return the draft that `fields` write; names that are no place of one are passed over.

    Raises InputError for more parts than a flag can have.
    """
    tree: dict[str, Any] = {}
    for name, text in fields.items():
        if _NAME.fullmatch(name):
            _put(tree, name, text)
    draft = empty()
    draft |= {name: str(tree.get(name, "")) for name in ("by", "other", "off") if not isinstance(tree.get(name), dict)}
    draft["serve"] = _serve(tree.get("serve"))
    draft["rules"] = [_rule(each) for each in _items(tree.get("rules"))]
    draft["overrides"] = [_texts(each, "attribute", "value", "variant") for each in _items(tree.get("overrides"))]
    draft["prerequisites"] = [_texts(each, "flag", "variants") for each in _items(tree.get("prerequisites"))]
    draft["schedule"] = [_texts(each, "at", "enabled") for each in _items(tree.get("schedule"))]
    return draft


def _put(tree: dict[str, Any], name: str, text: str) -> None:
    """Put a text at its place: a list is kept as a dict by number until it is whole."""
    here = tree
    parts = [(each[1], each[2]) for each in _PART.finditer(name)]
    for place, (part, index) in enumerate(parts):
        last = place == len(parts) - 1
        if index is None:
            if last:
                here[part] = text
            else:
                here = _inside(here, part)
        else:
            listed = _inside(here, part)
            if last:
                listed[int(index)] = text
            else:
                here = _inside(listed, int(index))


def _inside(here: dict[Any, Any], name: Any) -> dict[Any, Any]:
    found = here.setdefault(name, {})
    if not isinstance(found, dict):
        found = here[name] = {}
    return found


def _items(found: Any) -> list[Any]:
    items = [found[index] for index in sorted(found) if isinstance(index, int)] if isinstance(found, dict) else []
    if len(items) > MOST_ITEMS:
        raise InputError(f"A flag has at most {MOST_ITEMS:,} of these.")
    return items


def _texts(found: Any, *names: str) -> dict[str, str]:
    here = found if isinstance(found, dict) else {}
    return {name: here[name] if isinstance(here.get(name), str) else "" for name in names}


def _serve(found: Any) -> dict[str, Any]:
    weights = [str(each) for each in _items(found.get("weights"))] if isinstance(found, dict) else []
    return {**serve(), **_texts(found, "rollout", "variant"), "weights": weights}


def _rule(found: Any) -> dict[str, Any]:
    here = found if isinstance(found, dict) else {}
    when = [_texts(each, "attribute", "op", "values", "ignore_case") for each in _items(here.get("when"))]
    return {**_texts(here, "id", "name"), "when": when, "serve": _serve(here.get("serve"))}
