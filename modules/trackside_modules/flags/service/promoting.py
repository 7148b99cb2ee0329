"""Promoting: making a flag in one environment what it is in another."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy.orm import Session

from trackside.auth.audit import Actor
from trackside.errors import InputError
from trackside.workspace import Environment
from trackside_modules.flags import shape
from trackside_modules.flags.models import State
from trackside_modules.flags.service import states


def promoted(
    session: Session, key: str, source: int, *, now: datetime, parts: Collection[str] = shape.CONFIG
) -> shape.Config:
    """Return `parts` of a flag's state in the environment `source`: see `brought`."""
    strange = sorted(set(parts) - set(shape.CONFIG))
    if strange:
        message = f"Choose of {', '.join(shape.CONFIG)}."
        raise InputError(f"parts: {message}", {"parts": message})
    state = session.get_one(State, (source, states.living(session, key).id), populate_existing=True)
    return brought(state.config, now, parts)


def brought(config: shape.Config, now: datetime, parts: Collection[str] = shape.CONFIG) -> shape.Config:
    """Return `parts` of a config as it works at `now`, for another environment.

    A ramp or schedule that goes on is taken as far as it is: its times were chosen for where it is.
    """
    still = shape.at_rest(config, now)
    return {name: still[name] for name in parts}


def promote(
    session: Session,
    key: str,
    *,
    source: int,
    target: int,
    who: Actor,
    now: datetime,
    reason: str = "",
    if_version: int | None = None,
    parts: Collection[str] = shape.CONFIG,
    approved: bool = False,
) -> State:
    """Make a flag in `target` what it is in `source`; raises as `states.change`, to which `if_version` goes."""
    edit = promoted(session, key, source, now=now, parts=parts)
    reason = reason or f"As in {session.get_one(Environment, source).slug}"
    how = {"who": who, "now": now, "reason": reason, "if_version": if_version}
    return states.change(session, target, key, edit, what="promoted", approved=approved, **how)  # type: ignore[arg-type]
