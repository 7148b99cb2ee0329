"""Why somebody gets what they get: the engine's own words, asked of the ruleset as it is now."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from trackside.errors import InputError, NotFound
from trackside_client.flags import check_context, parse
from trackside_client.flags.trace import Trace
from trackside_modules.flags import checking, ruleset


def explain(session: Session, env_id: int, key: str, context: Mapping[str, Any], *, now: datetime) -> Trace:
    """Return each step of an evaluation for `context` at `now`, and its result.

    Raises NotFound for a flag that is in no ruleset, InputError for a context that no evaluation takes.
    """
    problem = check_context(context)
    if problem:
        raise InputError(f"context: {problem}", {"context": problem})
    flags = ruleset.flags(session, env_id)
    if key not in flags:
        raise NotFound(f"There is no flag {key!r} that is not archived.")
    needed = {each: flags[each] for each in flags if each == key or each in checking.chain(key, flags)}
    return parse({"schema": ruleset.SCHEMA, "flags": needed}).explain(key, context, now)
