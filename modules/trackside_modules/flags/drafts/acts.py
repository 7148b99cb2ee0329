"""What the buttons of the form do to a draft: add, take away, move. None of it is saved."""

import copy
import re
from collections.abc import Callable
from typing import Any

from trackside_modules.flags import shape
from trackside_modules.flags.drafts import fields
from trackside_modules.flags.drafts.fields import Draft

_NEW: dict[str, Callable[[], Any]] = {
    "rules": fields.rule,
    "overrides": lambda: {"attribute": shape.USER, "value": "", "variant": ""},
    "prerequisites": lambda: {"flag": "", "variants": ""},
    "schedule": lambda: {"at": "", "enabled": "on"},
    "when": fields.condition,
}
_DO = re.compile(r"(add|remove|up|down) (?:(rules)\[(\d{1,5})\]\.)?([a-z]+)(?:\[(\d{1,5})\])?")


def act(draft: Draft, do: str, variants: list[str]) -> Draft:
    """Return the draft after `add rules`, `remove rules[1].when[0]`, `up rules[2]` ...; what is not there stays."""
    found = _DO.fullmatch(do)
    if found is None:
        return draft
    verb, inside, outer, name, index = found.groups()
    draft = copy.deepcopy(draft)
    here: Any = draft
    if inside:
        if int(outer) >= len(draft["rules"]):
            return draft
        here = draft["rules"][int(outer)]
    items = here.get(name)
    if name not in _NEW or not isinstance(items, list):
        return draft
    if verb == "add":
        items.append(_filled(_NEW[name](), variants))
    elif index is not None and int(index) < len(items):
        _move(items, verb, int(index))
    return draft


def _filled(item: dict[str, Any], variants: list[str]) -> dict[str, Any]:
    """Return a new item with its variant chosen, where it serves one."""
    if "serve" in item:
        item["serve"] |= {"variant": variants[0], "weights": ["100", *("0" for _ in variants[1:])]}
    elif "variant" in item:
        item["variant"] = variants[0]
    return item


def _move(items: list[Any], verb: str, index: int) -> None:
    item = items.pop(index)
    if verb == "up":
        items.insert(max(index - 1, 0), item)
    elif verb == "down":
        items.insert(index + 1, item)
