"""The rules for what people, files and programs write into accounts and users.

Values come as texts by field name (`name`, `email`, `plan`, `account`) and `attributes`, a dict of texts; they go out
stripped and checked. Every wrong field is named at once.
"""

import re
from collections.abc import Mapping
from typing import Any

from trackside.customers.identity import forbidden, refusal
from trackside.errors import InputError

LENGTHS = {"name": 200, "email": 254, "plan": 100, "account": 200}
MAX_ATTRIBUTES = 50
ATTRIBUTE_NAME = 100
ATTRIBUTE_VALUE = 1000
# Lenient on purpose: the address comes out of someone's CRM, and refusing it would only lose it.
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


def checked(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return `values` stripped; raises InputError that names every field with a mistake."""
    problems: dict[str, str] = {}
    clean: dict[str, Any] = {}
    for name, value in values.items():
        if name == "attributes":
            clean[name] = _attributes(value, problems)
        else:
            clean[name] = value.strip()
            problem = _problem(name, clean[name])
            if problem:
                problems[name] = problem
    if problems:
        raise InputError("; ".join(f"{name}: {problem}" for name, problem in problems.items()), problems)
    return clean


def checked_id(external_id: str) -> str:
    """Return `external_id` stripped; raises InputError where it cannot be an id."""
    problem = refusal(external_id)
    if problem:
        message = f"this cannot be an id: {problem}"
        raise InputError(message, {"external_id": message})
    return external_id.strip()


def _problem(name: str, value: str) -> str | None:
    if len(value) > LENGTHS[name]:
        return f"is longer than {LENGTHS[name]} characters"
    if forbidden(value):
        return "holds control or text-direction characters"
    if name == "email" and value and not _EMAIL.fullmatch(value):
        return f"{value!r} is not an email address"
    return None


def _attributes(given: Mapping[str, str], problems: dict[str, str]) -> dict[str, str]:
    clean = {key.strip(): value.strip() for key, value in given.items()}
    if len(clean) > MAX_ATTRIBUTES:
        problems["attributes"] = f"there are more than {MAX_ATTRIBUTES}"
    for key, value in clean.items():
        if not key or len(key) > ATTRIBUTE_NAME or forbidden(key):
            problems["attributes"] = f"{key[:ATTRIBUTE_NAME]!r} cannot be a name: use 1 to {ATTRIBUTE_NAME} characters"
        elif len(value) > ATTRIBUTE_VALUE or forbidden(value):
            problems[f"attributes.{key}"] = f"use at most {ATTRIBUTE_VALUE} characters, none of them control characters"
    return {key: value for key, value in clean.items() if value}
