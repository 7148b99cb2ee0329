"""Editing a flag: what it is in all environments, and with it, in one piece, its state in one of them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from trackside.auth.audit import Actor
from trackside.errors import Conflict, InputError
from trackside.workspace import Environment
from trackside_modules.flags import shape
from trackside_modules.flags.models import Flag, State
from trackside_modules.flags.service.fields import checked
from trackside_modules.flags.service.states import Edit, edited, get, living, must_be
from trackside_modules.flags.service.work import Work

FIXED = {
    "key": "Programs call it so: make another flag.",
    "salt": "It never changes, so that nobody moves who need not.",
    "type": "Programs expect it: make another flag.",
}


def edit(
    session: Session,
    key: str,
    values: Mapping[str, Any],
    *,
    who: Actor,
    now: datetime,
    reason: str = "",
    if_version: int | None = None,
    env_id: int | None = None,
    state: Edit | None = None,
    if_state: int | None = None,
    what: str = "edited",
    approved: bool = False,
) -> Flag:
    """Change fields of a flag and, where `env_id` is given, its `state` in that environment: all of it or nothing.

    `if_version` and `if_state` are the versions that the change is based on (None: whatever they are at). Raises as
    `states.change` does.
    """
    must_be_editable(values)
    chosen = None if values or env_id is None else [env_id]
    with Work.on(session, who, reason, now=now, env_ids=chosen, approved=approved) as work:
        flag = living(session, key)
        must_be(flag.version, if_version)
        row = session.get_one(State, (env_id, flag.id), populate_existing=True) if env_id is not None else None
        if row is not None:
            must_be(row.version, if_state)
        work.define(flag, checked(session, values), what)
        if row is not None and env_id is not None and state is not None:
            work.state(flag, env_id, edited(row.config, state), what)
        return flag


def must_be_editable(values: Mapping[str, Any]) -> None:
    """Raise InputError where `values` names what is fixed for ever."""
    fixed = {name: FIXED[name] for name in values if name in FIXED}
    if fixed:
        raise InputError("; ".join(f"{name}: {why}" for name, why in fixed.items()), fixed)


def archive(
    session: Session, key: str, *, who: Actor, now: datetime, reason: str = "", if_version: int | None = None
) -> Flag:
    """Take a flag out of every ruleset: programs get the default in their code.

    Raises Conflict, naming them, while other flags need it, and where it is on in an environment that demands approval.
    """
    with Work.on(session, who, reason, now=now) as work:
        flag = get(session, key)
        session.refresh(flag)
        must_be(flag.version, if_version)
        if flag.archived_at is not None:
            return flag
        needed = dependents(session, key)
        if needed:
            raise Conflict(f"{key} is a prerequisite of {', '.join(needed)}: take it out there first.")
        must_not_be_on(session, work, flag)
        work.define(flag, {"archived_at": now}, "archived", approved=True)
        return flag


def restore(
    session: Session, key: str, *, who: Actor, now: datetime, reason: str = "", if_version: int | None = None
) -> Flag:
    """Put an archived flag back, off in every environment: nobody is surprised by what it once was."""
    with Work.on(session, who, reason, now=now) as work:
        flag = get(session, key)
        session.refresh(flag)
        must_be(flag.version, if_version)
        if flag.archived_at is None:
            return flag
        work.approved = True  # it comes back off
        for env_id in work.environments:
            row = session.get_one(State, (env_id, flag.id), populate_existing=True)
            work.state(flag, env_id, {**row.config, "enabled": False, "schedule": []}, "restored")
        work.define(flag, {"archived_at": None}, "restored")
        return flag


def dependents(session: Session, key: str) -> list[str]:
    """Return the flags that have `key` as a prerequisite in some environment, by key."""
    needs = State.config["prerequisites"].contains([{"flag": key}])
    query = select(Flag.key).join(State, State.flag_id == Flag.id).where(Flag.archived_at.is_(None), needs)
    return sorted(set(session.scalars(query)))


def must_not_be_on(session: Session, work: Work, flag: Flag) -> None:
    """Raise Conflict where the flag is on in an environment that demands approval: archiving would go around it."""
    due = [env_id for env_id, row in work.environments.items() if row.demands_approval and not work.approved]
    query = (
        select(Environment.slug, State.config)
        .join(State, State.env_id == Environment.id)
        .where(State.flag_id == flag.id, State.env_id.in_(due))
    )
    on = [slug for slug, config in session.execute(query) if shape.enabled_at(config, work.now)]
    if on:
        raise Conflict(
            f"{flag.key} is on in {', '.join(on)}, where changes take an approval: switch it off there first."
        )
