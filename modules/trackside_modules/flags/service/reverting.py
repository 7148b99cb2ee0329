"""Going back: to any version of a flag's state, or of the flag itself, in one call."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from trackside.auth.audit import Actor
from trackside.auth.models import Member
from trackside.errors import NotFound
from trackside_modules.flags.models import Change, Flag, State
from trackside_modules.flags.service import definitions, states

KEPT = ("name", "description", "kind", "variants", "tags", "owner_id", "expected_end", "hash", "facts")
"""What of a flag itself goes back."""


def revert(
    session: Session,
    env_id: int | None,
    key: str,
    version: int,
    *,
    who: Actor,
    now: datetime,
    reason: str = "",
    if_version: int | None = None,
    approved: bool = False,
) -> Flag | State:
    """Make the state in an environment (None: the flag itself) what it was at `version`; a new version, as any change.

    Raises NotFound where there was no such version, InputError where what it was makes no sense any more.
    """
    flag = states.get(session, key)
    reason = reason or f"Back to version {version}"
    how: dict[str, Any] = {"who": who, "now": now, "reason": reason, "if_version": if_version, "approved": approved}
    values = at_version(session, flag, env_id, version)
    if env_id is None:
        return definitions.edit(session, key, _as_columns(session, values), what="reverted", **how)
    return states.change(session, env_id, key, values, what="reverted", exact=True, **how)


def at_version(session: Session, flag: Flag, env_id: int | None, version: int) -> dict[str, Any]:
    """Return the config of an environment, or the fields of the flag itself (None), as of `version`."""
    query = (
        select(Change)
        .where(Change.flag_id == flag.id, Change.version <= version, Change.what != "step")
        .where(Change.env_id == env_id if env_id is not None else Change.env_id.is_(None))
        .order_by(Change.version)
    )
    found: dict[str, Any] = {}
    last = 0
    for change in session.scalars(query):
        found |= change.after or {}
        last = change.version
    if last != version:
        raise NotFound(f"{flag.key} has no version {version}.")
    return found


def _as_columns(session: Session, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return JSON values of the history as the columns take them; an owner who left is none."""
    found = {name: values[name] for name in KEPT if name in values}
    if found.get("expected_end"):
        found["expected_end"] = datetime.fromisoformat(found["expected_end"])
    if found.get("owner_id") and session.get(Member, found["owner_id"]) is None:
        found["owner_id"] = None
    return found
