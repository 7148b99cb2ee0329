"""Whether flags make sense: the engine that evaluates them says so, beside the flags and segments there are."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy.orm import Session

from trackside.errors import InputError
from trackside_client.flags import check_flag
from trackside_modules.flags import ruleset

Flags = Mapping[str, Mapping[str, Any]]
MOST_TOLD = 50


def check_environment(session: Session, env_id: int, keys: Collection[str]) -> None:
    """Raise InputError, naming every wrong field, where the flags `keys` cannot be evaluated in an environment.

    Checked with them is who needs them: a variant that another flag takes as a prerequisite must stay.
    """
    flags = ruleset.flags(session, env_id)
    known = ruleset.segments(session, env_id)
    changed = frozenset(keys)
    affected = {key for key in changed if key in flags} | {key for key in flags if changed & needs(flags[key])}
    problems: dict[str, str] = {}
    for key in sorted(affected):
        for path, what in problems_of(key, flags, known).items():
            problems[path if len(changed) == 1 and key in changed else f"{key}: {path}"] = what
    if problems:
        raise refusal(problems)


def problems_of(key: str, flags: Flags, segments: Collection[str]) -> dict[str, str]:
    """Return what is wrong with the flag `key` among `flags`, by the path in it."""
    around = {each: flags[each] for each in chain(key, flags)}
    found: dict[str, str] = {}
    for problem in check_flag(key, flags[key], around, segments=segments):
        path = problem.path or "flag"
        found[path] = f"{found[path]}; {problem.message}" if path in found else problem.message
    return found


def chain(key: str, flags: Flags) -> set[str]:
    """Return the flags that `key` needs, and those that they need, all the way."""
    found: set[str] = set()
    waiting = [key]
    while waiting:
        following = needs(flags[waiting.pop()]) & set(flags) - found
        found |= following
        waiting += following
    return found


def needs(flag: Mapping[str, Any]) -> set[str]:
    """Return the flags that a flag has as prerequisites; what has no shape yet is for the engine to refuse."""
    given = flag.get("prerequisites")
    listed = given if isinstance(given, list) else []
    named = {each.get("flag") for each in listed if isinstance(each, dict)}
    return {name for name in named if isinstance(name, str)}


def refusal(problems: Mapping[str, str]) -> InputError:
    """Return the error that names `problems` by their paths."""
    told = dict(list(problems.items())[:MOST_TOLD])
    more = f"; and {len(problems) - len(told)} more" if len(problems) > len(told) else ""
    return InputError("; ".join(f"{path}: {what}" for path, what in told.items()) + more, told)
